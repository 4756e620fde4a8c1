//! Layers of configuration, later wins: the user's own settings, the file the manifest extends, the manifest, `RUNNER_*`, `--set` and `a.b=v`.

use std::io::Read;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::Serialized;
use figment::value::{Dict, Tag, Value};

use super::locate::{SourceFile, location_of_span};
use super::slurm::{USER_KEYS, user_problem};
use super::{Location, ManifestError, Problem, ResourceSettings};

/// Largest manifest.
const MAX_BYTES: u64 = 4 << 20;

/// Longest chain of `extends`.
const MAX_EXTENDS: usize = 8;

/// Most files in all; lists of manifests that extend lists would soon be without end.
const MAX_FILES: usize = 64;

/// One value given outside the manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// Key path, such as `["base", "optimizer", "lr"]`; a number indexes a list.
    pub path: Vec<String>,
    /// Its value as TOML, or plain text.
    pub value: String,
    /// How the user gave it, for messages: `--set base.epochs=3`, `environment variable RUNNER_BASE__EPOCHS`.
    pub origin: String,
}

impl Override {
    /// Reads `a.b=v`. `a=1,2` means the list `[1, 2]`.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Problem> {
        let (path, value) = text.split_once('=').ok_or_else(|| {
            Problem::new(format!("`{text}` is not of the form `key=value`"))
                .hint("for example `--set base.epochs=3`, or `split.parts=2,4` for an axis")
        })?;
        let path: Vec<String> = path.split('.').map(|part| part.trim().to_string()).collect();
        if path.iter().any(String::is_empty) {
            return Err(Problem::new(format!("`{text}` has an empty key")));
        }
        Ok(Self {
            path,
            value: value.trim().to_string(),
            origin: format!("{origin}{text}"),
        })
    }

    /// `RUNNER_BASE__BATCH_SIZE` sets `base.batch-size`: `__` separates keys, `_` stands for `-`.
    pub fn from_environment(variable: &str, value: &str) -> Option<Self> {
        let name = variable.strip_prefix("RUNNER_")?;
        let path = name
            .split("__")
            .map(|part| part.to_lowercase().replace('_', "-"))
            .collect();
        Some(Self {
            path,
            value: value.to_string(),
            origin: format!("environment variable {variable}"),
        })
    }

    fn as_value(&self) -> Value {
        let toml = |text: &str| -> Option<Value> {
            let dict: Dict = toml::from_str(&format!("v = {text}")).ok()?;
            dict.get("v").cloned()
        };
        let scalar = |text: &str| toml(text).unwrap_or_else(|| Value::from(text));
        match toml(&self.value) {
            Some(value) => value,
            None if self.value.contains(',') => {
                let items: Vec<Value> = self.value.split(',').map(|item| scalar(item.trim())).collect();
                Value::Array(Tag::Default, items)
            }
            None => Value::from(self.value.as_str()),
        }
    }
}

