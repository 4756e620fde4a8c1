//! A file with a base model, whichever program wrote it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::arch::{Architecture, Foreign, Hints, State};
use crate::checkpoint;
use crate::checkpoint::CheckpointError;
use crate::data::DataSetInfo;

/// What a base model's file holds.
pub(super) struct ModelFile {
    /// blake3 of the bytes that everything else here was read from.
    pub hash: String,
    /// Names and values, on the CPU.
    pub tensors: State,
    /// Class of the module, where the file names one.
    pub class: Option<String>,
    /// Training samples, where the file lists them.
    pub train: Vec<usize>,
    /// Validation samples, likewise.
    pub val: Vec<usize>,
    ordered: bool,
    norms: BTreeMap<String, f64>,
}

impl ModelFile {
    /// The tensors, and what else there is to know of them.
    pub fn foreign(&self) -> Foreign<'_> {
        Foreign {
            state: &self.tensors,
            ordered: self.ordered,
            norms: &self.norms,
        }
    }

    /// Whether it lists the samples that the model has seen.
    pub fn lists_samples(&self) -> bool {
        !self.train.is_empty() || !self.val.is_empty()
    }
}

/// Reads a file of any format; its content tells which.
pub(super) fn read(path: &Path) -> Result<ModelFile, CheckpointError> {
    let bytes = crate::files::read(path).map_err(|source| CheckpointError::io(path, source))?;
    let hash = blake3::hash(&bytes).to_hex().to_string();
    let file = checkpoint::open_bytes(path, bytes)?;
    let indices = |train| -> Vec<usize> {
        let indices = file.indices(train).unwrap_or_default();
        indices.iter().map(|&i| i as usize).collect()
    };
    Ok(ModelFile {
        hash,
        train: indices(true),
        val: indices(false),
        class: file.class.clone(),
        ordered: file.is_ordered(),
        norms: file.norms.clone(),
        tensors: file.load()?,
    })
}

/// What a file that does not fit `[model]` and the data set seems to be.
pub(super) fn seems(path: &Path, model: &Architecture, (name, info): (&str, &DataSetInfo)) -> Option<String> {
    let hints = Hints {
        image: Some(info.shape.to_vec()),
        ..Hints::default()
    };
    let found = match checkpoint::open(path).ok()?.model(&hints) {
        Err(error) => return Some(format!("as to what the file is: {error}")),
        Ok(found) => found,
    };
    let heads = match found.sure {
        true => "",
        false => " (its heads are not in the file and assumed)",
    };
    Some(if found.architecture == *model {
        format!(
            "the file seems to be for images of shape {:?} and {} classes, `{name}` has {:?} and {}",
            found.image, found.classes, info.shape, info.classes
        )
    } else {
        let settings = found.architecture.as_settings();
        format!("the file seems to be of `[model]` with {settings}{heads}")
    })
}

/// Heads of the file where it names them and `[model]` has others: shapes are the same, the function is not.
pub(super) fn other_heads(path: &Path, model: &Architecture) -> Option<usize> {
    let given = model.heads()?;
    let found = checkpoint::open(path).ok()?.model(&Hints::default()).ok()?;
    let heads = found.architecture.heads().filter(|_| found.sure)?;
    (heads != given).then_some(heads)
}
