//! Running one job, whatever the executor.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use candle_core::Device;
use serde_json::{Value, json};

use super::{Context, JobError, Resources, finetune, fuse, train};
use crate::event::JobEvent;
use crate::gpu;
use crate::plan::{JobSpec, Task};
use crate::result::{Failure, Place, Provenance, Record, SCHEMA, Status, StoreError};

/// Runs a job and returns its record, unsaved.
pub fn run(
    spec: &JobSpec,
    resources: &Resources,
    on_event: &mut dyn FnMut(JobEvent) -> ControlFlow<()>,
) -> Result<Record, JobError> {
    let provenance = started_now(&resources.provenance);
    gpu::take();
    let mut context = Context::new(resources, on_event);
    let outcome = match &spec.task {
        Task::Train(base) => train::train(spec, base, &mut context),
        Task::Evaluate(base) => train::import(spec, base, &mut context),
        Task::Fuse(task) | Task::FuseTuned(task) => fuse::fuse(spec, task, &mut context),
        Task::Finetune(_) => finetune::finetune(spec, &mut context),
    }?;
    if let Some(predictions) = context.predictions.take() {
        resources
            .store
            .save_predictions(&spec.name, &spec.key, &predictions)?;
    }
    let mut diagnostics = outcome.diagnostics;
    if let Some(normalisation) = normalisation(spec, &context)? {
        diagnostics["normalisation"] = normalisation;
    }
    if resources.device.is_cuda() {
        diagnostics["host"] = json!(gpu::take());
    }
    context.finish();
    Ok(Record {
        status: Status::Ok,
        models: outcome.models,
        metrics: Some(outcome.metrics),
        diagnostics,
        seconds: context.seconds,
        provenance: Provenance {
            peak_memory: peak_memory("self"),
            ..provenance
        },
        ..blank(spec, &resources.provenance)
    })
}

/// Mean and deviation that were computed from the data: nothing else says which.
fn normalisation(spec: &JobSpec, context: &Context) -> Result<Option<Value>, JobError> {
    let dataset = &spec.settings.dataset;
    if !dataset.is_path() || dataset.mean.is_some() {
        return Ok(None);
    }
    let set = context.dataset(spec)?;
    let used = set.train.normalisation();
    Ok(Some(json!({ "mean": used.mean, "std": used.std })))
}

/// Runs a job and returns its record, be it of a success or of a failure, unsaved. A panic is a failure of this job alone.
///
/// # Errors
/// [`JobError::Cancelled`], and results that cannot be written: that is no fault of the job, and no other job would fare
/// better.
pub fn attempt(
    spec: &JobSpec,
    resources: &Resources,
    on_event: &mut dyn FnMut(JobEvent) -> ControlFlow<()>,
) -> Result<Record, JobError> {
    let started = std::time::Instant::now();
    let provenance = started_now(&resources.provenance);
    tracing::info!(job = %spec.name, "started");
    let result = retried(&resources.device, || {
        catch_unwind(AssertUnwindSafe(|| run(spec, resources, on_event)))
            .unwrap_or_else(|panic| Err(JobError::Panic(panic_text(panic.as_ref()))))
    });
    let record = match result {
        Ok(record) => record,
        Err(JobError::Cancelled) => {
            tracing::warn!(job = %spec.name, "told to stop");
            return Err(JobError::Cancelled);
        }
        Err(error) if error.is_unwritable() => return Err(error),
        Err(error) => {
            let failed = failed(spec, &error, started.elapsed(), &provenance);
            let chain = failed.error.as_ref().map(|failure| failure.chain.join(": "));
            tracing::error!(job = %spec.name, error = %chain.unwrap_or_default(), "failed");
            failed
        }
    };
    tracing::info!(job = %spec.name, status = record.status.as_str(), "finished");
    Ok(record)
}

/// The result of `attempt`; where a GPU's memory is used up, that of a second attempt on half of the chunks. Its record says
/// so: sums over other chunks may round differently.
fn retried(
    device: &Device,
    mut attempt: impl FnMut() -> Result<Record, JobError>,
) -> Result<Record, JobError> {
    let out_of_memory =
        |result: &Result<Record, JobError>| matches!(result, Err(error) if gpu::is_out_of_memory(error));
    let mut result = attempt();
    if out_of_memory(&result) {
        tracing::warn!("out of memory: once more, with half of the chunks");
        gpu::give_back(device);
        result = gpu::halved(attempt).map(|mut record| {
            record.diagnostics["second-attempt"] =
                json!("the GPU's memory was used up: computed on half of the chunks");
            record
        });
    }
    gpu::give_back(device);
    if out_of_memory(&result) {
        let memory = gpu::memory(device);
        result = result.map_err(|source| JobError::OutOfMemory {
            memory,
            source: Box::new(source),
        });
    }
    result
}

