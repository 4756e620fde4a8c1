//! A file with a base model, whichever program wrote it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::arch::{Architecture, Foreign, Hints, State};
use crate::checkpoint;
use crate::checkpoint::CheckpointError;
use crate::data::DataSetInfo;

/// What a base model's file holds.
pub(super) struct ModelFile {
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
    let file = checkpoint::open(path)?;
    let indices = |train| -> Vec<usize> {
        let indices = file.indices(train).unwrap_or_default();
        indices.iter().map(|&i| i as usize).collect()
    };
    Ok(ModelFile {
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

/// By what files are put in order: the number after `model_` in a file's name, or else the last number in it, so that
/// `model_10.pt` comes after `model_2.pt`.
pub(super) fn number(path: &Path) -> Option<u64> {
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let leading = |text: &str| -> String { text.chars().take_while(char::is_ascii_digit).collect() };
    let named = stem
        .split("model_")
        .skip(1)
        .map(leading)
        .find(|digits| !digits.is_empty());
    let last = || -> String {
        let reversed = stem.chars().rev().skip_while(|c| !c.is_ascii_digit());
        let digits: String = reversed.take_while(char::is_ascii_digit).collect();
        digits.chars().rev().collect()
    };
    named.unwrap_or_else(last).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_ordered_by_number_not_by_text() {
        let number = |name: &str| number(Path::new(name));
        assert!(number("m/model_2.pt") < number("m/model_10.pt"));
        assert_eq!(
            number("cache/train-model_3-parts=4-seed=1-06be1f55.safetensors"),
            Some(3)
        );
        assert_eq!(number("seed7/mlp-12.pt"), Some(12));
        assert_eq!(number("model_best.pt"), None);
    }
}
