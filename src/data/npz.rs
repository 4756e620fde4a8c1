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

/// Whole numbers with their dimensions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Numbers {
    pub shape: Vec<usize>,
    pub values: Vec<i64>,
}

/// What arrays may unpack to together, beside a multiple of the archive.
const LEAST: u64 = 64 << 20;
/// Pictures of little content are known to be packed by more than a hundred.
const MULTIPLE: u64 = 128;

/// An archive in memory.
pub(super) struct Npz<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// Bytes that may still be unpacked.
    left: u64,
}

impl<'a> Npz<'a> {
    /// On an error, says what is wrong.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
        Ok(Self {
            archive,
            left: LEAST.saturating_add(MULTIPLE.saturating_mul(bytes.len() as u64)),
        })
    }

    /// The array of that name, which must be of unsigned bytes; `limit` bounds its bytes.
    ///
    /// On an error, says what is wrong.
    pub(super) fn array(&mut self, name: &str, limit: u64) -> Result<Array, String> {
        let content = self.content(&format!("{name}.npy"), limit)?;
        parse(content).map_err(|problem| format!("`{name}`: {problem}"))
    }

    /// The same of whole numbers of any size and byte order.
    pub(super) fn numbers(&mut self, name: &str, limit: u64) -> Result<Numbers, String> {
        let content = self.content(&format!("{name}.npy"), limit)?;
        numbers(&content).map_err(|problem| format!("`{name}`: {problem}"))
    }

    fn content(&mut self, file: &str, limit: u64) -> Result<Vec<u8>, String> {
        let Some(index) = self.archive.index_for_name(file) else {
            let found: Vec<String> = self
                .archive
                .file_names()
                .flatten()
                .map(|name| format!("`{name}`"))
                .collect();
            return Err(format!("it has no `{file}`, only {}", found.join(", ")));
        };
        let fail = |error: &dyn std::fmt::Display| format!("`{file}`: {error}");
        let entry = self.archive.by_index_raw(index).map_err(|error| fail(&error))?;
        let (method, size, checksum) = (entry.compression(), entry.size(), entry.crc32());
        if size > limit {
            return Err(fail(&format!(
                "it claims {size} bytes, more than the {limit} of any such file"
            )));
        }
        self.left = self.left.checked_sub(size).ok_or_else(|| {
            fail(&format!(
                "it claims {size} bytes, more than an archive of this size is believed to unpack to"
            ))
        })?;
        let mut content = Vec::new();
        let room = content.try_reserve_exact(size as usize + 1);
        room.map_err(|_| fail(&format!("its {size} bytes do not fit into memory")))?;
        // The library is built without compression: PyTorch's archives have none.
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

/// An array of unsigned bytes. The values stay where they are.
fn parse(mut content: Vec<u8>) -> Result<Array, String> {
    let Header { kind, shape, start } = header(&content)?;
    if !matches!(kind.as_str(), "|u1" | "u1" | "<u1") {
        return Err(format!(
            "its values are of type `{kind}`, and images are unsigned bytes (`|u1`): bring them to 0 to 255, then convert them by \
             `.astype(\"uint8\")`"
        ));
    }
    check_length(&shape, content.len() - start)?;
    content.drain(..start);
    Ok(Array {
        shape,
        values: content,
    })
}

/// An array of whole numbers.
fn numbers(content: &[u8]) -> Result<Numbers, String> {
    let Header { kind, shape, start } = header(content)?;
    let bytes = &content[start..];
    let (order, name) = kind
        .split_at_checked(kind.len().saturating_sub(2))
        .unwrap_or_default();
    let width = match name {
        "u1" | "i1" | "b1" => 1,
        "u2" | "i2" => 2,
        "u4" | "i4" => 4,
        "u8" | "i8" => 8,
        _ => 0,
    };
    if width == 0 || !matches!(order, "" | "|" | "<" | ">") {
        return Err(format!(
            "its values are of type `{kind}`, and labels are whole numbers: convert it by `.astype(\"int64\")`"
        ));
    }
    check_length(&shape, bytes.len() / width)?;
    let value = |bytes: &[u8]| {
        // The most significant byte first, filled up by the sign.
        let mut digits = bytes.to_vec();
        if order != ">" {
            digits.reverse();
        }
        let negative = name.starts_with('i') && digits[0] >= 0x80;
        let start = if negative { -1 } else { 0 };
        digits
            .into_iter()
            .fold(start, |value: i64, byte| (value << 8) | i64::from(byte))
    };
    Ok(Numbers {
        shape,
        values: bytes.chunks_exact(width).map(value).collect(),
    })
}

/// What comes before the values.
struct Header {
    kind: String,
    shape: Vec<usize>,
    /// Where the values begin.
    start: usize,
}

fn header(content: &[u8]) -> Result<Header, String> {
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
    let kind = kind.trim_matches(['\'', '"']).to_owned();
    if field(header, "fortran_order") != Some("False") {
        return Err("its values are in column-major order".to_owned());
    }
    let shape = shape(header).ok_or("its header has no `shape` of whole numbers")?;
    Ok(Header {
        kind,
        shape,
        start: content.len() - values.len(),
    })
}

fn check_length(shape: &[usize], values: usize) -> Result<(), String> {
    let count = shape
        .iter()
        .try_fold(1_usize, |count, &size| count.checked_mul(size));
    match count == Some(values) {
        true => Ok(()),
        false => Err(format!("its shape is {shape:?}, but {values} values follow")),
    }
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
