//! Warnings about a manifest: on standard error, and in documents.

use std::io::Write;

use serde_json::{Value, json};

use crate::manifest::Problem;

/// Most warnings that are shown; a document has them all.
const MAX_SHOWN: usize = 20;

/// Tells the user, on standard error.
pub fn show(warnings: &[Problem]) {
    let mut err = std::io::stderr().lock();
    for warning in warnings.iter().take(MAX_SHOWN) {
        let _ = writeln!(err, "warning: {warning}\n");
    }
    if warnings.len() > MAX_SHOWN {
        let more = warnings.len() - MAX_SHOWN;
        let _ = writeln!(
            err,
            "warning: {more} more are listed by `runner check --format json`\n"
        );
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
