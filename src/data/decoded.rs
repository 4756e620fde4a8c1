//! Data sets that come in files: decoded once, then taken from [`super::kept`].
//!
//! Four arrays are kept: labels and pixels of the training part, labels and pixels of the test part. Labels are bytes,
//! or, where there are more than 256 classes, four little-endian bytes each; pixels are planes `[N, C, H, W]`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::kept::{Facts, Keeping, Kept, Origin, hash_of};
use super::normalise::{Moments, Stats};
use super::pixels::Pixels;
use super::request::hash;
use super::{DataError, DataSet, DataSetInfo, Found, Part};

/// Labels and pixels of one part: `N` and `N * C * H * W` bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Images {
    pub labels: Vec<u32>,
    pub pixels: Vec<u8>,
}

impl Images {
    /// Room for `count` more images of `size` bytes, or says that memory does not suffice.
    pub(super) fn reserve(&mut self, count: usize, size: usize) -> Result<(), String> {
        let bytes = count.saturating_mul(size);
        let room = self.pixels.try_reserve_exact(bytes);
        room.map_err(|_| format!("{count} images of {size} bytes do not fit into memory"))
    }
}

/// Labels and pixels of one part, decoded or read.
type LabelsAndPixels = (Vec<u32>, Pixels);

/// A data set as its files have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decoded {
    pub shape: [usize; 3],
    pub classes: usize,
    /// Training and test.
    pub parts: [Images; 2],
}

/// Where a decoded set comes from and what becomes of it.
pub(super) struct Recipe<'a> {
    /// Name in messages.
    pub name: &'a str,
    /// Begins the name of the kept file, and the line that the hash is made of.
    pub kind: &'a str,
    /// Changes when the same files are decoded to other pixels or labels.
    pub decoder: &'a str,
    /// Beside what the decoded images are kept.
    pub home: &'a Path,
    /// How they are kept.
    pub keeping: Keeping<'a>,
    /// All files.
    pub origins: Vec<Origin>,
    /// How pixels are normalised.
    pub stats: Stats,
}

/// What is kept of a set beside its arrays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct About {
    shape: [usize; 3],
    classes: usize,
    /// Of the training part.
    moments: Moments,
}

