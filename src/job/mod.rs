//! One job from its specification to its record: load, compute, evaluate.
//!
//! [`run`] is where every executor meets. [`inputs`] looks at the outside before anything runs: what data sets, model
//! files and fusion sets hold, by content.

mod context;
mod error;
mod evaluate;
mod fuse;
pub mod inputs;
mod run;
mod train;

pub use context::{Context, DataCache, Resources};
pub use error::JobError;
pub use run::{execute, place, places, run, skipped};
