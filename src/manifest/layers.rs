//! Layers of configuration, later wins: the user's own settings, the file the manifest extends, the manifest, `RUNNER__*`, `--set` and `a.b=v`.

use std::io::Read;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Value};

use super::adjust::merge;
use super::encoding;
use super::locate::{SourceFile, location_of_span};
use super::overrides::{self, Override, dotted};
use super::slurm::{USER_KEYS, user_problem};
use super::{Location, ManifestError, Problem, ResourceSettings};

/// Largest manifest.
const MAX_BYTES: u64 = 4 << 20;

/// Longest chain of `extends`.
const MAX_EXTENDS: usize = 8;

/// Most files in all; lists of manifests that extend lists would soon be without end.
const MAX_FILES: usize = 64;

/// The merged dictionary, and the texts it came from.
#[derive(Debug)]
pub struct Layers {
    /// All layers as one.
    pub(super) dict: Dict,
    /// The manifest first, then what it extends, then the user's own settings.
    files: Vec<SourceFile>,
    /// How many of the files are manifests.
    manifests: usize,
    /// For each file the keys that it takes away from those after it.
    unset: Vec<Vec<Vec<String>>>,
    overrides: Vec<Override>,
    /// What is surely not meant, and no error.
    pub(super) warnings: Vec<Problem>,
}

impl Layers {
    /// Reads the manifest and everything it extends, and puts the overrides on top.
    pub fn read(path: &Path, overrides: Vec<Override>) -> Result<Self, ManifestError> {
        Self::read_above(None, path, overrides)
    }

    /// The same above the user's own settings, if there is such a file.
    pub fn read_above(
        user: Option<&Path>,
        path: &Path,
        overrides: Vec<Override>,
    ) -> Result<Self, ManifestError> {
        let mut reader = Reader::default();
        reader.read(path, None, &mut Vec::new())?;
        let manifests = reader.files.len();
        if let Some(user) = user.filter(|user| user.exists()) {
            let (file, dict) = read_file(user, None)?;
            if let Some(key) = dict.keys().find(|key| !USER_KEYS.contains(&key.as_str())) {
                return Err(Problem {
                    location: file.locate(std::slice::from_ref(key), true),
                    ..user_problem(key)
                }
                .into());
            }
            reader.push(file, dict)?;
        }
        let Reader { files, dicts, unset } = reader;
        let mut warnings = Vec::new();
        let mut merged = Value::from(Dict::new());
        for (layer, dict) in dicts.into_iter().enumerate().rev() {
            for (i, path) in unset[layer].iter().enumerate() {
                // Of a single key, there is no element.
                let at = ["unset".to_string(), i.to_string()];
                let file = &files[layer];
                let location = || file.locate(&at[..file.depth(&at)], false);
                let Value::Dict(_, below) = &mut merged else {
                    break;
                };
                match overrides::unset(below, path) {
                    Ok(true) => {}
                    Ok(false) => warnings.push(Problem {
                        location: location(),
                        ..overrides::nothing_unset(path)
                    }),
                    Err(message) => {
                        return Err(Problem {
                            location: location(),
                            ..Problem::new(message)
                        }
                        .into());
                    }
                }
            }
            merge(&mut merged, Value::from(dict));
        }
        let mut dict = merged.into_dict().unwrap_or_default();
        warnings.extend(overrides::put_all(&mut dict, &overrides)?);
        Ok(Self {
            dict,
            files,
            manifests,
            unset,
            overrides,
            warnings,
        })
    }

    /// Overrides on top of a dictionary that stands in no file, for commands that need no manifest.
    pub fn in_memory(mut dict: Dict, overrides: Vec<Override>) -> Result<Self, ManifestError> {
        let warnings = overrides::put_all(&mut dict, &overrides)?;
        Ok(Self {
            dict,
            files: Vec::new(),
            manifests: 0,
            unset: Vec::new(),
            overrides,
            warnings,
        })
    }

    /// A problem at `path`, placed where its value (or, with `at_key`, its key) comes from.
    pub fn problem(&self, path: &[String], at_key: bool, message: impl Into<String>) -> Problem {
        let mut problem = Problem::new(message);
        if let Some(item) = self
            .overrides
            .iter()
            .rev()
            .find(|item| path.starts_with(&item.path))
        {
            problem.origin = Some(item.origin.clone());
            return problem;
        }
        if let Some((layer, depth)) = self.place(path) {
            problem.location = self.files[layer].locate(&path[..depth], at_key && depth == path.len());
        }
        problem
    }

    /// The file that says most of the path, and how much of it. What a file takes away does not count below it.
    fn place(&self, path: &[String]) -> Option<(usize, usize)> {
        let mut most = path.len();
        let mut best: Option<(usize, usize)> = None;
        for (layer, file) in self.files.iter().enumerate() {
            let depth = file.depth(path).min(most);
            if best.is_none_or(|(_, known)| depth > known) {
                best = Some((layer, depth));
            }
            for taken in self.unset.get(layer).into_iter().flatten() {
                if path.starts_with(taken) {
                    most = most.min(taken.len() - 1);
                }
            }
        }
        best
    }

    /// Whether the value at `path` stands in an extended manifest, which others may extend, too.
    pub(super) fn is_shared(&self, path: &[String]) -> bool {
        // A value below it counts as well: whoever gives it means the whole.
        let touches = |item: &Override| path.starts_with(&item.path) || item.path.starts_with(path);
        let given = self.overrides.iter().any(touches);
        let layer = self.place(path).map_or(0, |(layer, _)| layer);
        !given && (1..self.manifests).contains(&layer)
    }

