//! `runner ended`: what the last job of a submission to Slurm starts, for `[notify]`.

use std::time::Instant;

use super::CliError;
use super::args::EndedArgs;
use super::notify::notify;
use super::summary::Summary;
use crate::files;
use crate::manifest::NotifySettings;
use crate::result::{Status, Store};
use crate::schedule::seen;
use crate::schedule::slurm::{Folder, Submission};

/// Runs the command.
pub fn run(args: &EndedArgs) -> Result<(), CliError> {
    let folder = Folder::at(&args.folder);
    let submission = folder.load()?;
    let store = Store::at(folder.results()).with_ledger();
    let experiment = store.load_index()?.experiment;
    let summary = summary(&submission, &folder, &store);
    let missing = summary.jobs - summary.ok - summary.failed - summary.skipped;
    let end = if missing > 0 && folder.is_cancelled() {
        Err(CliError::Interrupted)
    } else if missing > 0 {
        let message = format!(
            "{missing} of {} jobs have no record: their tasks ended early",
            summary.jobs
        );
        Err(CliError::usage(message, "`runner status` shows how"))
    } else if summary.failed > 0 {
        Err(CliError::JobsFailed)
    } else {
        Ok(())
    };
    let settings = NotifySettings {
        command: submission.setting.notify,
    };
    notify(&settings, &experiment, &summary, &end);
    Ok(())
}

/// What became of the jobs that were submitted.
fn summary(submission: &Submission, folder: &Folder, store: &Store) -> Summary {
    let mut summary = Summary {
        jobs: 0,
        cached: 0,
        ok: 0,
        failed: 0,
        skipped: 0,
        not_started: 0,
        left_out: 0,
        since: since(folder).unwrap_or_else(Instant::now),
    };
    let tasks = submission.arrays.iter().flat_map(|array| &array.tasks);
    for member in tasks.flat_map(|task| &task.jobs) {
        summary.jobs += 1;
        let now = seen(store, &member.job).map(|hash| hash.to_hex().to_string());
        if now == member.before {
            continue;
        }
        match store.load(&member.job).map(|record| record.status) {
            Ok(Status::Ok) => summary.ok += 1,
            Ok(Status::Failed) => summary.failed += 1,
            Ok(Status::Skipped) => summary.skipped += 1,
            Err(_) => {}
        }
    }
    summary
}

/// When it was submitted, by the clock of the file system.
fn since(folder: &Folder) -> Option<Instant> {
    let submitted = folder.token().metadata().ok()?.modified().ok()?;
    let now = files::time_there(folder.path()).ok()?;
    Instant::now().checked_sub(now.duration_since(submitted).ok()?)
}
