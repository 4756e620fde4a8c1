//! Problems of a manifest, and their form on a terminal.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

/// Where in a file a problem is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line's text.
    pub text: String,
    /// Characters to underline.
    pub width: usize,
}

/// Most characters of a line that are shown, and of those before the place.
const MAX_SHOWN: usize = 160;
const MAX_BEFORE: usize = 60;

impl Location {
    /// The line, the column in it, and the characters to underline: of a long line, such as one with thousands of
    /// seeds, what is around the place.
    fn shown(&self) -> (String, usize, usize) {
        let column = self.column.max(1);
        if self.text.chars().nth(MAX_SHOWN).is_none() {
            return (self.text.clone(), column, self.width);
        }
        let start = (column - 1).saturating_sub(MAX_BEFORE);
        let mut part: String = self.text.chars().skip(start).take(MAX_SHOWN).collect();
        let column = match start {
            0 => column,
            start => {
                part.insert_str(0, "... ");
                column - start + 4
            }
        };
        if self.text.chars().nth(start + MAX_SHOWN).is_some() {
            part.push_str(" ...");
        }
        let most = (part.chars().count() + 1).saturating_sub(column);
        (part, column, self.width.min(most))
    }
}

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// Where, if it is in a file.
    pub location: Option<Box<Location>>,
    /// Where, if it is not: `environment variable ...`, `--set ...`.
    pub origin: Option<String>,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with no place.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            location: None,
            origin: None,
            hint: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(at) = &self.location {
            write!(f, "\n  --> {}:{}:{}", at.file.display(), at.line, at.column)?;
            let number = at.line.to_string();
            let pad = " ".repeat(number.len());
            let (text, column, width) = at.shown();
            write!(f, "\n {pad} |\n {number} | {text}")?;
            // Tabs stay tabs, so that the marks stand below what they mark.
            let before = text.chars().take(column - 1);
            let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n {pad} | {indent}{}", "^".repeat(width.max(1)))?;
        } else if let Some(origin) = &self.origin {
            write!(f, "\n  --> {origin}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// All problems of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// In the order of the text, as far as it is known.
    pub problems: Vec<Problem>,
}

impl From<Problem> for ManifestError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "error: {problem}")?;
        }
        Ok(())
    }
}

/// The problems without repetitions, in the order of the text; those that have no place in it come first.
pub fn in_order(problems: Vec<Problem>) -> Vec<Problem> {
    let mut known = HashSet::new();
    let mut unique: Vec<Problem> = Vec::new();
    for problem in problems {
        if known.insert(problem.clone()) {
            unique.push(problem);
        }
    }
    // Files in the order in which they turn up: the manifest before what it extends.
    let mut files: Vec<PathBuf> = Vec::new();
    for location in unique.iter().filter_map(|problem| problem.location.as_ref()) {
        if !files.contains(&location.file) {
            files.push(location.file.clone());
        }
    }
    unique.sort_by_key(|problem| {
        let place = problem.location.as_ref();
        place.map(|at| (files.iter().position(|file| *file == at.file), at.line, at.column))
    });
    unique
}
