//! From a resolved manifest to jobs: what has to be done, under which identity, in which order. Pure.
//!
//! What is in a job's key, and what must not be: see [`key`]. Two points of the axes that share base models share the
//! jobs that make them.

mod build;
mod filter;
mod finetune;
mod groups;
pub mod key;
mod spec;

pub use build::{DuplicateName, Inputs, ModelFile, Plan, build};
pub use filter::Filter;
pub use groups::draw;
pub use spec::{
    Base, Cell, Dependency, Fuse, JobSpec, Source, Task, VERSION_EVALUATE, VERSION_FINETUNE, VERSION_TRAIN,
};
