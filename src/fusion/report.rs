//! What a method tells about each layer: who was grouped with whom, at what cost, and how well the result fits.
//!
//! The paper's Theorem 1: with the importance-weighted mean of its members as a cluster's target t, the objective
//! splits into two errors that do not depend on each other,
//!
//! ```text
//! sum_i s_i ||y_c(i) - a_i||^2  =  sum_c S_c ||y_c - t_c||^2   (approximation: the fused neuron y against its target)
//!                               +  sum_i s_i ||t_c(i) - a_i||^2 (grouping: the members against the target)
//! ```
//!
//! with `a_i` the activations of neuron i of all models on the fusion set, `S_c` the sum of the members' scores.

use faer::Mat;
use serde::Serialize;

use super::{FusionError, Inputs};
use crate::arch::Network;

/// One layer or level of a fusion.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LayerReport {
    /// The layer's name.
    pub layer: String,
    /// Rank kept in the least squares, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// What the matching or clustering minimised.
    pub cost: f64,
    /// The fused neuron that each neuron went to, `[model][neuron]`.
    pub clusters: Vec<Vec<usize>>,
    /// Neurons per fused neuron, `[model][fused neuron]`.
    pub members: Vec<Vec<usize>>,
    /// Grouping error of Theorem 1.
    pub grouping_error: f64,
    /// Approximation error of Theorem 1.
    pub approximation_error: f64,
    /// How the level was trained, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<LevelTraining>,
    /// Cost of every pair, row-major; for tests, not recorded.
    #[serde(skip)]
    pub costs: Vec<f64>,
}

/// The training of one level.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LevelTraining {
    /// Mean training loss by epoch.
    pub train_loss: Vec<f64>,
    /// Mean validation loss by epoch.
    pub val_loss: Vec<f64>,
    /// L2 norm of the change of the level's parameters.
    pub weight_change: f64,
}

impl LayerReport {
    /// A report whose errors are filled in by [`fill_errors`].
    pub(super) fn new(layer: &str, width: usize, clusters: Vec<Vec<usize>>, cost: f64) -> Self {
        let count = |model: &Vec<usize>| {
            let mut counts = vec![0; width];
            for &cluster in model {
                counts[cluster] += 1;
            }
            counts
        };
        Self {
            layer: layer.to_string(),
            rank: None,
            cost,
            members: clusters.iter().map(count).collect(),
            clusters,
            grouping_error: 0.0,
            approximation_error: 0.0,
            training: None,
            costs: Vec::new(),
        }
    }

    /// A report of a matching: `assignment[i]` is the neuron of model 1 that joins neuron i of model 0.
    pub(super) fn pairs(layer: &str, assignment: &[usize], costs: Vec<f64>) -> Self {
        let n = assignment.len();
        let mut inverse = vec![0; n];
        for (i, &j) in assignment.iter().enumerate() {
            inverse[j] = i;
        }
        let cost = assignment
            .iter()
            .enumerate()
            .map(|(i, &j)| costs[i * n + j])
            .sum();
        Self {
            costs,
            ..Self::new(layer, n, vec![(0..n).collect(), inverse], cost)
        }
    }
}

/// The two errors of Theorem 1 for one layer.
///
/// `activations[k]` is `[m, n_k]`, `clusters` and `scores` are `[k][neuron]`, `fused` is `[m, n]`.
pub fn errors(
    activations: &[Mat<f64>],
    clusters: &[Vec<usize>],
    scores: &[Vec<f64>],
    fused: &Mat<f64>,
) -> (f64, f64) {
    let (m, n) = fused.shape();
    let mut total = vec![0.0; n];
    let mut target = Mat::<f64>::zeros(m, n);
    let members = || {
        activations
            .iter()
            .zip(clusters)
            .zip(scores)
            .flat_map(|((a, clusters), scores)| {
                clusters
                    .iter()
                    .zip(scores)
                    .enumerate()
                    .map(move |(i, (&c, &s))| (a.col(i), c, s))
            })
    };
    for (a, c, s) in members() {
        total[c] += s;
        for (t, a) in target.col_mut(c).iter_mut().zip(a.iter()) {
            *t += s * a;
        }
    }
    for (c, total) in total.iter().enumerate().filter(|(_, total)| **total > 0.0) {
        for t in target.col_mut(c).iter_mut() {
            *t /= total;
        }
    }
    let grouping = members()
        .map(|(a, c, s)| s * (target.col(c) - a).squared_norm_l2())
        .sum();
    let approximation = total
        .iter()
        .enumerate()
        .map(|(c, s)| s * (fused.col(c) - target.col(c)).squared_norm_l2())
        .sum();
    (grouping, approximation)
}

/// Fills in the errors of all layers, from the fused network's own activations.
pub(super) fn fill_errors(
    reports: &mut [LayerReport],
    network: &Network,
    inputs: &Inputs,
    activations: &[Vec<Mat<f64>>],
    scores: &[Vec<Vec<f64>>],
) -> Result<(), FusionError> {
    let Some(images) = inputs.images else {
        return Ok(());
    };
    let fused = network.preactivations(images)?;
    for (l, report) in reports.iter_mut().enumerate() {
        let of_layer: Vec<Mat<f64>> = activations.iter().map(|model| model[l].clone()).collect();
        let scores: Vec<Vec<f64>> = scores.iter().map(|model| model[l].clone()).collect();
        let fused = super::layers::matrix(&fused[l])?;
        (report.grouping_error, report.approximation_error) =
            errors(&of_layer, &report.clusters, &scores, &fused);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn the_objective_is_the_sum_of_both_errors() {
        let mut rng = crate::seed::generator(1, "theorem 1", &[]);
        let (m, widths, n) = (37, [5, 8, 3], 4);
        let activations: Vec<Mat<f64>> = widths
            .iter()
            .map(|&w| Mat::from_fn(m, w, |_, _| rng.random_range(-3.0..3.0)))
            .collect();
        let scores: Vec<Vec<f64>> = widths
            .iter()
            .map(|&w| (0..w).map(|_| rng.random_range(0.01..2.0)).collect())
            .collect();
        let clusters: Vec<Vec<usize>> = widths
            .iter()
            .map(|&w| (0..w).map(|_| rng.random_range(0..n)).collect())
            .collect();
        let fused = Mat::from_fn(m, n, |_, _| rng.random_range(-3.0..3.0));
        let mut objective = 0.0;
        for k in 0..widths.len() {
            for i in 0..widths[k] {
                let difference = fused.col(clusters[k][i]) - activations[k].col(i);
                objective += scores[k][i] * difference.squared_norm_l2();
            }
        }
        let (grouping, approximation) = errors(&activations, &clusters, &scores, &fused);
        assert!(((grouping + approximation) / objective - 1.0).abs() < 1e-12);
    }
}
