//! Reads PyTorch checkpoints without running them.
//!
//! Since torch 1.6 `torch.save` writes a zip archive of uncompressed entries:
//!
//! | entry | what | checked |
//! | --- | --- | --- |
//! | `ROOT/data.pkl` | a pickle (protocol 2): the object tree | bounded by [`Limits`], classes against an allow-list |
//! | `ROOT/data/KEY` | the bytes of one storage | CRC, and length against the element count in the pickle |
//! | `ROOT/byteorder` | `little` or `big` (torch 2.1 and later) | must be `little`; absent means `little` |
//!
//! `ROOT` is any name: it is the name under which the file was saved, which renaming the file does not change. The
//! format of older files is told in `legacy.rs`; they go the same way from the pickle on.
//!
//! The pickle is a program for a stack machine whose instructions may call any Python function. Here it is run by
//! a machine of its own (`pickle.rs`) that only builds a tree of plain values; the few functions that PyTorch's
//! pickles need (`_rebuild_tensor_v2`, `OrderedDict`, ...) are re-implemented, and any other name is an error.
//! Values lie in an arena and refer to each other by handle, so what a pickle shares stays shared, cycles are
//! harmless, and dropping the tree does not recurse.
//!
//! Three shapes of file are understood: a whole module (`torch.save(model)`), of PyTorch's own classes or of the
//! reference's models, a plain state dict (`torch.save(model.state_dict())`), and the dictionary of a training loop
//! that holds one of both among other values (`{"epoch": 3, "model_state_dict": ..., "optimizer": ...}`). The tensors
//! come out under the names and in the order of `state_dict()`: parameters, then persistent buffers, then submodules.

mod attribute;
mod classes;
mod container;
mod content;
mod error;
mod file;
mod legacy;
mod limits;
mod machine;
mod module;
mod pickle;
mod reader;
mod reduce;
mod source;
mod tensor;
mod value;
mod write;

pub use attribute::Attribute;
pub use error::{EntryProblem, LayoutProblem, PickleProblem, TensorProblem, TorchError};
pub(super) use file::Opened;
pub use file::{TorchFile, read, read_with};
pub use limits::Limits;
pub(super) use module::MAX_NAME;
pub(super) use tensor::MAX_DIMENSIONS;
pub(super) use write::write;
