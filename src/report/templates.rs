//! Where templates come from, and what is wrong with them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use super::budget::PART;
use super::error::nearest;
use super::metered::{self, Failure};
use super::{Format, LAYOUTS, ReportError, Table, render};
use crate::files;
use crate::result::StoreError;

/// All templates at hand: those of the project's `templates/` folder, and the compiled-in ones it does not replace.
///
/// A template is one file `NAME.tex` or `NAME.md` in Tera's language and stands alone; `render.rs` lists what it is
/// given.
#[derive(Debug, Clone)]
pub struct Templates {
    sources: BTreeMap<(String, Format), Source>,
    page: Source,
}

#[derive(Debug, Clone)]
struct Source {
    file: String,
    text: String,
    /// Why there is no text. It disturbs no other template.
    unreadable: Option<String>,
}

const METHODS_TEX: &str = include_str!("../../templates/methods-by-split.tex");
const METHODS_MD: &str = include_str!("../../templates/methods-by-split.md");

/// More than any template; also what the parser takes little memory for.
const LONGEST: u64 = 512 << 10;

/// The template of the page of an experiment.
const PAGE: &str = "report.html";

/// The templates loop over rows and columns, so that one serves several layouts.
const COMPILED_IN: [(&str, Format, &str); 8] = [
    ("methods-by-split", Format::Latex, METHODS_TEX),
    ("methods-by-split", Format::Markdown, METHODS_MD),
    ("kf-gradient-only", Format::Latex, METHODS_TEX),
    (
        "kf-gradient-only",
        Format::Markdown,
        include_str!("../../templates/kf-gradient-only.md"),
    ),
    ("full-data", Format::Latex, METHODS_TEX),
    ("full-data", Format::Markdown, METHODS_MD),
    ("ablation", Format::Latex, METHODS_TEX),
    ("ablation", Format::Markdown, METHODS_MD),
];

impl Templates {
    /// The compiled-in templates and those in `folder`, which win; a folder that does not exist is an empty one.
    /// Templates are parsed when they are used or checked, so a broken one disturbs no other.
    pub fn load(folder: Option<&Path>) -> Result<Self, ReportError> {
        let compiled_in = COMPILED_IN.into_iter().map(|(name, format, text)| {
            let file = format!("{name}.{} (compiled in)", format.extension());
            ((name.to_string(), format), Source::compiled_in(file, text))
        });
        let mut sources: BTreeMap<_, _> = compiled_in.collect();
        for path in folder.map(files).transpose()?.unwrap_or_default() {
            let format = Format::ALL
                .into_iter()
                .find(|format| path.extension().is_some_and(|found| found == format.extension()));
            let name = path.file_stem().and_then(|stem| stem.to_str());
            let (Some(format), Some(name), true) = (format, name, path.is_file()) else {
                continue;
            };
            sources.insert((name.to_string(), format), Source::read(&path));
        }
        let page = folder
            .map(|folder| folder.join(PAGE))
            .filter(|path| path.is_file());
        let page = page.map_or_else(
            || {
                let text = include_str!("../../templates/report.html");
                Source::compiled_in(format!("{PAGE} (compiled in)"), text)
            },
            |path| Source::read(&path),
        );
        Ok(Self { sources, page })
    }