/// The merged dictionary, and the texts it came from.
#[derive(Debug)]
pub struct Layers {
    /// All layers as one.
    pub(super) dict: Dict,
    /// The manifest first, then what it extends.
    files: Vec<SourceFile>,
    overrides: Vec<Override>,
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
        let Reader { mut files, mut dicts } = reader;
        if let Some(user) = user.filter(|user| user.exists()) {
            let (file, dict) = read_file(user, None)?;
            if let Some(key) = dict.keys().find(|key| !USER_KEYS.contains(&key.as_str())) {
                return Err(Problem {
                    location: file.locate(std::slice::from_ref(key), true),
                    ..user_problem(key)
                }
                .into());
            }
            files.push(file);
            dicts.push(dict);
        }
        let figment = dicts.into_iter().rev().fold(Figment::new(), |figment, dict| {
            figment.merge(Serialized::defaults(dict))
        });
        let mut dict = figment
            .extract::<Dict>()
            .map_err(|error| Problem::new(error.to_string()))?;
        put_all(&mut dict, &overrides)?;
        Ok(Self {
            dict,
            files,
            overrides,
        })
    }

    /// Overrides on top of a dictionary that stands in no file, for commands that need no manifest.
    pub fn in_memory(mut dict: Dict, overrides: Vec<Override>) -> Result<Self, ManifestError> {
        put_all(&mut dict, &overrides)?;
        Ok(Self {
            dict,
            files: Vec::new(),
            overrides,
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
        let best = self
            .files
            .iter()
            .map(|file| (file.depth(path), file))
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        if let Some((depth, file)) = best {
            problem.location = file.locate(&path[..depth], at_key && depth == path.len());
        }
        problem
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

/// Manifests read so far, those that win first.
#[derive(Default)]
struct Reader {
    files: Vec<SourceFile>,
    dicts: Vec<Dict>,
}

impl Reader {
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
        } else if above.len() > MAX_EXTENDS || self.files.len() > MAX_FILES {
            format!("more than {MAX_EXTENDS} manifests extend each other")
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
        self.files.push(file);
        self.dicts.push(dict);
        above.push(real);
        for (path, at) in next.into_iter().rev() {
            self.read(&path, at, above)?;
        }
        above.pop();
        Ok(())
    }
}

fn read_file(path: &Path, extended_at: Option<Box<Location>>) -> Result<(SourceFile, Dict), ManifestError> {
    let unreadable = |source: std::io::Error| Problem {
        location: extended_at,
        hint: (source.kind() == std::io::ErrorKind::NotFound).then(|| {
            "check the path; `experiments/` holds the manifests that come with the project".to_string()
        }),
        ..Problem::new(format!("cannot read the manifest `{}`: {source}", path.display()))
    };
    // A device or a pipe may never end.
    let text = crate::files::open(path)
        .and_then(|file| {
            let mut text = String::new();
            file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
            Ok(text)
        })
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Problem::new(format!("`{}` is too large for a manifest", path.display())).into());
    }
    let syntax = |message: &str, span: Option<std::ops::Range<usize>>| Problem {
        location: span.map(|span| Box::new(location_of_span(path, &text, &span))),
        ..Problem::new(format!("this is not valid TOML: {}", message.replace('\n', ", ")))
    };
    let file = SourceFile::parse(PathBuf::from(path), text.clone())
        .map_err(|error| syntax(error.message(), error.span()))?;
    let dict = toml::from_str::<Dict>(&text).map_err(|error| syntax(error.message(), error.span()))?;
    Ok((file, dict))
}

fn put_all(dict: &mut Dict, overrides: &[Override]) -> Result<(), Problem> {
    for item in overrides {
        set(dict, &item.path, item.as_value()).map_err(|message| Problem {
            origin: Some(item.origin.clone()),
            ..Problem::new(message)
        })?;
    }
    Ok(())
}

/// Sets the value at `path`, making tables on the way.
fn set(dict: &mut Dict, path: &[String], value: Value) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    if rest.is_empty() {
        dict.insert(first.clone(), value);
        return Ok(());
    }
    let entry = dict
        .entry(first.clone())
        .or_insert_with(|| Value::from(Dict::new()));
    match entry {
        Value::Dict(_, inner) => set(inner, rest, value),
        Value::Array(_, items) => {
            let len = items.len();
            let item = rest[0]
                .parse::<usize>()
                .ok()
                .and_then(|i| items.get_mut(i))
                .ok_or_else(|| {
                    format!(
                        "`{first}` is a list of {len}: `{}` is not one of its positions (from 0)",
                        rest[0]
                    )
                })?;
            match item {
                Value::Dict(_, inner) if rest.len() > 1 => set(inner, &rest[1..], value),
                _ if rest.len() == 1 => {
                    *item = value;
                    Ok(())
                }
                _ => Err(format!("`{first}.{}` is not a table", rest[0])),
            }
        }
        _ => Err(format!("`{first}` is a value, not a table")),
    }
}
