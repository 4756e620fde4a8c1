//! Data sets, their splits over base models, and fusion sets. Tensors out; no job, path of results or log.
//!
//! | file | what |
//! | --- | --- |
//! | `settings` | [`DatasetSettings`]: which data, by name or path |
//! | `sets` | [`Sets`]: looks at each data set once |
//! | `set` | [`DataSet`] and [`Part`]: pixels and labels in memory, tensors on demand |
//! | `catalogue` | [`NAMES`], [`load`], [`check`] |
//! | `digits` | UCI 8x8 digits, embedded |
//! | `mnist`, `idx` | MNIST and Fashion-MNIST, and their file format |
//! | `cifar`, `batch` | CIFAR-10 and CIFAR-100, and their original files |
//! | `tiny` | Tiny-ImageNet |
//! | `medmnist`, `npz` | `BloodMNIST`, and its file format |
//! | `own`, `folder` | data sets by path: folders of images, parquet files |
//! | `source`, `hub`, `rows` | parquet files: which, their columns, their images |
//! | `image` | PNG and JPEG |
//! | `decoded`, `kept` | images decoded once and kept in a file |
//! | [`fetch`] | downloads |
//! | `normalise` | mean and standard deviation: usual, given, or computed |
//! | `split` | [`split()`] the training set over models, [`hold_out`] validation samples |
//! | `augment` | [`Augmenter`]: varied training images |
//! | `sample` | [`balanced_sample`]: the fusion set |
//!
//! Everything random takes a generator from [`crate::seed`]; equal generators give equal results.

mod augment;
mod batch;
mod catalogue;
mod cifar;
mod decoded;
mod digits;
mod error;
pub mod fetch;
#[cfg(test)]
mod fixtures;
mod folder;
mod hub;
mod idx;
mod image;
mod kept;
mod medmnist;
mod mnist;
mod normalise;
mod npz;
mod own;
mod pages;
mod pixels;
mod rows;
mod sample;
mod set;
mod sets;
mod settings;
mod source;
mod split;
mod tiny;

pub use augment::{Augmentation, Augmenter, Mix, MixPart};
pub use catalogue::{DataSetInfo, Found, Known, NAMES, check, known, load};
pub use error::DataError;
pub use pixels::Pixels;
pub use sample::balanced_sample;
pub use set::{DataSet, Normalisation, Part};
pub use sets::Sets;
pub use settings::DatasetSettings;
pub use split::{SplitKind, SplitOptions, check_split, hold_out, split};
