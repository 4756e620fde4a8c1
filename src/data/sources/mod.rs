//! Data sets with names: one file each, and one list.
//!
//! To add one: write its file, with a type that implements [`Source`], and put its name into the list below. The names in
//! manifests and help, `runner fetch`, checks and the reference of manifests follow from it.

mod batch;
mod cifar;
mod digits;
mod idx;
pub(super) mod medmnist;
mod mnist;
mod tiny;

use super::published::Published;
use super::request::{Found, Known, Request};
use super::{DataError, DataSet};

/// A data set with a name.
pub(super) trait Source {
    /// What help and messages say of it.
    const KNOWN: Known;

    /// Where its files are published.
    const PUBLISHED: Published;

    /// Finds and verifies the files, without decoding them where that was done before.
    fn find(request: &Request) -> Result<Found, DataError>;

    /// Decodes the files, or takes what was decoded before.
    fn load(request: &Request) -> Result<DataSet, DataError>;
}

/// A [`Source`] as a value.
#[derive(Debug)]
pub(super) struct Entry {
    pub known: Known,
    pub published: Published,
    pub find: fn(&Request) -> Result<Found, DataError>,
    pub load: fn(&Request) -> Result<DataSet, DataError>,
}

impl Entry {
    const fn of<S: Source>() -> Self {
        Self {
            known: S::KNOWN,
            published: S::PUBLISHED,
            find: S::find,
            load: S::load,
        }
    }
}

macro_rules! sources {
    ($($source:ty),+ $(,)?) => {
        /// The known data sets, in the order help shows them.
        pub const NAMES: &[Known] = &[$(<$source>::KNOWN),+];

        /// The same, with what can be done with them.
        pub(super) static SOURCES: &[Entry] = &[$(Entry::of::<$source>()),+];
    };
}

sources! {
    digits::Digits,
    mnist::Mnist,
    mnist::FashionMnist,
    cifar::Cifar10,
    cifar::Cifar100,
    tiny::TinyImageNet,
    medmnist::BloodMnist,
}
