//! `runner task`: what the script of an array starts on a node.

use std::sync::Arc;

use super::CliError;
use super::args::{Format, TaskArgs};
use super::error::no_threads;
use super::progress::Progress;
use super::provenance::cpu;
use super::step::failed;
use super::{clock, output, setup, slurm, stop};
use crate::job::{DataCache, Resources};
use crate::process::Process;
use crate::result::{Claims, Provenance, Status, Store, Timing};
use crate::schedule::slurm::{Folder, Next, TaskRun};
use crate::schedule::{Halt, Local};

/// Runs the command.
pub fn run(args: &TaskArgs) -> Result<(), CliError> {
    let folder = Folder::at(&args.folder);
    let task = TaskRun::read(folder.clone(), args.array, args.task)?;
    let job = slurm::own_job();
    let host = &Process::current().host;
    task.begin(args.array, args.task, &format!("{host}, Slurm job {job:?}"))?;
    let store = Store::open_for_task(folder.results())?;
    clock::warn_if_wrong(&store);
    let claims = Arc::new(Claims::open(&store.claims(), job, Timing::default())?);
    let setting = &task.submission.setting;
    let (device, device_name) = setup::device(&setting.device)?;
    let provenance = Provenance {
        host: Some(host.clone()),
        device: device_name.clone(),
        cpu: Some(cpu()),
        ..setting.provenance.clone()
    };
    let resources = Resources {
        device,
        device_name,
        data_dir: setting.data_dir.clone(),
        cache_dir: setup::cache_dir(),
        timeout: setting.timeout,
        checkpoint_every: setting.checkpoint,
        store: store.clone(),
        data: Arc::new(DataCache::default()),
        provenance: provenance.clone(),
    };
    let cores = std::env::var("SLURM_CPUS_PER_TASK").ok();
    let cores: usize = cores.and_then(|cores| cores.parse().ok()).unwrap_or(1);
    let executor = Local::new(setting.workers, (cores / setting.workers).max(1), &resources);
    let executor = executor.map_err(|error| no_threads(&error))?;
    let stop = stop::on_terminations()?;
    let mut progress = Progress::new(task.len(), Format::Human);
    let report = task.run(
        executor,
        claims.clone(),
        &store,
        &provenance,
        &stop,
        &mut |event| {
            progress.show(event);
        },
    )?;
    progress.finish();
    let outcome = &report.outcome;
    output::info(format!(
        "{} jobs: {} ok, {} failed, {} skipped, {} left",
        task.len(),
        outcome.count(Status::Ok),
        outcome.count(Status::Failed),
        outcome.count(Status::Skipped),
        task.len() - outcome.finished.len()
    ));
    match &outcome.halt {
        Some(Halt::Interrupted) => {
            // Whoever goes on need not wait for a lease.
            claims.release_all();
            let next = task.after_signal(
                &report,
                // Not `SLURM_JOB_ID`: in the last task of an array that is the array.
                slurm::own_job().as_deref(),
                &store,
                &provenance,
            )?;
            if next == Next::Queued {
                output::info("the time is up: queued again, to go on from here");
            }
            return Err(CliError::Interrupted);
        }
        Some(Halt::Broken(error)) => return Err(failed(error)),
        None => {}
    }
    if let Some((job, need)) = report.unmet.first() {
        let message = format!(
            "{} jobs have not run because one they need has no record: `{job}` needs `{need}`",
            report.unmet.len()
        );
        let hint = "the same `runner exec` again submits what is missing";
        return Err(CliError::usage(message, hint));
    }
    if setting.fail_fast && outcome.count(Status::Failed) > 0 {
        return Err(CliError::JobsFailed);
    }
    Ok(())
}
