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

use candle_core::Tensor;
use faer::reborrow::{IntoConst, ReborrowMut};
use faer::{ColRef, MatRef};
use rayon::prelude::*;
use serde::Serialize;

use super::activations::{Buffer, blocks, fill_columns, positions, side_by_side};
use super::layers::preactivations_of;
use super::member::{Member, totals, whole};
use super::on_device;
use super::{FusionError, Inputs};
use crate::arch::Network;
use crate::gpu;
use crate::tick::{Tick, go_on};

/// One layer or level of a fusion.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LayerReport {
    /// The layer's name.
    pub layer: String,
    /// Rank kept in the least squares, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// What the matching or clustering minimised; of the last layer, which is not matched, that of the identity or 0.
    pub cost: f64,
    /// The fused neuron that each neuron went to, or with a transport plan most of it, `[model][neuron]`.
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

/// The two errors of Theorem 1 for one layer: grouping, approximation.
///
/// `activations[k]` is `[N, n_k, ...]`, `target` and `fused` are `[N, n, ...]`. Without a target it is the weighted mean of
/// the members, for which the two add up to the objective. In f64, over blocks of samples.
pub fn errors(
    activations: &[Tensor],
    members: &[Member],
    target: Option<&Tensor>,
    fused: &Tensor,
) -> candle_core::Result<(f64, f64)> {
    let (samples, n) = (fused.dim(0)?, fused.dim(1)?);
    if gpu::active(fused) {
        return on_device::errors(activations, members, target, fused);
    }
    let total = totals(members, n);
    let (mut grouping, mut approximation) = (0.0, 0.0);
    let mut buffers: [Buffer; 3] = Default::default();
    let [all, middle, own] = &mut buffers;
    for range in blocks(samples, positions(fused)) {
        let neurons = side_by_side(all, activations, range)?.into_const();
        let target = match target {
            Some(target) => side_by_side(middle, std::slice::from_ref(target), range)?.into_const(),
            None => means(middle, neurons, members, &total),
        };
        let fused = side_by_side(own, std::slice::from_ref(fused), range)?.into_const();
        let member = |m: &Member| m.weight * squared_distance(target.col(m.cluster), neurons.col(m.neuron));
        let mean = |c: usize| total[c] * squared_distance(target.col(c), fused.col(c));
        // Each column by one thread, their sum in order: the same bits on any number of threads.
        let parts: Vec<f64> = members.par_iter().map(member).collect();
        grouping += parts.iter().sum::<f64>();
        let parts: Vec<f64> = (0..n).into_par_iter().map(mean).collect();
        approximation += parts.iter().sum::<f64>();
    }
    Ok((grouping, approximation))
}

fn squared_distance(a: ColRef<'_, f64>, b: ColRef<'_, f64>) -> f64 {
    a.iter().zip(b.iter()).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Weighted means of the members' columns of `neurons [m, all]`: `[m, n]`; 0 for a cluster without members.
pub(super) fn means<'a>(
    buffer: &'a mut Buffer,
    neurons: MatRef<'_, f64>,
    members: &[Member],
    total: &[f64],
) -> MatRef<'a, f64> {
    let mut means = buffer.take(neurons.nrows(), total.len());
    let mut of_cluster = vec![Vec::new(); total.len()];
    for member in members {
        of_cluster[member.cluster].push(member);
    }
    fill_columns(means.rb_mut(), |c, mean| {
        mean.fill(0.0);
        for member in &of_cluster[c] {
            for (mean, value) in mean.iter_mut().zip(neurons.col(member.neuron).iter()) {
                *mean += member.weight * value;
            }
        }
        if total[c] > 0.0 {
            for mean in mean.iter_mut() {
                *mean /= total[c];
            }
        }
    });
    means.into_const()
}

/// Fills in the errors of all layers, from the fused network's own activations.
pub(super) fn fill_errors(
    reports: &mut [LayerReport],
    network: &Network,
    inputs: &Inputs,
    activations: &[Vec<Tensor>],
    scores: &[Vec<Vec<f64>>],
    on_tick: &mut Tick,
) -> Result<(), FusionError> {
    let Some(images) = inputs.images else {
        return Ok(());
    };
    let fused = preactivations_of(network, images, on_tick)?;
    for (l, report) in reports.iter_mut().enumerate() {
        go_on(on_tick)?;
        let of_layer: Vec<Tensor> = activations.iter().map(|model| model[l].clone()).collect();
        let scores: Vec<Vec<f64>> = scores.iter().map(|model| model[l].clone()).collect();
        (report.grouping_error, report.approximation_error) =
            errors(&of_layer, &whole(&report.clusters, &scores), None, &fused[l])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use rand::RngExt;

    #[test]
    fn the_objective_is_the_sum_of_both_errors() {
        let mut rng = crate::seed::generator(1, "theorem 1", &[]);
        let (samples, widths, n) = (9001, [5, 8, 3], 4);
        let mut random = |shape: (usize, usize, usize)| {
            let values = (0..shape.0 * shape.1 * shape.2).map(|_| rng.random_range(-3.0..3.0));
            Tensor::from_vec(values.collect::<Vec<f64>>(), shape, &Device::Cpu).expect("tensor")
        };
        let activations: Vec<Tensor> = widths.iter().map(|&w| random((samples, w, 2))).collect();
        let fused = random((samples, n, 2));
        let mut rng = crate::seed::generator(2, "theorem 1", &[]);
        let scores: Vec<Vec<f64>> = widths
            .iter()
            .map(|&w| (0..w).map(|_| rng.random_range(0.01..2.0)).collect())
            .collect();
        let clusters: Vec<Vec<usize>> = widths
            .iter()
            .map(|&w| (0..w).map(|_| rng.random_range(0..n)).collect())
            .collect();
        let mut objective = 0.0;
        for k in 0..widths.len() {
            for i in 0..widths[k] {
                let of = |t: &Tensor, at: usize| t.narrow(1, at, 1).expect("neuron");
                let difference = (of(&fused, clusters[k][i]) - of(&activations[k], i)).expect("same shape");
                let square = difference.sqr().and_then(|d| d.sum_all()?.to_scalar::<f64>());
                objective += scores[k][i] * square.expect("number");
            }
        }
        let members = whole(&clusters, &scores);
        let (grouping, approximation) = errors(&activations, &members, None, &fused).expect("errors");
        assert!(((grouping + approximation) / objective - 1.0).abs() < 1e-12);
        // Cut into parts that go to one cluster, members count as much as whole ones.
        let halves: Vec<Member> = members
            .iter()
            .flat_map(|&m| {
                [0.25, 0.75].map(|share| Member {
                    weight: share * m.weight,
                    ..m
                })
            })
            .collect();
        let (in_parts, _) = errors(&activations, &halves, None, &fused).expect("errors");
        assert!((in_parts / grouping - 1.0).abs() < 1e-12);
    }
}
