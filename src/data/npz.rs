//! `NumPy`'s archives: a zip file with one `.npy` file for each array, stored or deflated.
//!
//! A `.npy` file is `\x93NUMPY`, two bytes of version, the length of a header in two (version 1) or four bytes
//! (version 2 and later), little-endian, the header (a Python dictionary), and the values.

use std::io::{Cursor, Read};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

/// Bytes with their dimensions, row-major.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<u8>,
}

/// An archive in memory.
pub(super) struct Npz<'a>(ZipArchive<Cursor<&'a [u8]>>);

impl<'a> Npz<'a> {
    /// On an error, says what is wrong.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        ZipArchive::new(Cursor::new(bytes))
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// The array of that name, which must be of unsigned bytes; `limit` bounds its bytes.
    ///
    /// On an error, says what is wrong.
    pub(super) fn array(&mut self, name: &str, limit: u64) -> Result<Array, String> {
        let content = self.content(&format!("{name}.npy"), limit)?;
        parse(&content).map_err(|problem| format!("`{name}`: {problem}"))
    }

    fn content(&mut self, file: &str, limit: u64) -> Result<Vec<u8>, String> {
        let Some(index) = self.0.index_for_name(file) else {
            let found: Vec<String> = self
                .0
                .file_names()
                .flatten()
                .map(|name| format!("`{name}`"))
                .collect();
            return Err(format!("it has no `{file}`, only {}", found.join(", ")));
        };
        let fail = |error: &dyn std::fmt::Display| format!("`{file}`: {error}");
        let entry = self.0.by_index_raw(index).map_err(|error| fail(&error))?;
        let (method, size, checksum) = (entry.compression(), entry.size(), entry.crc32());
        if size > limit {
            return Err(fail(&format!(
                "it claims {size} bytes, more than the {limit} of any such file"
            )));
        }
        // The library is built without compression: PyTorch's archives have none.
        let mut content = Vec::new();
        let read = match method {
            CompressionMethod::Stored => entry.take(size + 1).read_to_end(&mut content),
            CompressionMethod::DEFLATE => DeflateDecoder::new(entry)
                .take(size + 1)
                .read_to_end(&mut content),
            other => return Err(fail(&format!("compressed by {other}, which is not supported"))),
        };
        read.map_err(|error| fail(&error))?;
        if content.len() as u64 != size {
            return Err(fail(&format!("it has {} bytes instead of {size}", content.len())));
        }
        let mut crc = Crc::new();
        crc.update(&content);
        if crc.sum() != checksum {
            return Err(fail(&format!(
                "its checksum is {:08x} instead of {checksum:08x}",
                crc.sum()
            )));
        }
        Ok(content)
    }
}

/// An array of unsigned bytes.
fn parse(content: &[u8]) -> Result<Array, String> {
    const CUT: &str = "its header is cut short";
    let rest = content
        .strip_prefix(b"\x93NUMPY")
        .ok_or("it does not start as a .npy file")?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or(CUT)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or(CUT)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or(CUT)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        other => return Err(format!("version {other} of the format is not known")),
    };
    let (header, values) = rest.split_at_checked(length).ok_or(CUT)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text")?;
    let kind = field(header, "descr").ok_or("its header has no `descr`")?;
    if !matches!(kind.trim_matches(['\'', '"']), "|u1" | "u1" | "<u1") {
        return Err(format!("its values are of type {kind} instead of '|u1'"));
    }
    if field(header, "fortran_order") != Some("False") {
        return Err("its values are in column-major order".to_owned());
    }
    let shape = shape(header).ok_or("its header has no `shape` of whole numbers")?;
    let count = shape
        .iter()
        .try_fold(1_usize, |count, &size| count.checked_mul(size));
    if count != Some(values.len()) {
        return Err(format!(
            "its shape is {shape:?}, but {} values follow",
            values.len()
        ));
    }
    Ok(Array {
        shape,
        values: values.to_vec(),
    })
}

/// The text of a value of the dictionary that has no comma in it.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let rest = value(header, key)?;
    Some(rest[..rest.find([',', '}'])?].trim())
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (inner, _) = value(header, "shape")?.strip_prefix('(')?.split_once(')')?;
    let sizes = inner.split(',').map(str::trim).filter(|size| !size.is_empty());
    sizes.map(|size| size.parse().ok()).collect()
}

/// What follows a key and its colon.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

#[cfg(test)]
mod tests;
