//! `runner worker`: one serialised job. Its record is written as by `exec`; events go to standard output.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::CliError;
use super::args::{Global, WorkerArgs};
use super::setup;
use crate::job::{CHECKPOINT_EVERY, DataCache, JobError, Resources, execute};
use crate::plan::JobSpec;
use crate::result::{Provenance, Status, Store, safe_name};
use crate::schedule::JobLog;

/// Runs the command.
pub fn run(args: &WorkerArgs, global: &Global) -> Result<(), CliError> {
    let text = std::fs::read_to_string(&args.job).map_err(|error| {
        CliError::usage(
            format!("cannot read `{}`: {error}", args.job.display()),
            "give a job file",
        )
    })?;
    let spec: JobSpec = serde_json::from_str(&text).map_err(|error| {
        CliError::usage(
            format!("`{}` is not a job: {error}", args.job.display()),
            "a job file is a serialised `JobSpec`, see src/plan/spec.rs",
        )
    })?;
    if safe_name(&args.experiment) != args.experiment || args.experiment.starts_with('.') {
        let message = format!("`{}` is not the name of an experiment", args.experiment);
        return Err(CliError::usage(
            message,
            "names are made of letters, digits, `-`, `_` and `.`",
        ));
    }
    let (device, device_name) = setup::device(&args.device)?;
    let store = Store::at(global.results.join(&args.experiment));
    store.create()?;
    let resources = Resources {
        device,
        device_name: device_name.clone(),
        data_dir: global.data_dir.clone(),
        cache_dir: setup::cache_dir(),
        timeout: None,
        checkpoint_every: CHECKPOINT_EVERY,
        data: Arc::new(DataCache::default()),
        provenance: Provenance {
            runner: env!("CARGO_PKG_VERSION").into(),
            device: device_name,
            ..Provenance::default()
        },
        store,
    };
    let _log = JobLog::open(&resources.store.log_path(&spec.name));
    let mut on_event = |event| {
        if let Ok(line) = serde_json::to_string(&event) {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
        ControlFlow::Continue(())
    };
    match execute(&spec, &resources, &mut on_event) {
        Ok(record) if record.status == Status::Ok => Ok(()),
        Ok(_) => Err(CliError::JobsFailed),
        Err(JobError::Store(error)) => Err(error.into()),
        Err(error) => Err(CliError::Internal(error.to_string())),
    }
}
