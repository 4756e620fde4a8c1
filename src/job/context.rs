//! What a job runs with: its device, its limits, the data it shares with others, where results are.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use candle_core::Device;

use super::JobError;
use super::models::{Model, ModelCache};
use crate::data::{DataSet, DatasetSettings, Sets};
use crate::event::JobEvent;
use crate::plan::{Dependency, JobSpec};
use crate::result::{Predictions, Provenance, Store};

/// Data sets and base models loaded so far; jobs of one process share one copy of each.
#[derive(Debug, Default)]
pub struct DataCache {
    loaded: Mutex<BTreeMap<String, Arc<DataSet>>>,
    models: ModelCache,
}

impl DataCache {
    fn get(&self, settings: &DatasetSettings, resources: &Resources) -> Result<Arc<DataSet>, JobError> {
        // Loading under the lock makes others wait for the copy instead of loading their own.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let id = settings.id();
        if let Some(set) = loaded.get(&id) {
            return Ok(set.clone());
        }
        let sets = Sets::new(resources.data_dir.as_deref(), resources.cache_dir.as_deref());
        let set = sets
            .load(settings)
            .map(Arc::new)
            .map_err(|source| JobError::Data {
                name: settings.name.clone(),
                source,
            })?;
        loaded.insert(id, set.clone());
        Ok(set)
    }
}

/// What the schedule gives to every job.
#[derive(Debug, Clone)]
pub struct Resources {
    /// Where tensors live.
    pub device: Device,
    /// Its name in records: `cpu`, `cuda:0`.
    pub device_name: String,
    /// Folder of data sets; wins over the manifest's.
    pub data_dir: Option<PathBuf>,
    /// Folder for decoded data sets whose own folder is not writable.
    pub cache_dir: Option<PathBuf>,
    /// Longest time a job may take until its result is there; whoever waits for the job keeps it.
    pub timeout: Option<Duration>,
    /// How often a training saves its state.
    pub checkpoint_every: Duration,
    /// Results of the experiment.
    pub store: Store,
    /// Shared data sets and models.
    pub data: Arc<DataCache>,
    /// What all records of this run say about where they come from; time and memory are filled in per job.
    pub provenance: Provenance,
}

/// How often a training saves its state where the manifest does not say.
pub const CHECKPOINT_EVERY: Duration = Duration::from_mins(5);

/// One job's view: resources, the way to report, and a stop watch.
pub struct Context<'a> {
    /// What it runs with.
    pub resources: &'a Resources,
    on_event: &'a mut dyn FnMut(JobEvent) -> ControlFlow<()>,
    started: Instant,
    phase: Option<(&'static str, Instant)>,
    /// Seconds by phase.
    pub seconds: BTreeMap<String, f64>,
    /// What the last evaluated network answered on each test example.
    pub predictions: Option<Predictions>,
}

impl<'a> Context<'a> {
    /// Starts the watch.
    pub fn new(resources: &'a Resources, on_event: &'a mut dyn FnMut(JobEvent) -> ControlFlow<()>) -> Self {
        Self {
            resources,
            on_event,
            started: Instant::now(),
            phase: None,
            seconds: BTreeMap::new(),
            predictions: None,
        }
    }

    /// Begins a phase, which ends the one before.
    pub fn phase(&mut self, name: &'static str) -> Result<(), JobError> {
        self.end_phase();
        tracing::debug!(phase = name, "phase");
        self.phase = Some((name, Instant::now()));
        self.report(JobEvent::Phase { name: name.into() })
    }

    /// Reports, and learns whether to go on.
    pub fn report(&mut self, event: JobEvent) -> Result<(), JobError> {
        match (self.on_event)(event) {
            ControlFlow::Break(()) => Err(JobError::Cancelled),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Runs `work`, which may ask now and then whether to go on. If it was told to stop, that is the error.
    pub fn watched<T, E: Into<JobError>>(
        &mut self,
        work: impl FnOnce(&mut dyn FnMut() -> ControlFlow<()>) -> Result<T, E>,
    ) -> Result<T, JobError> {
        let mut stopped = None;
        let result = work(&mut || match self.report(JobEvent::Tick) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                stopped = Some(error);
                ControlFlow::Break(())
            }
        });
        stopped.map_or_else(|| result.map_err(Into::into), Err)
    }

    /// Ends the last phase and sums up.
    pub fn finish(&mut self) {
        self.end_phase();
        self.seconds
            .insert("total".into(), self.started.elapsed().as_secs_f64());
    }

    fn end_phase(&mut self) {
        if let Some((name, since)) = self.phase.take() {
            *self.seconds.entry(name.into()).or_default() += since.elapsed().as_secs_f64();
        }
    }

    /// The job's data set, loaded once per process.
    ///
    /// Errors where its content is not what the job's key says.
    pub fn dataset(&self, spec: &JobSpec) -> Result<Arc<DataSet>, JobError> {
        let settings = &spec.settings.dataset;
        let set = self.resources.data.get(settings, self.resources)?;
        unchanged(spec, "dataset", &set.hash, || {
            format!("the data set `{}`", settings.name)
        })?;
        Ok(set)
    }

    /// A model that another job made, loaded once per process.
    pub(super) fn model(&self, need: &Dependency, classes: usize) -> Result<Arc<Model>, JobError> {
        self.resources
            .data
            .models
            .get(need, classes, (&self.resources.store, &self.resources.device))
    }
}

/// Compares the content of an input, as it was read, with the content that the job's key was made of.
pub(super) fn unchanged(
    spec: &JobSpec,
    role: &str,
    found: &str,
    what: impl FnOnce() -> String,
) -> Result<(), JobError> {
    match spec.input(role) {
        Some(planned) if planned == found => Ok(()),
        _ => Err(JobError::Changed { what: what() }),
    }
}
