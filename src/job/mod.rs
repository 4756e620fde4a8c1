//! One job from its specification to its record: load, compute, evaluate.
//!
//! [`run`] is where every executor meets. [`inputs`] looks at the outside before anything runs: what data sets, model
//! files and fusion sets hold, by content. [`scores`], [`neurons`] and [`interpolation`] look at base models with what a
//! fusion of them would work on.

mod context;
mod error;
mod evaluate;
mod finetune;
mod fuse;
pub mod inputs;
mod model_file;
mod models;
mod outcome;
mod progress;
mod run;
mod samples;
mod scores;
mod study;
mod train;
mod unlisted;

pub use context::{CHECKPOINT_EVERY, Context, DataCache, Resources};
pub use error::JobError;
pub use progress::saved_states;
pub use run::{attempt, ended, failed, peak_memory, place, places, run, skipped, started_now};
pub use scores::{ModelScores, scores};
pub use study::{interpolation, neurons};
