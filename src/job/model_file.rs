//! A file with a base model, whichever program wrote it.

use std::path::Path;

use super::JobError;
use crate::arch::State;
use crate::checkpoint::{self, torch};

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
}

/// Reads one of our checkpoints (`.safetensors`), or a PyTorch file.
pub(super) fn read(path: &Path) -> Result<ModelFile, JobError> {
    let narrow = |indices: &[u64]| indices.iter().map(|&i| i as usize).collect();
    if path.extension().is_some_and(|ending| ending == "safetensors") {
        let file = checkpoint::load(path, None)?;
        return Ok(ModelFile {
            tensors: file.state,
            class: None,
            train: narrow(&file.meta.train_indices),
            val: narrow(&file.meta.val_indices),
        });
    }
    let file = torch::read(path)?;
    let indices = |name: &str| match file.attributes.get(name) {
        Some(torch::Attribute::Indices(indices)) => narrow(indices),
        _ => Vec::new(),
    };
    Ok(ModelFile {
        train: indices("train_indices"),
        val: indices("val_indices"),
        class: file.class,
        tensors: file.tensors,
    })
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
