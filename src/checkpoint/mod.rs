//! Models on disk: our own safetensors, and PyTorch's files for import.

mod native;
pub mod torch;

pub use native::{Checkpoint, CheckpointError, Meta, load, save};