    /// How a key that stands in an extended manifest is taken away, for hints; nothing where it stands elsewhere.
    pub(super) fn way_out(&self, path: &[String]) -> Option<String> {
        let given = |item: &Override| path.starts_with(&item.path);
        if self.overrides.iter().any(given) {
            return None;
        }
        // An entry of a list is taken away with the list.
        let entry = path.iter().position(|part| part.parse::<usize>().is_ok());
        let path = &path[..entry.unwrap_or(path.len())];
        let (layer, _) = self.place(path).filter(|(_, depth)| *depth == path.len())?;
        (1..self.manifests).contains(&layer).then(|| {
            format!(
                "`unset = [\"{}\"]` in `{}` takes the key away, for this manifest alone",
                dotted(path),
                self.path().display()
            )
        })
    }

    /// The merged manifest as it was given, without defaults.
    pub fn merged(&self) -> serde_json::Value {
        serde_json::to_value(&self.dict).unwrap_or_default()
    }

    /// The bounds on jobs, where they can be read.
    pub fn resources(&self) -> Option<ResourceSettings> {
        self.dict.get("resources")?.deserialize().ok()
    }

    /// The experiment's name, if it has one.
    pub fn name(&self) -> Option<String> {
        self.dict
            .get("name")
            .and_then(|name| name.as_str())
            .map(String::from)
    }

    /// The manifest's own path.
    pub fn path(&self) -> &Path {
        self.files.first().map_or(Path::new(""), |file| &file.path)
    }
}

/// Files read so far, those that win first.
#[derive(Default)]
struct Reader {
    files: Vec<SourceFile>,
    dicts: Vec<Dict>,
    unset: Vec<Vec<Vec<String>>>,
}

impl Reader {
    /// Adds a file below all others.
    fn push(&mut self, file: SourceFile, mut dict: Dict) -> Result<(), Problem> {
        let keys = match dict.remove("unset") {
            None => Vec::new(),
            Some(keys) => overrides::keys(&keys).map_err(|problem| Problem {
                location: file.locate(&["unset".to_string()], false),
                ..problem
            })?,
        };
        self.files.push(file);
        self.dicts.push(dict);
        self.unset.push(keys);
        Ok(())
    }

    /// Reads one manifest, then what it extends, the last of a list first. `above` are those that led here.
    fn read(
        &mut self,
        path: &Path,
        extended_at: Option<Box<Location>>,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), ManifestError> {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let message = if above.contains(&real) {
            format!(
                "`extends` goes in a circle: `{}` is extended already",
                path.display()
            )
        } else if above.len() > MAX_EXTENDS {
            format!("`extends` goes on for more than {MAX_EXTENDS} manifests, one after the other")
        } else if self.files.len() >= MAX_FILES {
            format!("the manifest extends more than {MAX_FILES} others")
        } else {
            String::new()
        };
        if !message.is_empty() {
            return Err(Problem {
                location: extended_at,
                ..Problem::new(message)
            }
            .into());
        }
        let (file, mut dict) = read_file(path, extended_at)?;
        let bases = match dict.remove("extends") {
            None => Vec::new(),
            Some(Value::Array(_, bases)) => bases,
            Some(base) => vec![base],
        };
        let mut next = Vec::new();
        for (i, base) in bases.iter().enumerate() {
            // Of a single path, there is no element.
            let at = ["extends".to_string(), i.to_string()];
            let at = file.locate(&at[..file.depth(&at)], false);
            let Value::String(_, base) = base else {
                return Err(Problem {
                    location: at,
                    ..Problem::new("`extends` must be the path of a manifest, or a list of them")
                }
                .into());
            };
            next.push((path.parent().unwrap_or(Path::new("")).join(base), at));
        }
        self.push(file, dict)?;
        above.push(real);
        for (path, at) in next.into_iter().rev() {
            self.read(&path, at, above)?;
        }
        above.pop();
        Ok(())
    }
}

fn read_file(path: &Path, extended_at: Option<Box<Location>>) -> Result<(SourceFile, Dict), ManifestError> {
    let missing = match &extended_at {
        Some(_) => Some("paths of `extends` start from the folder of the manifest that has them"),
        None if Path::new("experiments").is_dir() => {
            Some("`experiments/` holds the manifests that come with the project")
        }
        None => Some("paths start from the folder `runner` is started in"),
    };
    let unreadable = |source: std::io::Error| Problem {
        location: extended_at,
        hint: missing
            .filter(|_| source.kind() == std::io::ErrorKind::NotFound)
            .map(String::from),
        ..Problem::new(format!("cannot read the manifest `{}`: {source}", path.display()))
    };
    // A device or a pipe may never end.
    let bytes = crate::files::open(path)
        .and_then(|file| {
            let mut bytes = Vec::new();
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        let limit = MAX_BYTES >> 20;
        let message = format!(
            "`{}` is too large for a manifest, at most {limit} MB",
            path.display()
        );
        return Err(Problem::new(message).into());
    }
    let text = encoding::text(path, bytes)?;
    let syntax = |message: &str, span: Option<std::ops::Range<usize>>| Problem {
        location: span.map(|span| Box::new(location_of_span(path, &text, &span))),
        ..Problem::new(format!("this is not valid TOML: {}", plain(message)))
    };
    let file = SourceFile::parse(PathBuf::from(path), text.clone())
        .map_err(|error| syntax(error.message(), error.span()))?;
    let dict = toml::from_str::<Dict>(&text).map_err(|error| syntax(error.message(), error.span()))?;
    Ok((file, dict))
}

/// The parser's message on one line, in the user's words.
fn plain(message: &str) -> String {
    match message.contains("integer number overflow") {
        true => overrides::TOO_LARGE.to_string(),
        false => message.replace('\n', ", "),
    }
}
