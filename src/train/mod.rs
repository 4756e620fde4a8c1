//! Training: optimisers, schedules, losses and the loop over epochs.
//!
//! The loop knows no job, path or log: a [`Source`] of batches and a generator in, weights and a history out. Given the
//! same generator and device kind it gives the same bits, also across an interruption ([`Snapshot`]).

mod adam;
mod epoch;
mod error;
mod fit;
mod loss;
mod optimizer;
mod schedule;
mod snapshot;
mod source;
#[cfg(test)]
mod tests;
mod trainer;

pub use crate::gpu::Precision;
pub use epoch::Epoch;
pub use error::TrainError;
pub use fit::{Data, Fit, Fitted, Next, Observer, Select};
pub use loss::cross_entropy;
pub use optimizer::{Optimizer, OptimizerKind, OptimizerSettings};
pub use schedule::{Course, Schedule, ScheduleKind};
pub use snapshot::{Progress, Snapshot};
pub use source::{Batch, Source};
pub use trainer::fit;
