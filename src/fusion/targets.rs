//! What a level is trained towards: means over clusters, means over models.

use candle_core::{D, Tensor};
use candle_nn::ops::softmax;
use faer::Mat;

/// Clusters of one level, the target they make, and what the clustering cost.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelTarget {
    /// Cluster of each neuron, `[model][neuron]`.
    pub clusters: Vec<Vec<usize>>,
    /// `[m, n]`.
    pub target: Mat<f64>,
    /// Sum of `score * distance` in the space that was clustered.
    pub cost: f64,
}

/// Importance-weighted means of the members' activations, `[m, width]`.
pub fn weighted_means(
    activations: &[Mat<f64>],
    clusters: &[Vec<usize>],
    scores: &[Vec<f64>],
    width: usize,
) -> Mat<f64> {
    let m = activations.first().map_or(0, Mat::nrows);
    let mut means = Mat::<f64>::zeros(m, width);
    let mut total = vec![0.0; width];
    for ((a, clusters), scores) in activations.iter().zip(clusters).zip(scores) {
        for (j, (&c, &s)) in clusters.iter().zip(scores).enumerate() {
            total[c] += s;
            for (mean, value) in means.col_mut(c).iter_mut().zip(a.col(j).iter()) {
                *mean += s * value;
            }
        }
    }
    for (c, total) in total.iter().enumerate().filter(|(_, total)| **total > 0.0) {
        means.col_mut(c).iter_mut().for_each(|mean| *mean /= total);
    }
    means
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

pub(super) fn tensor(matrix: &Mat<f64>, like: &Tensor) -> candle_core::Result<Tensor> {
    let (m, n) = matrix.shape();
    let values: Vec<f32> = (0..m)
        .flat_map(|i| (0..n).map(move |j| matrix[(i, j)] as f32))
        .collect();
    Tensor::from_vec(values, (m, n), like.device())
}
