//! Warnings about a manifest: on standard error, and in documents.

use serde_json::{Value, json};

use super::output::{self, Level};
use crate::manifest::Problem;

/// Most warnings that are shown; a document has them all.
const MAX_SHOWN: usize = 20;

/// Tells the user, on standard error.
pub fn show(warnings: &[Problem]) {
    output::problems(Level::Warning, &warnings[..warnings.len().min(MAX_SHOWN)]);
    if warnings.len() > MAX_SHOWN {
        let more = warnings.len() - MAX_SHOWN;
        output::warning(format!("{more} more are listed by `runner check --format json`"));
    }
}

/// Problems or warnings, each with its place.
pub fn document(problems: &[Problem]) -> Value {
    let one = |problem: &Problem| {
        let place = problem.location.as_ref();
        json!({
            "message": problem.message,
            "file": place.map(|place| place.file.display().to_string()),
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
            "origin": problem.origin,
            "hint": problem.hint,
        })
    };
    problems.iter().map(one).collect()
}
