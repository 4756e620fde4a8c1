//! Data sets, their splits over base models, and fusion sets. Tensors out; no job, path of results or log.
//!
//! | file | what |
//! | --- | --- |
//! | `settings` | [`DatasetSettings`]: which data, by name or path |
//! | `sets` | [`Sets`]: looks at each data set once |
//! | `set` | [`DataSet`] and [`Part`]: pixels and labels in memory, tensors on demand |
//! | `request` | which data set is asked for, and what there is to know of one |
//! | `sources` | data sets with names, one file each: digits, MNIST, CIFAR, Tiny-ImageNet, `MedMNIST` |
//! | `catalogue` | [`load`], [`check`], [`known`]: by name or path |
//! | `published` | where files are published |
//! | `own`, `folder` | data sets by path: folders of images, parquet files |
//! | `layout`, `hub`, `rows`, `labels` | parquet files: which, their columns, their images, their labels |
//! | `npz` | arrays of `NumPy` |
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
mod catalogue;
mod decoded;
mod error;
pub mod fetch;
#[cfg(test)]
mod fixtures;
mod folder;
mod hub;
mod image;
mod kept;
mod labels;
mod layout;
mod normalise;
mod npz;
mod own;
mod pages;
mod pixels;
mod published;
mod request;
mod rows;
mod sample;
mod set;
mod sets;
mod settings;
mod sources;
mod split;

pub use augment::{Augmentation, Augmenter, Mix, MixPart};
pub use catalogue::{check, known, load};
pub use error::DataError;
pub use pixels::Pixels;
pub use request::{DataSetInfo, Found, Known};
pub use sample::balanced_sample;
pub use set::{DataSet, Normalisation, Part};
pub use sets::Sets;
pub use settings::DatasetSettings;
pub use sources::NAMES;
pub use split::{SplitKind, SplitOptions, check_split, hold_out, split};