    /// blake3 of all texts.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for ((name, format), source) in &self.sources {
            for text in [name, format.extension(), &source.text] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.sources.keys().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        names
    }

    /// Whether a template of this name makes this format.
    pub fn has(&self, name: &str, format: Format) -> bool {
        self.sources.contains_key(&(name.to_string(), format))
    }

    /// The layout a template is for: that of its own name, or the one that a comment in the first line of one of its
    /// files names.
    pub fn layout(&self, name: &str) -> Result<String, ReportError> {
        for format in Format::ALL {
            let Some(source) = self.sources.get(&(name.to_string(), format)) else {
                continue;
            };
            let comment = source.text.lines().next().filter(|line| line.starts_with("{#"));
            let Some((_, wanted)) = comment.and_then(|line| line.split_once("layout:")) else {
                continue;
            };
            let wanted = wanted.split_whitespace().next().unwrap_or_default();
            let wanted = wanted.trim_end_matches(['#', '}', '-', ':']);
            if LAYOUTS.contains(&wanted) {
                return Ok(wanted.to_string());
            }
            return Err(ReportError::Template {
                file: source.file.clone(),
                line: Some(1),
                column: None,
                reason: format!("unknown layout `{wanted}`; known are {}", LAYOUTS.join(", ")),
            });
        }
        let own = LAYOUTS.into_iter().find(|layout| *layout == name);
        Ok(own.unwrap_or(LAYOUTS[0]).to_string())
    }

    /// Parses all files of a template and does no more: what it names may still not exist.
    pub fn check(&self, name: &str) -> Result<(), ReportError> {
        self.layout(name)?;
        let formats: Vec<Format> = Format::ALL
            .into_iter()
            .filter(|format| self.has(name, *format))
            .collect();
        if formats.is_empty() {
            return Err(self.unknown(name, Format::Markdown));
        }
        formats
            .into_iter()
            .try_for_each(|format| self.source(name, format)?.check(name))
    }

    /// Fills a template with a table. Blank lines around the text, which tags leave, are dropped.
    pub fn render(&self, name: &str, format: Format, table: &Table) -> Result<String, ReportError> {
        let source = self.source(name, format)?;
        let text = source.render(name, &render::context(name, format, table))?;
        if text.trim().is_empty() {
            return Err(ReportError::Template {
                file: source.file.clone(),
                line: None,
                column: None,
                reason: "it makes an empty table".to_string(),
            });
        }
        Ok(format!("{}\n", text.trim_matches(['\n', '\r'])))
    }

    fn source(&self, name: &str, format: Format) -> Result<&Source, ReportError> {
        let source = self.sources.get(&(name.to_string(), format));
        source.ok_or_else(|| self.unknown(name, format))
    }

    /// Fills the template of the page of an experiment; `page.rs` lists what it is given.
    pub(super) fn render_page(&self, context: &tera::Context) -> Result<String, ReportError> {
        self.page.render(PAGE, context)
    }

    fn unknown(&self, name: &str, format: Format) -> ReportError {
        let other = Format::ALL
            .into_iter()
            .find(|other| *other != format && self.has(name, *other));
        if let Some(other) = other {
            return ReportError::NoFormat {
                name: name.to_string(),
                ending: format.extension(),
                has: other.as_str(),
            };
        }
        let names = self.names();
        // Templates are named without the ending of their files.
        let stem = Format::ALL
            .into_iter()
            .find_map(|format| name.strip_suffix(&format!(".{}", format.extension())));
        ReportError::UnknownTemplate {
            name: name.to_string(),
            nearest: nearest(stem.unwrap_or(name), names.iter().copied()),
            known: names.into_iter().map(str::to_string).collect(),
        }
    }
}

impl Source {
    fn compiled_in(file: String, text: &str) -> Self {
        Self {
            file,
            text: text.to_string(),
            unreadable: None,
        }
    }

