//! Where the files of a data set are published.

/// The place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Published {
    /// In the program itself.
    Embedded,
    /// A server with files.
    Mirror {
        /// Its address.
        base: &'static str,
        /// They.
        files: &'static [PublishedFile],
    },
    /// Parquet files of a repository of the Hugging Face hub, below a folder of it. The hub lists them with their sizes
    /// and, for large files, their SHA-256.
    Hub {
        /// The repository.
        repository: &'static str,
        /// The folder, with `/` at its end, or nothing.
        folder: &'static str,
    },
}

/// A file of a [`Published::Mirror`].
#[derive(Debug, Clone, Copy)]
pub(super) struct PublishedFile {
    /// Its name.
    pub name: &'static str,
    /// Its MD5.
    pub md5: &'static str,
    /// Bytes that it has at most.
    pub most: u64,
    /// Height and width of its images, where the set is published in several sizes.
    pub size: Option<usize>,
}
