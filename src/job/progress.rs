//! The saved state of a training: written now and then, read by the next try of the same job.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{Context, JobError};
use crate::arch::Network;
use crate::event::JobEvent;
use crate::plan::{JobSpec, Task};
use crate::result::{Store, write_atomic};
use crate::train::{Epoch, Next, Observer, Progress, Snapshot};

/// The metadata entry of a state file.
const ENTRY: &str = "runner-training";
/// The order of the epoch's samples, among the tensors.
const ORDER: &str = "order";

/// Version of the format; the first files do not say it.
const SCHEMA: u32 = 1;

fn first() -> u32 {
    1
}

/// What a state file says.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(default = "first")]
    schema: u32,
    /// The job's key: another job's state is none.
    key: String,
    progress: Progress,
}

fn path(store: &Store, job: &str, number: usize) -> PathBuf {
    store
        .checkpoint_path(job)
        .with_extension(format!("training-{number}"))
}

/// The states that a job's trainings have saved, and when.
pub fn saved_states(store: &Store, job: &JobSpec) -> Vec<(PathBuf, SystemTime)> {
    let trainings = match (&job.task, &job.settings.finetune) {
        (Task::Train(_), _) => 1,
        (Task::Finetune(_), Some(settings)) => settings.grid().len(),
        _ => 0,
    };
    (0..trainings)
        .map(|number| path(store, &job.name, number))
        .filter_map(|path| Some((path.clone(), path.metadata().ok()?.modified().ok()?)))
        .collect()
}

/// One training of a job and its file.
pub(super) struct StateFile {
    path: PathBuf,
    key: String,
}

impl StateFile {
    /// The file of the job's `number`-th training, in the experiment's cache.
    pub fn of(spec: &JobSpec, number: usize, context: &Context) -> Self {
        Self {
            path: path(&context.resources.store, &spec.name, number),
            key: spec.key.clone(),
        }
    }

    /// The saved state, if there is a whole one of the same job. A file that is not is as good as none.
    pub fn load(&self) -> Option<Snapshot> {
        let bytes = crate::files::read(&self.path).ok()?;
        let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(blake3::OUT_LEN)?)?;
        if blake3::hash(content).as_bytes().as_slice() != hash {
            tracing::warn!(file = %self.path.display(), "the saved training is damaged: starting anew");
            return None;
        }
        let (_, header) = SafeTensors::read_metadata(content).ok()?;
        let head: Head = serde_json::from_str(header.metadata().as_ref()?.get(ENTRY)?).ok()?;
        if head.key != self.key {
            return None;
        }
        if head.schema > SCHEMA {
            tracing::warn!(file = %self.path.display(), schema = head.schema, "the saved training is a newer program's: starting anew");
            return None;
        }
        let mut order = Vec::new();
        let mut tensors = Vec::new();
        for (name, view) in SafeTensors::deserialize(content).ok()?.iter() {
            let dtype = match view.dtype() {
                Dtype::F32 => DType::F32,
                Dtype::I64 => DType::I64,
                Dtype::U32 => DType::U32,
                _ => return None,
            };
            let tensor = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu).ok()?;
            if name == ORDER {
                order = tensor.to_vec1().ok()?;
            } else {
                tensors.push((name.to_string(), tensor));
            }
        }
        tracing::info!(
            epoch = head.progress.epoch,
            batch = head.progress.batch,
            "going on with the saved training"
        );
        Some(Snapshot {
            progress: head.progress,
            order,
            tensors,
        })
    }

    /// Writes a state, atomically.
    fn save(&self, snapshot: &Snapshot) -> Result<(), JobError> {
        let mut buffers = Vec::with_capacity(snapshot.tensors.len() + 1);
        for (name, tensor) in &snapshot.tensors {
            let values = tensor.to_device(&Device::Cpu)?.flatten_all()?;
            let (dtype, bytes) = match tensor.dtype() {
                DType::I64 => (
                    Dtype::I64,
                    little_endian(&values.to_vec1::<i64>()?, i64::to_le_bytes),
                ),
                _ => (
                    Dtype::F32,
                    little_endian(&values.to_vec1::<f32>()?, f32::to_le_bytes),
                ),
            };
            buffers.push((name.as_str(), dtype, tensor.dims().to_vec(), bytes));
        }
        let order = little_endian(&snapshot.order, u32::to_le_bytes);
        buffers.push((ORDER, Dtype::U32, vec![snapshot.order.len()], order));
        let head = Head {
            schema: SCHEMA,
            key: self.key.clone(),
            progress: snapshot.progress.clone(),
        };
        let failed = |error: String| JobError::State {
            path: self.path.clone(),
            problem: error,
        };
        let mut views = Vec::with_capacity(buffers.len());
        for (name, dtype, shape, bytes) in &buffers {
            let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| failed(e.to_string()))?;
            views.push((*name, view));
        }
        let head = serde_json::to_string(&head).map_err(|e| failed(e.to_string()))?;
        let metadata = HashMap::from([(ENTRY.to_string(), head)]);
        let mut bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| failed(e.to_string()))?;
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        Ok(write_atomic(&self.path, &bytes)?)
    }

    /// Forgets the state, and what was left of a training that diverged: the job is done.
    pub fn remove(&self) {
        self.forget();
        let _ = std::fs::remove_file(self.left());
    }

    /// Forgets the state.
    pub fn forget(&self) {
        // A file that stays is of no harm: it is this job's, and says what the job gave.
        let _ = std::fs::remove_file(&self.path);
    }

    /// The checkpoint of the last good epoch of a training that diverged.
    pub fn left(&self) -> PathBuf {
        self.path.with_extension("diverged.safetensors")
    }
}