    /// A file of the templates' folder. A link out of it is not followed: templates that others gave away read nothing else.
    fn read(path: &Path) -> Self {
        let file = path.display().to_string();
        let inside = || -> std::io::Result<bool> {
            let folder = path.parent().unwrap_or(Path::new("."));
            Ok(path.canonicalize()?.starts_with(folder.canonicalize()?))
        };
        let text = match inside() {
            Ok(false) => {
                Err("it is a link to a file outside of the templates' folder: put a copy there".to_string())
            }
            Ok(true) => files::read_text(path, LONGEST).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        Self {
            file,
            unreadable: text.as_ref().err().cloned(),
            text: text.unwrap_or_default(),
        }
    }

    fn check(&self, name: &str) -> Result<(), ReportError> {
        self.is_readable()?;
        metered::check(name, &self.text).map_err(|failure| self.failed(failure))
    }

    fn render(&self, name: &str, context: &tera::Context) -> Result<String, ReportError> {
        self.is_readable()?;
        metered::render(name, &self.text, context).map_err(|failure| self.failed(failure))
    }

    fn is_readable(&self) -> Result<(), ReportError> {
        let at = |reason: &String| self.failed(Failure::Fault((None, reason.clone())));
        self.unreadable.as_ref().map_or(Ok(()), |reason| Err(at(reason)))
    }

    fn failed(&self, failure: Failure) -> ReportError {
        match failure {
            Failure::Engine(error) => self.error(&error),
            Failure::Fault((place, reason)) => ReportError::Template {
                file: self.file.clone(),
                line: place.map(|(line, _)| line),
                column: place.map(|(_, column)| column),
                reason,
            },
        }
    }

    /// Puts a place to what Tera says. Of its errors only those of the parser tell where; for the others the name
    /// they quote is looked up in the template.
    fn error(&self, error: &tera::Error) -> ReportError {
        let mut chain = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        // The meters are none of the template's own.
        chain.retain(|message| !message.contains(PART));
        let parsed = chain.iter().find_map(|message| parser_place(message));
        let (place, reason) = parsed.map_or_else(
            || {
                let quoted = chain.iter().skip(1).rev().flat_map(|message| quoted(message));
                let place = quoted.into_iter().find_map(|name| find_in_tags(&self.text, name));
                // The first message says no more than that rendering failed, unless it is the only one.
                let reason = chain[usize::from(chain.len() > 1)..].join(": ");
                (place, reason.replace(" in context while rendering", " in"))
            },
            |(place, reason)| (Some(place), reason),
        );
        ReportError::Template {
            file: self.file.clone(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            reason,
        }
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|source| read_error(folder, source))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| read_error(folder, source))?;
    paths.sort();
    Ok(paths)
}

fn read_error(path: &Path, source: std::io::Error) -> ReportError {
    let path = path.to_path_buf();
    StoreError::Io {
        action: "read",
        path,
        source,
    }
    .into()
}

/// Line, column and expectation in a message of the pest parser: ` --> 3:5`, an excerpt, `= expected ...`.
fn parser_place(message: &str) -> Option<((usize, usize), String)> {
    let (_, after) = message.split_once("--> ")?;
    let (line, rest) = after.split_once(':')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let place = (line.parse().ok()?, rest[..digits].parse().ok()?);
    let reason = rest.rsplit_once("= ").map_or(rest, |(_, reason)| reason);
    Some((place, reason.trim().to_string()))
}

/// The words between backticks or single quotes.
fn quoted(message: &str) -> Vec<&str> {
    let pieces = message.split(['`', '\'']).skip(1).step_by(2);
    let pieces = pieces.map(|piece| piece.trim_matches(['[', ']', '"']));
    pieces.filter(|piece| !piece.is_empty()).collect()
}

/// Line and column of a name's first occurrence inside `{{ }}` or `{% %}`, as a whole word.
fn find_in_tags(text: &str, name: &str) -> Option<(usize, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = 0;
    while let Some(open) = text[from..].find(['{']).map(|at| from + at) {
        let close = match text.as_bytes().get(open + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                from = open + 1;
                continue;
            }
        };
        let end = text[open..].find(close).map_or(text.len(), |at| open + at);
        if close != "#}" {
            for (at, _) in text[open..end].match_indices(name) {
                let at = open + at;
                let before = text[..at].chars().next_back();
                let after = text[at + name.len()..].chars().next();
                if before.is_none_or(|c| !is_word(c) && c != '.') && after.is_none_or(|c| !is_word(c)) {
                    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                    let line = text[..at].matches('\n').count() + 1;
                    return Some((line, text[line_start..at].chars().count() + 1));
                }
            }
        }
        from = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_tags_only() {
        let text = "cell {# cell #}\n\\textbf{cell} {{ my_cell }}{{ a.cell }}\n  é {{- cell -}}";
        assert_eq!(find_in_tags(text, "cell"), Some((3, 9)));
        assert_eq!(find_in_tags(text, "none"), None);
    }

    #[test]
    fn quotes_of_both_kinds() {
        assert_eq!(
            quoted("Variable `a.b` not found while rendering 'x'"),
            ["a.b", "x"]
        );
        assert_eq!(quoted("nothing"), [""; 0]);
    }
}
