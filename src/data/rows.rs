//! Rows of parquet files to labels and pixels.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rayon::prelude::*;

use super::decoded::Images;
use super::hub::{self, Columns};
use super::{DataError, image};

/// Bytes that images take, beside a multiple of what they take in files.
const LEAST: u64 = 64 << 20;
/// More than any picture is compressed by.
const MULTIPLE: u64 = 256;

/// Refuses images that would take far more memory than `encoded` bytes of them give reason to: files are small where they
/// claim pixels without content.
pub(super) fn check_size(count: usize, shape: [usize; 3], encoded: u64) -> Result<(), String> {
    let pixels = shape
        .iter()
        .fold(count as u64, |all, &n| all.saturating_mul(n as u64));
    let most = LEAST.saturating_add(MULTIPLE.saturating_mul(encoded));
    if pixels <= most {
        return Ok(());
    }
    let [channels, height, width] = shape;
    Err(format!(
        "{count} images of {channels} x {height} x {width} take {pixels} bytes, of which at most {most} are read from {encoded} \
         bytes of files"
    ))
}

/// Appends the images of one file, each of `shape`, with labels below `classes` where their number is known.
///
/// On an error, says what is wrong and in which row, counted from 0.
pub(super) fn append(
    content: Vec<u8>,
    columns: &Columns,
    (shape, classes): ([usize; 3], Option<usize>),
    images: &mut Images,
) -> Result<(), String> {
    let encoded = content.len() as u64;
    let rows = hub::read(&Bytes::from(content), columns)?;
    check_size(rows.images.len(), shape, encoded)?;
    let labels: Result<Vec<u32>, String> = rows
        .labels
        .iter()
        .enumerate()
        .map(|(row, &found)| label(row, found, classes))
        .collect();
    images.labels.extend(labels?);
    let encoded: Vec<&[u8]> = rows
        .images
        .iter()
        .map(parquet::data_type::ByteArray::data)
        .collect();
    decode_all(encoded.len(), shape, images, |row, planes| {
        image::decode(encoded[row], shape, planes).map_err(|problem| format!("row {row}: {problem}"))
    })
}

/// `[C, H, W]` of the images of a file: height and width of the first, three channels if any has colour.
pub(super) fn shape(content: Vec<u8>, columns: &Columns) -> Result<Option<[usize; 3]>, String> {
    let rows = hub::read(&Bytes::from(content), columns)?;
    let headers: Vec<Result<[usize; 3], String>> = rows
        .images
        .par_iter()
        .enumerate()
        .map(|(row, bytes)| image::header(bytes.data()).map_err(|problem| format!("row {row}: {problem}")))
        .collect();
    let mut shape: Option<[usize; 3]> = None;
    for header in headers {
        let header = header?;
        let first = shape.get_or_insert(header);
        first[0] = first[0].max(header[0]);
    }
    Ok(shape)
}

/// Makes room for `count` images and decodes them on all cores; the error is that of the first image that has one,
/// whichever thread comes to it first.
pub(super) fn decode_all<E: Send + From<String>>(
    count: usize,
    shape: [usize; 3],
    images: &mut Images,
    decode: impl Fn(usize, &mut [u8]) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let size: usize = shape.iter().product();
    images.reserve(count, size)?;
    let start = images.pixels.len();
    images.pixels.resize(start + count * size, 0);
    let planes = images.pixels[start..]
        .par_chunks_exact_mut(size.max(1))
        .enumerate();
    let problem = planes
        .filter_map(|(row, planes)| decode(row, planes).err().map(|problem| (row, problem)))
        .min_by_key(|(row, _)| *row);
    problem.map_or(Ok(()), |(_, problem)| Err(problem))
}

/// The label of a row, or says that there is no such class.
pub(super) fn label(row: usize, label: i64, classes: Option<usize>) -> Result<u32, String> {
    let most = classes.unwrap_or(MOST_CLASSES);
    if let Some(found) = u32::try_from(label).ok().filter(|&found| (found as usize) < most) {
        return Ok(found);
    }
    Err(match classes {
        Some(classes) => format!("row {row}: its label is {label}, but there are {classes} classes"),
        None => format!(
            "row {row}: its label is {label}, but labels are numbers from 0 to {}",
            MOST_CLASSES - 1
        ),
    })
}

/// A label this large is no class: networks have an output for each.
const MOST_CLASSES: usize = 1 << 20;

/// Appends the images of several files.
pub(super) fn append_files(
    paths: &[PathBuf],
    columns: &Columns,
    what: ([usize; 3], Option<usize>),
    images: &mut Images,
) -> Result<(), DataError> {
    for path in paths {
        append(read(path)?, columns, what, images)
            .map_err(|problem| DataError::format(path, "parquet", problem))?;
    }
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    crate::files::read(path).map_err(|error| DataError::read(path, error))
}
