//! `runner report`: one HTML page of an experiment, from results alone.

use std::io::Write;

use super::CliError;
use super::args::{Global, ReportArgs};
use super::setup;
use super::table::with_answers;
use crate::report::{Templates, load, page};
use crate::result::write_atomic;

/// Runs the command.
pub fn run(args: &ReportArgs, global: &Global) -> Result<(), CliError> {
    let store = setup::store_of(&args.experiment, global)?;
    let templates = Templates::load(Some(&global.templates))?;
    let results = load(&store)?;
    let requests = results.index.tables.clone();
    let html = page(&store, &with_answers(results, &requests, &store), &templates)?;
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| store.root().join("report.html"));
    write_atomic(&path, html.as_bytes())?;
    writeln!(std::io::stdout(), "{}", path.display())?;
    Ok(())
}
