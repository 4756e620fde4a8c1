//! `runner worker`: one serialised job. Its record is written as by `exec`; events go to standard output.

use std::io::{BufRead, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::CliError;
use super::args::{Global, WorkerArgs};
use super::error::no_threads;
use super::{output, setup};
use crate::event::JobEvent;
use crate::job::{CHECKPOINT_EVERY, DataCache, JobError, Resources};
use crate::plan::JobSpec;
use crate::result::{Status, Store, safe_name};
use crate::schedule::{JobThreads, Order};

/// More than any job file.
const LONGEST: u64 = 64 << 20;

/// Runs the command.
pub fn run(args: &WorkerArgs, global: &Global) -> Result<(), CliError> {
    if args.ordered {
        return ordered(args);
    }
    let text = crate::files::read_text(&args.job, LONGEST).map_err(|error| {
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
    let experiment = args.experiment.as_deref().unwrap_or_default();
    if experiment.is_empty() || safe_name(experiment) != experiment || experiment.starts_with('.') {
        let message = format!("`{experiment}` is not the name of an experiment");
        return Err(CliError::usage(
            message,
            "names are made of letters, digits, `-`, `_` and `.`",
        ));
    }
    let (device, device_name) = setup::device(&args.device)?;
    let store = Store::at(global.results.join(experiment));
    store.create()?;
    let resources = Resources {
        device,
        device_name: device_name.clone(),
        data_dir: global.data_dir.clone(),
        cache_dir: setup::cache_dir(),
        timeout: None,
        checkpoint_every: CHECKPOINT_EVERY,
        data: Arc::new(DataCache::default()),
        provenance: super::provenance::program(&device_name),
        store,
    };
    let done = work(&Arc::new(spec), &resources, &AtomicBool::new(false));
    resources.store.settle()?;
    done
}

/// An executor's worker process: the order is a line on standard input, a further one says that it is to stop, and the end
/// of the input that nobody is left to tell it.
fn ordered(args: &WorkerArgs) -> Result<(), CliError> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)
        .map_err(|error| CliError::Internal(format!("the order on standard input: {error}")))?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let listen = move || {
        let mut more = String::new();
        let _ = std::io::stdin().lock().read_line(&mut more);
        flag.store(!more.is_empty(), Ordering::SeqCst);
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        // Files are written whole or not at all: there is nothing to clear up but temporary ones, which are swept.
        std::process::exit(130);
    };
    std::thread::Builder::new()
        .spawn(listen)
        .map_err(|error| no_threads(&error))?;
    let (device, device_name) = setup::device(&args.device)?;
    let resources = Resources {
        device,
        device_name,
        data_dir: order.data_dir,
        cache_dir: setup::cache_dir(),
        timeout: order.timeout,
        checkpoint_every: order.checkpoint_every,
        data: Arc::new(DataCache::default()),
        provenance: order.provenance,
        store: Store::at(order.results),
    };
    let done = work(&Arc::new(order.job), &resources, &stop);
    resources.store.settle()?;
    done
}

fn work(spec: &Arc<JobSpec>, resources: &Resources, stop: &AtomicBool) -> Result<(), CliError> {
    let threads = JobThreads::new(0).map_err(|error| no_threads(&error))?;
    let mut on_event = |event| {
        if event != JobEvent::Tick
            && let Ok(line) = serde_json::to_string(&event)
        {
            let _ = output::out().source(&line);
        }
        match stop.load(Ordering::SeqCst) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    match threads.execute(spec, resources, &mut on_event) {
        Ok(record) if record.status == Status::Ok => Ok(()),
        Ok(_) => Err(CliError::JobsFailed),
        Err(JobError::Cancelled) => Err(CliError::Interrupted),
        Err(JobError::Store(error)) => Err(error.into()),
        Err(error) => Err(CliError::usage(
            super::error::chain(&error),
            "the results folder cannot be written",
        )),
    }
}
