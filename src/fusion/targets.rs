//! What a level is trained towards: means over clusters, means over models.

use candle_core::{D, Tensor};
use candle_nn::ops::softmax;

use faer::reborrow::IntoConst;

use super::activations::{Buffer, blocks, positions, side_by_side, unflatten};
use super::member::{totals, whole};
use super::on_device;
use super::report::means;
use crate::gpu;

/// Clusters of one level, the target they make, and what the clustering cost.
#[derive(Debug, Clone)]
pub struct LevelTarget {
    /// Cluster of each neuron, `[model][neuron]`.
    pub clusters: Vec<Vec<usize>>,
    /// `[N, n, ...]`, f32.
    pub target: Tensor,
    /// Sum of `score * distance` in the space that was clustered.
    pub cost: f64,
}

/// Importance-weighted means of the members' activations `[N, n_k, ...]`: `[N, width, ...]`, summed in f64.
pub fn weighted_means(
    activations: &[Tensor],
    clusters: &[Vec<usize>],
    scores: &[Vec<f64>],
    width: usize,
) -> candle_core::Result<Tensor> {
    let Some(first) = activations.first() else {
        candle_core::bail!("no models")
    };
    let members = whole(clusters, scores);
    if gpu::active(first) {
        return on_device::weighted_means(activations, &members, width);
    }
    let total = totals(&members, width);
    let mut parts = Vec::new();
    let (mut all, mut middle) = (Buffer::default(), Buffer::default());
    for range in blocks(first.dim(0)?, positions(first)) {
        let neurons = side_by_side(&mut all, activations, range)?.into_const();
        parts.push(unflatten(means(&mut middle, neurons, &members, &total), first)?);
    }
    Tensor::cat(&parts, 0)
}

/// Mean over models of logits `[N, C]`, each class weighted per model, or of their softmax at a temperature.
pub(super) fn mean_logits(
    logits: &[&Tensor],
    weights: Option<&[Vec<f64>]>,
    temperature: Option<f64>,
) -> candle_core::Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for (model, logits) in logits.iter().enumerate() {
        let mut logits = (*logits).clone();
        if let Some(weights) = weights {
            let weights: Vec<f32> = weights[model].iter().map(|&w| w as f32).collect();
            logits = logits.broadcast_mul(&Tensor::new(weights, logits.device())?)?;
        }
        if let Some(temperature) = temperature {
            logits = softmax(&(logits / temperature)?, D::Minus1)?;
        }
        sum = Some(match sum {
            Some(sum) => (sum + logits)?,
            None => logits,
        });
    }
    match sum {
        Some(sum) => sum / logits.len() as f64,
        None => candle_core::bail!("no models"),
    }
}
