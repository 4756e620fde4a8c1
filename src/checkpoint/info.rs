//! A tensor without its values.

use super::Dtype;

/// A tensor without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the state dict.
    pub name: String,
    /// Its type in the file.
    pub dtype: Dtype,
    /// Sizes of its dimensions; empty for a single number.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Their number.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&n| n as u64).product()
    }

    /// What they take in a file.
    pub fn bytes(&self) -> u64 {
        self.elements().saturating_mul(self.dtype.size())
    }

    /// Whether it is, by its name, a statistic of a `BatchNorm` layer and no parameter. A state dict does not tell.
    pub fn is_statistic(&self) -> bool {
        let last = self.name.rsplit('.').next();
        matches!(last, Some("running_mean" | "running_var" | "num_batches_tracked"))
    }
}
