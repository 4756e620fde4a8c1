//! Losses.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::log_softmax;

/// Mean cross-entropy of logits `[N, C]` with labels `[N]` (u32), a scalar.
///
/// With label smoothing `e` the target of the true class is `1 - e` and of every other class `e / (C - 1)`, as in the
/// reference (PyTorch's own option spreads `e / C` over all classes).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use runner::train::cross_entropy;
/// let logits = Tensor::new(&[[0f32, 0., 0., 0.]], &Device::Cpu)?;
/// let labels = Tensor::new(&[2u32], &Device::Cpu)?;
/// let loss = cross_entropy(&logits, &labels, 0.1)?.to_scalar::<f32>()?;
/// assert!((loss - 4f32.ln()).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let log_probabilities = log_softmax(logits, D::Minus1)?;
    let truth = log_probabilities.gather(&labels.unsqueeze(1)?, 1)?.mean_all()?;
    if smoothing == 0.0 {
        return truth.neg();
    }
    let other = smoothing / (logits.dim(1)? - 1).max(1) as f64;
    let all = log_probabilities.sum(1)?.mean_all()?;
    ((truth * (1.0 - smoothing - other))? + (all * other)?)?.neg()
}
