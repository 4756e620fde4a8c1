//! What runs, when and where: decisions against the disk, a dispatcher over dependencies, executors.
//!
//! The dispatcher knows no threads and no cluster: it gives jobs to an [`Executor`] and hears [`Notice`]s from it. It
//! talks to the user interface through a callback of [`crate::event::Event`]s alone.

mod claiming;
mod costs;
mod decide;
mod dispatch;
mod executor;
mod local;
mod log;
mod processes;
pub mod slurm;
mod threads;

pub use claiming::{Claiming, Seen, seen};
pub use costs::Costs;
pub use decide::{Decision, Reason, Selection, Slice, adopt, decide};
pub use dispatch::{GRACE, Halt, Options, Outcome, dispatch};
pub use executor::{Executor, Notice};
pub use local::Local;
pub use log::JobLog;
pub use processes::{Order, Processes};
pub use threads::{JobThreads, Listener};
