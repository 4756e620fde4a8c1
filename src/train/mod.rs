//! Training: optimisers, schedules, losses and the loop over epochs.
//!
//! The loop knows no job, path or log: tensors and a generator in, weights and a history out. Given the same
//! generator and device kind it gives the same bits.

mod adam;
mod fit;
mod loss;
mod optimizer;

pub use fit::{Epoch, Fit, Fitted, Progress, Select, TrainError, fit};
pub use loss::cross_entropy;
pub use optimizer::{Optimizer, OptimizerKind, OptimizerSettings, learning_rate};
