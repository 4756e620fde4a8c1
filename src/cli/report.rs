//! `runner report`: one HTML page of an experiment, from results alone.

use std::path::{Path, PathBuf};

use super::CliError;
use super::args::{Global, ReportArgs};
use super::outfile::{self, Content, Outputs};
use super::table::with_answers;
use super::{output, setup};
use crate::report::{Templates, load, page};

/// The files of a folder; none where there is no folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Runs the command.
pub fn run(args: &ReportArgs, global: &Global) -> Result<(), CliError> {
    let store = setup::store_of(&args.experiment, global)?;
    let templates = Templates::load(Some(&global.templates))?;
    let results = load(&store)?;
    let requests = results.index.tables.clone();
    let outputs = Outputs::new(args.output.force, files_in(&global.templates));
    let output = match &args.out {
        Some(path) => outputs.check("--out", path, Content::Page)?,
        None => outfile::resolve(&store.root().join("report.html"))?,
    };
    let path = &output.path;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let results = with_answers(results, &requests, &store);
    let html = page(&store, &results, &templates, folder)?;
    output.write(html.as_bytes())?;
    writeln!(output::out(), "{}", path.display())?;
    Ok(())
}
