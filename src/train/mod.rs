//! Training: optimisers, schedules, losses and the loop over epochs.
//!
//! The loop knows no job, path or log: a [`Source`] of batches and a generator in, weights and a history out. Given the
//! same generator and device kind it gives the same bits, also across an interruption ([`Snapshot`]).

mod adam;
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
pub use fit::{Data, Epoch, Fit, Fitted, Next, Observer, Select, TrainError, fit};
pub use loss::cross_entropy;
pub use optimizer::{Optimizer, OptimizerKind, OptimizerSettings};
pub use schedule::{Course, Schedule, ScheduleKind};
pub use snapshot::{Progress, Snapshot};
pub use source::{Batch, Source};
