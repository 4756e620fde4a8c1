//! Checkpoints from one format to another, and out of memory.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::Tensor;

use super::origin::{self, Origin};
use super::{CheckpointError, File, Raw, TensorInfo, native, plain, raw, torch};
use crate::arch::Hints;
use crate::result::write_atomic_with;

/// What can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A PyTorch state dict for `torch.load` and `load_state_dict`; it has tensors only.
    StateDict,
    /// Safetensors, with metadata.
    Safetensors,
}

impl Target {
    /// By the extension: `.pt`, `.pth` or `.safetensors`.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "pt" | "pth" => Some(Self::StateDict),
            "safetensors" => Some(Self::Safetensors),
            _ => None,
        }
    }
}

/// Writes the tensors of an open file to another, atomically and bit by bit, one tensor in memory at a time.
///
/// Into safetensors go the metadata the file has; if it has none of ours, one entry tells where it came from
/// ([`Origin`]), and another makes it a checkpoint of this program ([`Meta`](super::Meta)) if the architecture can be
/// told for [`sure`](crate::arch::Inferred::sure). Where it can be told, tensors get the names that it has, without what
/// wrappers put before them.
pub fn convert(file: File, out: &Path, target: Target) -> Result<(), CheckpointError> {
    convert_with(file, out, target, &Hints::default())
}

/// The same with the help of hints, see [`File::model`].
pub fn convert_with(file: File, out: &Path, target: Target, hints: &Hints) -> Result<(), CheckpointError> {
    let mut metadata = file.metadata.clone();
    if target == Target::Safetensors && file.meta.is_none() {
        let failed =
            |error: serde_json::Error| CheckpointError::entry(&file.path, "attributes", error.to_string());
        let origin = match &file.origin {
            Some(origin) => origin.clone(),
            None => Origin::of(&file)?,
        };
        metadata.insert(
            origin::KEY.to_owned(),
            serde_json::to_string(&origin).map_err(failed)?,
        );
        if let Some(meta) = file.imported(&origin, hints) {
            metadata.insert(
                native::KEY.to_owned(),
                serde_json::to_string(&meta).map_err(failed)?,
            );
        }
    }
    if target == Target::Safetensors {
        // What other readers of safetensors expect of a PyTorch model.
        metadata.entry("format".into()).or_insert_with(|| "pt".into());
    }
    let mut tensors = file.tensors.clone();
    for (info, name) in tensors.iter_mut().zip(file.own_names(hints).unwrap_or_default()) {
        info.name = name;
    }
    let read = file.reader()?;
    write(out, target, &tensors, &metadata, read)
}

/// Writes tensors atomically; of equal tensors and metadata come equal files. A state dict has no place for metadata.
pub fn save_tensors(
    path: &Path,
    target: Target,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    let mut infos = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        infos.push(TensorInfo {
            name: name.clone(),
            dtype: raw::dtype(tensor)?,
            shape: tensor.dims().to_vec(),
        });
    }
    write(path, target, &infos, metadata, |index| {
        Ok(raw::from_tensor(&tensors[index].1)?)
    })
}

fn write(
    path: &Path,
    target: Target,
    tensors: &[TensorInfo],
    metadata: &BTreeMap<String, String>,
    read: impl FnMut(usize) -> Result<Raw<'static>, CheckpointError>,
) -> Result<(), CheckpointError> {
    check_names(path, tensors)?;
    write_atomic_with(path, |file| {
        let mut out = BufWriter::new(file);
        match target {
            Target::StateDict => torch::write(path, &mut out, tensors, read)?,
            Target::Safetensors => {
                let metadata = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                plain::write(path, &mut out, tensors, metadata, read)?;
            }
        }
        out.flush().map_err(|error| CheckpointError::write(path, error))
    })
}

/// Names that a file cannot hold.
fn check_names(path: &Path, tensors: &[TensorInfo]) -> Result<(), CheckpointError> {
    let mut seen = HashSet::new();
    for tensor in tensors {
        let problem = if !seen.insert(tensor.name.as_str()) {
            "is there twice".to_owned()
        } else if tensor.name == "__metadata__" {
            "has a name that safetensors uses itself".to_owned()
        } else if tensor.name.len() > torch::MAX_NAME {
            format!("has a name longer than {} bytes", torch::MAX_NAME)
        } else {
            continue;
        };
        let shown: String = tensor.name.chars().take(100).collect();
        return Err(CheckpointError::entry(path, format!("tensor `{shown}`"), problem));
    }
    Ok(())
}