impl Recipe<'_> {
    /// What the set is, without decoding it where that was done before.
    pub(super) fn find(
        &self,
        decode: impl FnOnce() -> Result<Decoded, DataError>,
    ) -> Result<Found, DataError> {
        if let Some(facts) = self.kept().facts()
            && let Some((about, info)) = understood(&facts)
        {
            return self.found(&about, info, &facts);
        }
        let (about, facts, decoded) = self.decode(decode)?;
        self.found(&about, decoded.info(), &facts)
    }

    /// The set, decoded now or before.
    pub(super) fn load(
        &self,
        decode: impl FnOnce() -> Result<Decoded, DataError>,
    ) -> Result<DataSet, DataError> {
        let (about, info, facts, parts) = if let Some(kept) = self.loaded() {
            kept
        } else {
            let (about, facts, decoded) = self.decode(decode)?;
            let info = decoded.info();
            let parts = decoded.parts.map(|images| (images.labels, images.pixels.into()));
            (about, info, facts, parts)
        };
        let Found {
            info,
            hash,
            normalisation,
        } = self.found(&about, info, &facts)?;
        let part = |(labels, pixels): LabelsAndPixels| {
            Part::new(info.shape, pixels, labels, &normalisation).map_err(|error| DataError::Content {
                name: self.name.to_owned(),
                folder: self.home.to_path_buf(),
                problem: error.to_string(),
            })
        };
        let [train, test] = parts;
        Ok(DataSet {
            name: self.name.to_owned(),
            classes: info.classes,
            shape: info.shape,
            train: part(train)?,
            test: part(test)?,
            hash,
        })
    }

    fn found(&self, about: &About, info: DataSetInfo, facts: &Facts) -> Result<Found, DataError> {
        let normalisation = self
            .stats
            .normalisation(self.name, info.shape[0], &about.moments)?;
        let recipe = format!(
            "{} v1, (x / 255 - {:?}) / {:?}",
            self.kind, normalisation.mean, normalisation.std
        );
        let hashes: Vec<&str> = facts.hashes.iter().map(String::as_str).collect();
        Ok(Found {
            info,
            hash: hash(&recipe, &hashes),
            normalisation,
        })
    }

    /// Beside the files, or in the cache folder, under a name that tells one folder of files from another.
    fn kept(&self) -> Kept<'_> {
        let mut places = vec![self.home.join(format!("{}.runner-cache", self.kind))];
        if let Some(cache_dir) = self.keeping.cache_dir {
            let folder = self
                .home
                .canonicalize()
                .unwrap_or_else(|_| self.home.to_path_buf());
            let of = &hash_of(folder.as_os_str().as_encoded_bytes())[..16];
            places.push(cache_dir.join(format!("{}-{of}.runner-cache", self.kind)));
        }
        Kept {
            places,
            decoder: self.decoder,
            origins: &self.origins,
            reread: self.keeping.reread,
        }
    }

    fn loaded(&self) -> Option<(About, DataSetInfo, Facts, [LabelsAndPixels; 2])> {
        let (facts, arrays) = self.kept().load()?;
        let (about, info) = understood(&facts)?;
        let [train_labels, train, test_labels, test]: [Pixels; 4] = arrays.try_into().ok()?;
        let labels = |bytes: Pixels| labels_of(&bytes, about.classes);
        let parts = [(labels(train_labels), train), (labels(test_labels), test)];
        Some((about, info, facts, parts))
    }

    /// Decodes and keeps.
    fn decode(
        &self,
        decode: impl FnOnce() -> Result<Decoded, DataError>,
    ) -> Result<(About, Facts, Decoded), DataError> {
        let stamps: Vec<_> = self.origins.iter().map(Origin::stamp).collect();
        let decoded = decode()?;
        let [train, test] = &decoded.parts;
        let about = About {
            shape: decoded.shape,
            classes: decoded.classes,
            moments: Moments::of(&train.pixels, decoded.shape),
        };
        let labels = [train, test].map(|images| bytes_of(&images.labels, decoded.classes));
        let arrays = [labels[0].as_slice(), &train.pixels, &labels[1], &test.pixels];
        let value = serde_json::to_value(&about).unwrap_or_default();
        let facts = Facts::of(value, &arrays);
        // A file that was read a moment ago and now is not will be missed the next time.
        if let Ok(stamps) = stamps.into_iter().collect() {
            self.kept().store(stamps, &facts, &arrays);
        }
        Ok((about, facts, decoded))
    }
}

impl Decoded {
    fn info(&self) -> DataSetInfo {
        DataSetInfo {
            classes: self.classes,
            train: self.parts[0].labels.len(),
            test: self.parts[1].labels.len(),
            shape: self.shape,
        }
    }
}

/// What the facts say; `None` where the arrays' lengths are not those of such a set.
fn understood(facts: &Facts) -> Option<(About, DataSetInfo)> {
    let about: About = serde_json::from_value(facts.about.clone()).ok()?;
    let size = about.shape.iter().product::<usize>() as u64;
    let width = width(about.classes) as u64;
    let &[train_labels, train, test_labels, test] = facts.lengths.as_slice() else {
        return None;
    };
    let (train_count, test_count) = (train_labels / width, test_labels / width);
    let fits = train == train_count * size && test == test_count * size;
    let info = DataSetInfo {
        classes: about.classes,
        train: train_count as usize,
        test: test_count as usize,
        shape: about.shape,
    };
    fits.then_some((about, info))
}

/// Bytes of a label.
fn width(classes: usize) -> usize {
    if classes <= 256 { 1 } else { 4 }
}

fn bytes_of(labels: &[u32], classes: usize) -> Vec<u8> {
    match width(classes) {
        1 => labels.iter().map(|&label| label as u8).collect(),
        _ => labels.iter().flat_map(|label| label.to_le_bytes()).collect(),
    }
}

fn labels_of(bytes: &[u8], classes: usize) -> Vec<u32> {
    match width(classes) {
        1 => bytes.iter().map(|&byte| u32::from(byte)).collect(),
        _ => bytes
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect(),
    }
}