/// The record of a job that stopped after so much time.
pub fn failed(spec: &JobSpec, error: &JobError, after: Duration, provenance: &Provenance) -> Record {
    Record {
        error: Some(error.failure()),
        seconds: BTreeMap::from([("total".into(), after.as_secs_f64())]),
        ..blank(spec, provenance)
    }
}

/// The record of a job that cannot run because `failed` did not finish.
pub fn skipped(spec: &JobSpec, failed: &str, provenance: &Provenance) -> Result<Record, StoreError> {
    Ok(Record {
        status: Status::Skipped,
        error: Some(Failure {
            chain: vec![format!("it needs `{failed}`, which did not finish")],
            hint: None,
        }),
        provenance: started_now(provenance),
        ..blank(spec, provenance)
    })
}

/// The record of a job that was ended from outside.
pub fn ended(spec: &JobSpec, why: &str, hint: Option<&str>, provenance: &Provenance) -> Record {
    Record {
        error: Some(Failure {
            chain: vec![why.to_string()],
            hint: hint.map(String::from),
        }),
        provenance: started_now(provenance),
        ..blank(spec, provenance)
    }
}

/// Where the job's record stands in tables, first of all.
pub fn place(spec: &JobSpec) -> Place {
    let method = spec.task.fusion().map(|fuse| &fuse.method);
    Place {
        axes: spec.axes.clone(),
        seed: spec.seed,
        method_seed: spec.method_seed,
        parts: spec.settings.split.parts,
        models: spec.models(),
        method: method.map(|method| method.name().to_string()),
        importance: method
            .and_then(crate::fusion::Method::importance)
            .map(|importance| importance.as_str().to_string()),
        label: spec.label.clone(),
    }
}

/// All places where the job's record stands in tables, [`place`] first.
pub fn places(spec: &JobSpec) -> Vec<Place> {
    let first = place(spec);
    let others = spec.also.iter().map(|cell| Place {
        axes: cell.axes.clone(),
        label: cell.label.clone(),
        ..first.clone()
    });
    std::iter::once(first.clone()).chain(others).collect()
}

/// A record with everything that is known before the job runs; it says `failed` until told otherwise.
fn blank(spec: &JobSpec, provenance: &Provenance) -> Record {
    let place = place(spec);
    Record {
        schema: SCHEMA,
        key: spec.key.clone(),
        job: spec.name.clone(),
        kind: spec.kind(),
        status: Status::Failed,
        axes: place.axes,
        seed: place.seed,
        method_seed: place.method_seed,
        parts: place.parts,
        models: place.models,
        method: place.method,
        importance: place.importance,
        label: place.label,
        settings: spec.identity_settings(),
        inputs: spec.inputs.clone(),
        metrics: None,
        diagnostics: Value::Null,
        error: None,
        seconds: BTreeMap::new(),
        provenance: provenance.clone(),
        checksum: String::new(),
        seal: String::new(),
    }
}

/// The provenance of a job that starts now.
pub fn started_now(provenance: &Provenance) -> Provenance {
    Provenance {
        started: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        ..provenance.clone()
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}

/// The most memory that a process, by its number or `self`, has held so far, in bytes, where the system tells.
pub fn peak_memory(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let text = r#"{"schema": 1, "key": "k", "job": "j", "kind": "train", "status": "ok", "axes": {}, "seed": 1,
            "parts": 2, "models": [], "settings": {}, "inputs": [], "seconds": {}, "checksum": "",
            "provenance": {"runner": "", "started": "", "device": "cpu", "manifest-hash": ""}}"#;
        serde_json::from_str(text).expect("a record")
    }

    fn out_of_memory() -> JobError {
        JobError::Candle(candle_core::Error::Msg("CUDA_ERROR_OUT_OF_MEMORY".into()))
    }

    #[test]
    fn a_second_attempt_is_on_record() {
        let first = retried(&Device::Cpu, || Ok(record())).expect("a record");
        assert!(first.diagnostics.is_null());
        let mut attempts = [Err(out_of_memory()), Ok(record())].into_iter();
        let chunks = std::cell::RefCell::new(Vec::new());
        let second = retried(&Device::Cpu, || {
            chunks.borrow_mut().push(gpu::chunk(8));
            attempts.next().expect("two attempts")
        });
        let second = second.expect("a record");
        assert!(second.diagnostics["second-attempt"].is_string());
        assert_eq!(*chunks.borrow(), [8, 4]);
        let both = retried(&Device::Cpu, || Err(out_of_memory()));
        assert!(matches!(both, Err(JobError::OutOfMemory { .. })), "{both:?}");
    }
}
