//! `runner report`: one HTML page of an experiment, from results alone.

use std::path::Path;

use super::CliError;
use super::args::{Global, ReportArgs};
use super::table::with_answers;
use super::{output, setup};
use crate::report::{Templates, load, page};
use crate::result::write_atomic;

/// Runs the command.
pub fn run(args: &ReportArgs, global: &Global) -> Result<(), CliError> {
    let store = setup::store_of(&args.experiment, global)?;
    let templates = Templates::load(Some(&global.templates))?;
    let results = load(&store)?;
    let requests = results.index.tables.clone();
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| store.root().join("report.html"));
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let results = with_answers(results, &requests, &store);
    let html = page(&store, &results, &templates, folder)?;
    write_atomic(&path, html.as_bytes())?;
    writeln!(output::out(), "{}", path.display())?;
    Ok(())
}
