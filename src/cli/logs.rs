//! `runner logs`: the log of one job.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use super::CliError;
use super::args::{Global, LogsArgs};
use super::output::{self, numbered};
use crate::files::natural_paths;
use crate::result::Store;

/// Runs the command.
pub fn run(args: &LogsArgs, global: &Global) -> Result<(), CliError> {
    let path = find(args, global)?;
    let mut file = crate::files::open(&path)?;
    let mut out = output::out();
    let mut buffer = Vec::new();
    loop {
        file.read_to_end(&mut buffer)?;
        // Followed, a line is shown when it is whole.
        let end = match args.follow {
            true => buffer
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |at| at + 1),
            false => buffer.len(),
        };
        for line in buffer
            .drain(..end)
            .collect::<Vec<u8>>()
            .split_inclusive(|&byte| byte == b'\n')
        {
            let line = String::from_utf8_lossy(line);
            match line.starts_with('{') {
                true => out.text(&numbered(&line))?,
                false => out.text(&line)?,
            }
        }
        out.flush()?;
        if !args.follow {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The log whose name is the given one, or the only one that contains it; logs of jobs that the last plan has no more
/// count only where no other fits.
fn find(args: &LogsArgs, global: &Global) -> Result<PathBuf, CliError> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut outdated: Vec<PathBuf> = Vec::new();
    for experiment in std::fs::read_dir(&global.results).into_iter().flatten().flatten() {
        let store = Store::at(experiment.path());
        let planned: BTreeSet<String> = store
            .load_index()
            .map(|index| index.jobs.into_iter().map(|job| job.job).collect())
            .unwrap_or_default();
        for log in std::fs::read_dir(store.logs()).into_iter().flatten().flatten() {
            let path = log.path();
            let name = path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default();
            if name == args.job {
                return Ok(path);
            }
            if name.contains(&args.job) {
                if planned.contains(&name) {
                    &mut found
                } else {
                    &mut outdated
                }
                .push(path);
            }
        }
    }
    if found.is_empty() {
        found = outdated;
    }
    found.sort_by(|a, b| natural_paths(a, b));
    match found.as_slice() {
        [] => Err(CliError::usage(
            format!("no job has a log named like `{}`", args.job),
            "`runner status EXPERIMENT` and `runner list MANIFEST` show names of jobs",
        )),
        [one] => Ok(one.clone()),
        many => {
            let names: Vec<String> = many
                .iter()
                .take(5)
                .filter_map(|path| Some(format!("`{}`", path.file_stem()?.to_string_lossy())))
                .collect();
            Err(CliError::usage(
                format!("{} jobs have logs named like `{}`", many.len(), args.job),
                format!(
                    "give more of the name: {}{}",
                    names.join(", "),
                    if many.len() > 5 { ", ..." } else { "" }
                ),
            ))
        }
    }
}
