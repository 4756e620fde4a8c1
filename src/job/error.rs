//! Why a job stopped.

use crate::arch::ArchError;
use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::fusion::FusionError;
use crate::gpu;
use crate::metrics::MetricError;
use crate::result::{Failure, StoreError, THREADS_HINT};
use crate::train::TrainError;

/// A job did not finish.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The schedule asked it to stop; there is no record.
    #[error("cancelled")]
    Cancelled,
    /// It took too long.
    #[error("the job took longer than {}", humantime::format_duration(*limit))]
    Timeout {
        /// The limit.
        limit: std::time::Duration,
    },
    /// It took too much memory.
    #[error("the job held {} MiB of memory, more than the {} MiB of `resources.memory`", used >> 20, limit >> 20)]
    Memory {
        /// Bytes when it was ended.
        used: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Its process ended without a record.
    #[error("the job's process {how}")]
    Worker {
        /// How it ended, and what it said.
        how: String,
    },
    /// The data set.
    #[error("data set `{name}`")]
    Data {
        /// Which one.
        name: String,
        /// Why.
        source: DataError,
    },
    /// An input is not what the job's key says.
    #[error("{what} changed since it was planned")]
    Changed {
        /// The input, such as ``the data set `mnist` ``.
        what: String,
    },
    /// The record of a job that this one needs does not fit.
    #[error("the record of `{job}` does not hold {what}")]
    Dependency {
        /// The other job.
        job: String,
        /// What is missing.
        what: &'static str,
    },
    /// A base model's file.
    #[error("importing a base model")]
    Import(#[source] CheckpointError),
    /// A model that does not fit its architecture.
    #[error("building a network")]
    Arch(#[from] ArchError),
    /// A checkpoint.
    #[error("a checkpoint")]
    Checkpoint(#[from] CheckpointError),
    /// A file of a fusion set.
    #[error("the fusion set `{}`: {problem}", path.display())]
    FusionSet {
        /// Which file.
        path: std::path::PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A study asks for what there is not.
    #[error("there is no {what} {at}: they go from 0 to {}", count.saturating_sub(1))]
    NoSuch {
        /// Of what.
        what: &'static str,
        /// Its number.
        at: usize,
        /// How many there are.
        count: usize,
    },
    /// Sampling the fusion set.
    #[error("sampling the fusion set")]
    Sample(#[source] DataError),
    /// Less than f32 where there is no GPU.
    #[error("`base.precision` other than \"f32\" is for GPUs")]
    Precision,
    /// A GPU's memory is used up, on half of the chunks too.
    #[error("the GPU's memory is used up{}", .memory.map_or_else(String::new, |m| format!(": without this job, {} MiB of {} MiB are free", m.free >> 20, m.total >> 20)))]
    OutOfMemory {
        /// What is free after the job.
        memory: Option<crate::gpu::Memory>,
        /// What was asked for.
        source: Box<JobError>,
    },
    /// Training.
    #[error("training")]
    Train {
        /// Why.
        source: TrainError,
        /// The checkpoint of the last good epoch, where there is one.
        left: Option<std::path::PathBuf>,
    },
    /// The state of a training.
    #[error("the state of a training, `{}`: {problem}", path.display())]
    State {
        /// Which file.
        path: std::path::PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Fusing.
    #[error("fusing")]
    Fusion(#[from] FusionError),
    /// Evaluating.
    #[error("evaluating")]
    Metric(#[from] MetricError),
    /// Candle.
    #[error("computing")]
    Candle(#[from] candle_core::Error),
    /// Reading or writing results.
    #[error("results")]
    Store(#[from] StoreError),
    /// The system gives no thread to compute on.
    #[error("the system refuses another thread or process")]
    Threads(#[source] std::io::Error),
    /// A bug; the job's thread panicked.
    #[error("internal error: {0}")]
    Panic(String),
}

impl JobError {
    /// Whether it stopped because results cannot be written.
    pub fn is_unwritable(&self) -> bool {
        match self {
            Self::Store(error) | Self::Checkpoint(CheckpointError::Store(error)) => error.is_unwritable(),
            _ => false,
        }
    }

    /// The chain of causes for the record.
    pub fn failure(&self) -> Failure {
        let mut chain = vec![self.to_string()];
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let text = error.to_string();
            // A transparent wrapper repeats its source.
            if chain.last() != Some(&text) {
                chain.push(text);
            }
            source = error.source();
        }
        Failure {
            chain,
            hint: self.hint(),
        }
    }

    fn hint(&self) -> Option<String> {
        if gpu::is_lost(self) {
            let text = "the GPU does not answer any more (`nvidia-smi`, `dmesg`); what is done is kept: run `runner exec` again";
            return Some(text.into());
        }
        match self {
            Self::OutOfMemory { .. } => Some(
                "run fewer jobs at a time (`--jobs`), or a smaller `base.batch-size` or fusion set; `nvidia-smi` shows \
                 what other programs use"
                    .into(),
            ),
            Self::Changed { .. } => Some(
                "nothing was computed from it; run `runner exec` again, which plans with what is there now, or restore \
                 what was there"
                    .into(),
            ),
            Self::Precision => Some("use `--device cuda`, or drop the key".into()),
            Self::Data { source, .. } | Self::Sample(source) => source.hint(),
            Self::Import(error) => error.hint().map(String::from),
            Self::Store(error) | Self::Checkpoint(CheckpointError::Store(error)) => {
                error.hint().map(String::from)
            }
            Self::Checkpoint(_) => {
                Some("run `runner exec` again: checkpoints that cannot be trusted are made anew".into())
            }
            Self::Train { left: Some(path), .. } => Some(format!(
                "the network after the last epoch that was good is kept in `{}`",
                path.display()
            )),
            Self::Timeout { .. } => Some("raise `resources.timeout`".into()),
            Self::Memory { .. } => Some("raise `resources.memory`".into()),
            Self::Worker { .. } => Some(
                "`runner logs JOB` shows how far it came; the system ends processes when it runs out of memory (`dmesg`)".into(),
            ),
            Self::Threads(_)
            | Self::Train {
                source: TrainError::Thread(_),
                ..
            } => Some(THREADS_HINT.into()),
            Self::Panic(_) => Some("please report it with the job's log (`runner logs JOB`)".into()),
            _ => None,
        }
    }
}
