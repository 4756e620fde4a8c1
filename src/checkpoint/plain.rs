//! Safetensors files, ours and others'.
//!
//! ```text
//! u64, little-endian   length N of the header
//! N bytes              the header: {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
//! the rest             the tensors, row-major, little-endian, without gaps
//! ```
//!
//! Only the header is read at first, then each tensor by itself: nothing is mapped into memory, so a file that is
//! truncated by someone else is an error and not a signal.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::header::{Header, Place};
use super::input::Input;
use super::torch::Limits;
use super::{CheckpointError, Raw, TensorInfo};

/// Whether a file may be one: a length of which bytes are left, and `{`.
pub(super) fn is_plain(first: &[u8], length: u64) -> bool {
    match first.split_first_chunk::<8>() {
        Some((count, [b'{', ..])) => u64::from_le_bytes(*count) <= length.saturating_sub(8),
        _ => false,
    }
}

/// An open file.
pub(super) struct Plain {
    path: PathBuf,
    file: Input,
    /// Where the tensors begin.
    start: u64,
    pub(super) header: Header,
}

impl Plain {
    /// Reads the header of a file for which [`is_plain`] holds.
    pub(super) fn new(path: &Path, mut file: Input, limits: &Limits) -> Result<Self, CheckpointError> {
        let io = |error| CheckpointError::io(path, error);
        let length = file.length().map_err(io)?;
        let mut count = [0; 8];
        file.rewind().map_err(io)?;
        file.read_exact(&mut count).map_err(io)?;
        let count = u64::from_le_bytes(count);
        let data = length.checked_sub(8).and_then(|rest| rest.checked_sub(count));
        let Some(data) = data else {
            let problem = format!("claims {count} bytes, the whole file has {length}");
            return Err(CheckpointError::entry(path, "header", problem));
        };
        if count > limits.pickle_bytes {
            let problem = format!("has {count} bytes, at most {} are allowed", limits.pickle_bytes);
            return Err(CheckpointError::entry(path, "header", problem));
        }
        let mut json = Vec::new();
        file.by_ref().take(count).read_to_end(&mut json).map_err(io)?;
        let header = Header::parse(&json, data, limits)
            .map_err(|fault| CheckpointError::entry(path, fault.entry, fault.problem))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            start: 8 + count,
            header,
        })
    }

    pub(super) fn infos(&self) -> Vec<TensorInfo> {
        let info = |place: &Place| TensorInfo {
            name: place.name.clone(),
            dtype: place.dtype,
            shape: place.shape.clone(),
        };
        self.header.tensors.iter().map(info).collect()
    }

    /// One tensor.
    pub(super) fn raw(&mut self, index: usize) -> Result<Raw<'static>, CheckpointError> {
        let place = &self.header.tensors[index];
        let length = place.bytes.1 - place.bytes.0;
        let mut bytes = Vec::new();
        let from = SeekFrom::Start(self.start + place.bytes.0);
        let file = &mut self.file;
        let read = file
            .seek(from)
            .and_then(|_| file.take(length).read_to_end(&mut bytes));
        read.map_err(|error| CheckpointError::io(&self.path, error))?;
        if bytes.len() as u64 != length {
            let entry = format!("tensor `{}`", place.name);
            return Err(CheckpointError::entry(&self.path, entry, "is truncated"));
        }
        Ok(Raw {
            dtype: place.dtype,
            shape: place.shape.clone(),
            bytes: bytes.into(),
        })
    }
}

/// The header of a file of these tensors, and the order in which their bytes follow.
///
/// The header lists them in the given order. The bytes of wide elements come first, so that each tensor is aligned as
/// its type needs, in the given order otherwise; the header is padded to a multiple of eight bytes.
pub(super) fn header<'m>(
    tensors: &[TensorInfo],
    metadata: impl Iterator<Item = (&'m str, &'m str)>,
) -> (Vec<u8>, Vec<usize>) {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(tensors[index].dtype.size()));
    let mut offsets = vec![(0, 0); tensors.len()];
    let mut end = 0;
    for &index in &order {
        let start = end;
        end += tensors[index].bytes();
        offsets[index] = (start, end);
    }
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut items: Vec<String> = Vec::with_capacity(tensors.len() + 1);
    let metadata: Vec<String> = metadata
        .map(|(key, value)| format!("{}:{}", text(key), text(value)))
        .collect();
    if !metadata.is_empty() {
        items.push(format!("\"__metadata__\":{{{}}}", metadata.join(",")));
    }
    for (tensor, (start, end)) in tensors.iter().zip(offsets) {
        let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
        items.push(format!(
            "{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{start},{end}]}}",
            text(&tensor.name),
            tensor.dtype.safetensors(),
            shape.join(",")
        ));
    }
    let mut json = format!("{{{}}}", items.join(",")).into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    (bytes, order)
}

/// Writes a file of these tensors; `raw` gives each once.
pub(super) fn write<'m>(
    path: &Path,
    out: &mut impl Write,
    tensors: &[TensorInfo],
    metadata: impl Iterator<Item = (&'m str, &'m str)>,
    mut raw: impl FnMut(usize) -> Result<Raw<'static>, CheckpointError>,
) -> Result<(), CheckpointError> {
    let failed = |error| CheckpointError::write(path, error);
    let (header, order) = header(tensors, metadata);
    out.write_all(&header).map_err(failed)?;
    for index in order {
        out.write_all(&raw(index)?.bytes).map_err(failed)?;
    }
    Ok(())
}