fn little_endian<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

/// Reports a training's progress, and saves its state from time to time.
pub(super) struct Watch<'a, 'b> {
    pub context: &'a mut Context<'b>,
    pub file: &'a StateFile,
    /// Epochs of the job's trainings before this one.
    pub before: usize,
    /// Epochs of all of them.
    pub of: usize,
    /// Number of epochs after which the state is saved in any case.
    pub keep_last: Option<usize>,
    /// When the state was saved last.
    pub saved: Instant,
    /// Why it stopped.
    pub stopped: Option<JobError>,
    /// Of a training that diverged: the network after the last good epoch.
    pub good: Option<Network>,
}

impl<'a, 'b> Watch<'a, 'b> {
    /// Of a job's only training.
    pub fn new(context: &'a mut Context<'b>, file: &'a StateFile, epochs: usize) -> Self {
        Self {
            context,
            file,
            before: 0,
            of: epochs,
            keep_last: None,
            saved: Instant::now(),
            stopped: None,
            good: None,
        }
    }

    fn report(&mut self, event: JobEvent) -> Next {
        match self.context.report(event) {
            Err(error) => {
                self.stopped = Some(error);
                Next::Stop
            }
            Ok(()) if self.saved.elapsed() >= self.every() => Next::Keep,
            Ok(()) => Next::Go,
        }
    }

    fn every(&self) -> Duration {
        self.context.resources.checkpoint_every
    }
}

impl Observer for Watch<'_, '_> {
    fn batch(&mut self) -> Next {
        self.report(JobEvent::Tick)
    }

    fn epoch(&mut self, done: &Epoch) -> Next {
        tracing::info!(
            epoch = done.epoch,
            loss = done.train_loss,
            val_accuracy = done.val_accuracy,
            test_accuracy = done.test_accuracy,
            "epoch"
        );
        let next = self.report(JobEvent::Epoch {
            epoch: self.before + done.epoch + 1,
            of: self.of,
            loss: done.train_loss,
        });
        match self.keep_last == Some(done.epoch + 1) {
            true => next.max(Next::Keep),
            false => next,
        }
    }

    fn keep(&mut self, snapshot: &Snapshot) {
        // Training goes on without: it is only the time until now that an interruption would cost.
        if let Err(error) = self.file.save(snapshot) {
            let chain = error.failure().chain.join(": ");
            tracing::warn!(error = %chain, "the state of the training could not be saved");
        }
        self.saved = Instant::now();
    }

    fn diverged(&mut self, epoch: usize, network: &Network) {
        tracing::info!(epoch, "the last epoch that was good");
        self.good = Some(network.clone());
    }
}
