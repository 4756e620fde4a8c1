//! Data sets, their splits over base models, and fusion sets. Tensors out; no job, path of results or log.
//!
//! | file | what |
//! | --- | --- |
//! | `set` | [`DataSet`] and [`Part`]: pixels and labels in memory, tensors on demand |
//! | `catalogue` | [`NAMES`], [`load`], [`check`] |
//! | `digits` | UCI 8x8 digits, embedded |
//! | `mnist`, `idx` | MNIST and its file format |
//! | `cifar` | CIFAR-10 and CIFAR-100 |
//! | `source`, `hub`, `batch` | their files: which, parquet, original binaries |
//! | `image` | PNG and JPEG |
//! | `kept` | decoded images in a file |
//! | `split` | [`split()`] the training set over models, [`hold_out`] validation samples |
//! | `augment` | [`Augmenter`]: varied training images |
//! | `sample` | [`balanced_sample`]: the fusion set |
//!
//! Everything random takes a generator from [`crate::seed`]; equal generators give equal results.

mod augment;
mod batch;
mod catalogue;
mod cifar;
mod digits;
mod error;
#[cfg(test)]
mod fixtures;
mod hub;
mod idx;
mod image;
mod kept;
mod mnist;
mod sample;
mod set;
mod source;
mod split;

pub use augment::{Augmentation, Augmenter, Mix};
pub use catalogue::{DataSetInfo, NAMES, check, load};
pub use error::DataError;
pub use sample::balanced_sample;
pub use set::{DataSet, Normalisation, Part};
pub use split::{SplitKind, SplitOptions, check_split, hold_out, split};
