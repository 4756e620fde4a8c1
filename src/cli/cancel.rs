//! `runner cancel`: takes an experiment's jobs out of Slurm's queue.

use super::CliError;
use super::args::{CancelArgs, Global};
use super::{output, setup};
use crate::result::Claims;
use crate::schedule::slurm::{Queue, cancel};

/// Runs the command.
pub fn run(args: &CancelArgs, global: &Global) -> Result<(), CliError> {
    let store = setup::store_of(&args.experiment, global)?;
    let experiment = store.load_index()?.experiment;
    let mut queue = Queue::read(&store)?;
    if let Some(error) = queue.silent.take() {
        return Err(error.into());
    }
    let tasks = cancel(&queue)?;
    let mut out = output::out();
    match tasks {
        0 => writeln!(out, "{experiment}: nothing is queued or running on Slurm")?,
        n => writeln!(
            out,
            "{experiment}: {n} tasks cancelled; what they had done is kept, `runner exec` goes on from there"
        )?,
    }
    if let Some(owner) = Claims::owners(&store.claims()).get("exec") {
        output::note(format!(
            "a `runner exec` is working on it ({owner}); Ctrl-C or SIGTERM stops it"
        ));
    }
    Ok(())
}
