//! Writes state dicts as `torch.save` does.
//!
//! The entries are those that `torch.load` needs, also with `weights_only=True` and with `mmap=True`: `data.pkl`,
//! `byteorder`, `data/0`, `data/1`, ... and `version`. The bytes of each storage begin at a multiple of 64, as PyTorch's
//! do. `.format_version` and `.storage_alignment` are left out on purpose: with them PyTorch may compute where a
//! storage lies from its own way of padding instead of reading the archive's directory.
//!
//! The pickle is an `OrderedDict` of contiguous tensors, each in a storage of its own, also where two were tied: that is
//! what `load_state_dict` copies from. It uses no memo, which costs 150 bytes per tensor and leaves nothing to go
//! wrong.

use std::io::{Seek, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::checkpoint::{CheckpointError, Raw, TensorInfo};

/// What `torch.save` calls the folder of a file without a name.
const ROOT: &str = "archive";
/// Bytes; PyTorch's default.
const ALIGNMENT: u16 = 64;

/// Writes a file of these tensors; `raw` gives each once, in order.
pub(in crate::checkpoint) fn write(
    path: &Path,
    out: &mut (impl Write + Seek),
    tensors: &[TensorInfo],
    mut raw: impl FnMut(usize) -> Result<Raw<'static>, CheckpointError>,
) -> Result<(), CheckpointError> {
    let mut zip = ZipWriter::new(out);
    let mut entry = |name: &str, bytes: &[u8]| {
        // Without a date, so that equal models give equal files.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .with_alignment(ALIGNMENT)
            .large_file(bytes.len() as u64 >= u64::from(u32::MAX));
        zip.start_file(format!("{ROOT}/{name}"), options)
            .map_err(std::io::Error::from)
            .and_then(|()| zip.write_all(bytes))
            .map_err(|error| CheckpointError::write(path, error))
    };
    entry("data.pkl", &pickle(tensors))?;
    entry("byteorder", b"little")?;
    for index in 0..tensors.len() {
        entry(&format!("data/{index}"), &raw(index)?.bytes)?;
    }
    entry("version", b"3\n")?;
    zip.finish()
        .map_err(|error| CheckpointError::write(path, error.into()))?;
    Ok(())
}

/// `OrderedDict([(name, _rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())), ...])`, where storage `i`
/// is the entry `data/i`.
fn pickle(tensors: &[TensorInfo]) -> Vec<u8> {
    let mut p = Pickler(b"\x80\x02".to_vec());
    p.empty_dict();
    p.raw(b"(");
    for (index, tensor) in tensors.iter().enumerate() {
        p.text(&tensor.name);
        p.raw(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        p.text("storage");
        p.raw(format!("ctorch\n{}Storage\n", tensor.dtype.torch()).as_bytes());
        p.text(&index.to_string());
        p.text("cpu");
        p.int(tensor.elements());
        p.raw(b"tQK\0");
        p.tuple(tensor.shape.iter().map(|&n| n as u64));
        p.tuple(strides(&tensor.shape).into_iter());
        p.raw(b"\x89");
        p.empty_dict();
        p.raw(b"tR");
    }
    p.raw(b"u.");
    p.0
}

/// Those of a contiguous tensor, as PyTorch has them: a dimension without elements counts as one of one.
fn strides(shape: &[usize]) -> Vec<u64> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i].max(1) as u64;
    }
    strides
}

/// Instructions of protocol 2.
struct Pickler(Vec<u8>);

impl Pickler {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn empty_dict(&mut self) {
        self.raw(b"ccollections\nOrderedDict\n)R");
    }

    fn text(&mut self, text: &str) {
        self.raw(b"X");
        // Names are of at most 1024 bytes where a file is read, and a model's own are short.
        self.raw(&(text.len() as u32).to_le_bytes());
        self.raw(text.as_bytes());
    }

    fn int(&mut self, value: u64) {
        match (u8::try_from(value), i32::try_from(value)) {
            (Ok(value), _) => self.raw(&[b'K', value]),
            (_, Ok(value)) => {
                self.raw(b"J");
                self.raw(&value.to_le_bytes());
            }
            _ => {
                // LONG1 is signed; nothing here reaches 2^63.
                self.raw(&[0x8a, 8]);
                self.raw(&value.to_le_bytes());
            }
        }
    }

    fn tuple(&mut self, values: impl Iterator<Item = u64>) {
        self.raw(b"(");
        values.for_each(|value| self.int(value));
        self.raw(b"t");
    }
}
