//! Our checkpoints: safetensors with tensor names as PyTorch has them, and one metadata entry, [`KEY`].
//!
//! The entry is a JSON text of [`Meta`]. It is a single entry because safetensors writes its metadata in the order of
//! a hash map: with one entry, equal models give equal files.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::CheckpointError;
use crate::arch::{Architecture, State};
use crate::result::write_soon;

/// The metadata entry that makes a safetensors file one of ours.
pub(super) const KEY: &str = "runner";

/// Version of the format; raised when a field changes its meaning or disappears. The first files do not say it.
pub(super) const SCHEMA: u32 = 1;

fn first() -> u32 {
    1
}

/// Then it is not written: files stay what they were before there was a version.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_first(schema: &u32) -> bool {
    *schema == first()
}

/// What a checkpoint says about its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Meta {
    /// Version of the format.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub schema: u32,
    /// Architecture and its settings.
    pub architecture: Architecture,
    /// Shape of one image, `[C, H, W]`.
    pub image: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// Indices into the training set it was trained on.
    pub train_indices: Vec<u64>,
    /// Indices held out for validation.
    pub val_indices: Vec<u64>,
    /// The job that made it.
    pub job: String,
    /// That job's key.
    pub key: String,
}

/// A loaded checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// Tensors on the CPU; in the file's order.
    pub state: State,
    /// What it says.
    pub meta: Meta,
}

/// Writes a checkpoint, whole or not at all (on the disk after the next settling of the store), and returns the blake3 of the file.
pub fn save(path: &Path, state: &State, meta: &Meta) -> Result<String, CheckpointError> {
    let corrupt = |problem: String| CheckpointError::Corrupt {
        path: path.to_path_buf(),
        problem,
    };
    let mut buffers = Vec::with_capacity(state.len());
    for (name, tensor) in state {
        let values = tensor.to_device(&Device::Cpu)?.flatten_all()?;
        // Counts of batches are integers, all else is f32.
        let (dtype, bytes): (_, Vec<u8>) = if tensor.dtype() == DType::I64 {
            let values = values.to_vec1::<i64>()?;
            (Dtype::I64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
        } else {
            let values = values.to_vec1::<f32>()?;
            (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect())
        };
        buffers.push((name.as_str(), dtype, tensor.dims().to_vec(), bytes));
    }
    let mut views = Vec::with_capacity(buffers.len());
    for (name, dtype, shape, bytes) in &buffers {
        let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| corrupt(e.to_string()))?;
        views.push((*name, view));
    }
    let json = serde_json::to_string(meta).map_err(|e| corrupt(e.to_string()))?;
    let metadata = HashMap::from([(KEY.to_string(), json)]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| corrupt(e.to_string()))?;
    write_soon(path, &bytes)?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

impl Meta {
    /// The version that is written.
    pub const SCHEMA: u32 = SCHEMA;
}

/// Bytes of the metadata entry: more than the indices of a million images.
pub(super) const LONGEST: usize = 16 << 20;

/// The version alone; a newer one may have other fields.
#[derive(Deserialize)]
struct Version {
    schema: Option<u64>,
}

/// What the metadata entry says, or why it cannot be read.
pub(super) fn read_meta(text: &str) -> Result<Meta, String> {
    if text.len() > LONGEST {
        return Err(format!(
            "it has {} bytes, and at most {LONGEST} are read",
            text.len()
        ));
    }
    let schema = serde_json::from_str::<Version>(text)
        .ok()
        .and_then(|version| version.schema);
    match schema {
        Some(found) if found > u64::from(SCHEMA) => Err(format!(
            "schema version {found}, this program reads versions 1 to {SCHEMA}"
        )),
        _ => serde_json::from_str(text).map_err(|error| error.to_string()),
    }
}

/// Reads a checkpoint; with `hash`, only if the file's blake3 is that.
pub fn load(path: &Path, hash: Option<&str>) -> Result<Checkpoint, CheckpointError> {
    let bytes = crate::files::read(path).map_err(|source| CheckpointError::Io {
        path: path.to_path_buf(),
        source,
    })?;
    let corrupt = |problem: String| CheckpointError::Corrupt {
        path: path.to_path_buf(),
        problem,
    };
    let found = blake3::hash(&bytes).to_hex();
    if hash.is_some_and(|hash| hash != found.as_str()) {
        return Err(corrupt(
            "its content is not what the record of its job says".into(),
        ));
    }
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| corrupt(e.to_string()))?;
    let meta = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(KEY))
        .ok_or_else(|| corrupt(format!("it has no `{KEY}` metadata")))?;
    let meta = read_meta(meta).map_err(|error| corrupt(format!("its metadata: {error}")))?;
    let mut state = State::new();
    for (name, view) in SafeTensors::deserialize(&bytes)
        .map_err(|e| corrupt(e.to_string()))?
        .iter()
    {
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::I64 => DType::I64,
            other => return Err(corrupt(format!("`{name}` is {other:?}, not F32 or I64"))),
        };
        let tensor = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)?;
        state.push((name.to_string(), tensor));
    }
    Ok(Checkpoint { state, meta })
}
