//! Models on disk: our own safetensors, other safetensors, and PyTorch's files.
//!
//! [`open`] reads the headers of any of them; [`File::load`] the tensors; [`convert`] and [`save_tensors`] write.
//! [`File::model`] tells the architecture, also of files that do not name it; [`save`] and [`load`] are for the checkpoints that jobs leave to each other.

mod convert;
mod dtype;
mod error;
mod header;
mod info;
mod input;
mod model;
mod native;
mod open;
mod origin;
mod plain;
mod raw;
pub mod torch;

pub use convert::{Target, convert, convert_with, save_tensors};
pub use dtype::Dtype;
pub use error::CheckpointError;
pub use info::TensorInfo;
pub use native::{Checkpoint, Meta, load, save};
pub use open::{File, Format, Kind, is_pointer, open, open_bytes, open_with};
pub use origin::Origin;
pub use raw::Raw;
