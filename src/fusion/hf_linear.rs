//! HF linear: Hungarian matching of two models' neurons, each layer of the fused network solved by least squares.
//!
//! Layer by layer, on the network fused so far:
//!
//! ```text
//! W_j = pinv(Z) A_j                            each model's pre-activations, seen from the fused inputs
//! w   = (s_i w0_i + s_j w1_j) / (s_i + s_j)    the neuron that would stand for the pair (i, j)
//! cost(i, j) = s_i ||Z w - a0_i|| + s_j ||Z w - a1_j||
//! ```
//!
//! The assignment of least total cost pairs neuron i of model 0 with neuron `pi(i)` of model 1; in the last layer it is
//! the identity, since classes have names. The fused neuron i is w for its pair: model 0's order is kept.
//!
//! | paper | here | shape |
//! | --- | --- | --- |
//! | X, the fusion set | `inputs.images` | `[N, C, H, W]` |
//! | Z, inputs of the layer in the fused network, with a column of ones for the bias | `z` | `[m, d]` |
//! | `A_0`, `A_1` | `targets` | `[N, n, ...]`, as matrices `[m, n]` |
//! | s, importance scores | `scores` | `[n]` |
//!
//! For a convolution m is samples times positions and a row of Z a patch. Layers that write into one residual sum share
//! the assignment of the first of them. A `BatchNorm` is folded into its layer before.
//!
//! Cost: one eigen-decomposition of the smaller Gram matrix of Z, `O(m d min(m, d))`, and the costs from one `n x n`
//! product instead of `n^2` predictions: with `P = Z pinv(Z)`, `r = (I - P) a` and `beta = s_j / (s_i + s_j)`,
//!
//! ```text
//! ||Z w - a0_i||^2 = beta^2 ||P a1_j - P a0_i||^2 + ||r0_i||^2
//! ```
//!
//! and likewise for model 1 with `1 - beta`. Everything is in f64: the squared distances of projections are
//! differences of nearly equal numbers. The reference predicts every pair in f32; its costs agree to 1e-5 of the
//! largest entry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::compare::{Needs, require};
use super::layers::{
    Solved, folded, preactivations, projected_distances, replace, require_chains, scores, solve, unit_norm,
    walk,
};
use super::method::{cuts_all, only_chains};
use super::report::{LayerReport, fill_errors};
use super::{Arity, Fused, FusionError, FusionMethod, Inputs, MethodInfo};
use crate::arch::Network;
use crate::arch::Plan;
use crate::importance::{Importance, Place, Preparation};
use crate::linalg::{Solution, assign};
use crate::tick::{Tick, go_on, unwatched};

/// Parameters of `hf-linear`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HfLinear {
    /// Score of the neurons.
    pub importance: Importance,
    /// Scale each layer's scores to sum 1.
    pub normalize_importance: bool,
    /// Map each layer's scores linearly onto `[r, 1]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rescale_importance: Option<f64>,
    /// Scale each neuron's activations to unit norm before matching and solving.
    pub norm_acts: bool,
    /// Singular values up to this share of the largest are dropped, below 1. Default: `max(m, d) * 2^-23`, as in
    /// PyTorch. Below 1e-5 a layer's whole input is decomposed at once, which takes its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cutoff: Option<f64>,
}

impl FusionMethod for HfLinear {
    const INFO: MethodInfo = MethodInfo {
        name: "hf-linear",
        label: "HF linear",
        summary: "Hungarian matching of neurons, each layer solved by least squares",
        paper: "arXiv 2507.00037",
        arity: Arity::Pair,
        version: 2,
        seconds: 2.0,
    };

    fn fuse(&self, inputs: &Inputs, on_tick: &mut Tick) -> Result<Fused, FusionError> {
        let (network, layers) = self.solved(inputs, None, on_tick)?;
        Ok(Fused::Network {
            network,
            diagnostics: json!({ "layers": layers }),
        })
    }

    fn importance(&self) -> Option<Importance> {
        Some(self.importance)
    }

    fn needs(&self) -> Needs {
        Needs::Shapes
    }

    fn steps_on_host(&self) -> &'static [&'static str] {
        &["assignment", "weights of layers"]
    }

    fn contradictions(&self, _models: usize) -> Vec<(&'static str, String)> {
        cuts_all(self.cutoff)
    }

    fn obstacles(&self, plan: &Plan) -> Vec<(Option<&'static str>, String)> {
        only_chains::<Self>(plan)
    }
}

impl HfLinear {
    /// The fused network and what was matched in each layer.
    pub fn fuse_layers(&self, inputs: &Inputs) -> Result<(Network, Vec<LayerReport>), FusionError> {
        self.fuse_guided(inputs, None)
    }

    /// The same, but with the inputs Z of each layer taken from `guide`, a fused network of model 0's architecture,
    /// instead of the network fused so far: for comparing layers one by one with another implementation's.
    pub fn fuse_guided(
        &self,
        inputs: &Inputs,
        guide: Option<&Network>,
    ) -> Result<(Network, Vec<LayerReport>), FusionError> {
        self.solved(inputs, guide, &mut unwatched)
    }

    fn solved(
        &self,
        inputs: &Inputs,
        guide: Option<&Network>,
        on_tick: &mut Tick,
    ) -> Result<(Network, Vec<LayerReport>), FusionError> {
        const METHOD: &str = "hf-linear";
        require_chains(METHOD, inputs.models)?;
        require(METHOD, Needs::Shapes, inputs.models)?;
        let images = inputs.images.ok_or(FusionError::Missing {
            method: METHOD,
            what: "a fusion set",
        })?;
        let models = folded(inputs.models)?;
        let inputs = &Inputs {
            models: &models,
            ..*inputs
        };
        let preparation = Preparation {
            normalise: self.normalize_importance,
            rescale: self.rescale_importance,
        };
        let scores = scores(
            METHOD,
            inputs,
            self.importance,
            Place::Layer,
            preparation,
            on_tick,
        )?;
        let mut activations = preactivations(METHOD, inputs, on_tick)?;
        if self.norm_acts {
            for tensor in activations.iter_mut().flatten() {
                *tensor = unit_norm(tensor)?;
            }
        }
        let mut found: Vec<LayerReport> = Vec::with_capacity(models[0].layers().len());
        let mut assignments: Vec<Vec<usize>> = Vec::with_capacity(models[0].layers().len());
        let last = models[0].layers().len() - 1;
        let network = walk(&models[0], images, guide, &mut |l, input, network| {
            go_on(on_tick)?;
            let layer = network.layers()[l].clone();
            let targets = [0, 1].map(|model| activations[model][l].clone());
            let Solved { solution, on_device } = solve(network, l, input, &targets, self.cutoff, on_tick)?;
            let (s0, s1) = (&scores[0][l], &scores[1][l]);
            let n = s0.len();
            let costs = match &on_device {
                Some(on_device) => on_device.pair_costs(s0, s1)?,
                None => pair_costs(&solution, s0, s1),
            };
            // The last layer's outputs are classes: they are matched by name, whatever they cost. What is added to
            // another layer's output has that one's order.
            let assignment = if l == last {
                (0..n).collect()
            } else if layer.order < l {
                assignments[layer.order].clone()
            } else {
                assign(&costs, n, on_tick).map_err(|source| FusionError::Linalg {
                    layer: layer.name.clone(),
                    source,
                })?
            };
            let weights = &solution.weights;
            let mix = |i: usize, row: usize| {
                let j = assignment[i];
                (s0[i] * weights[(row, i)] + s1[j] * weights[(row, n + j)]) / (s0[i] + s1[j])
            };
            replace(network, l, mix, |i| mix(i, layer.fan_in()))?;
            found.push(LayerReport {
                rank: Some(solution.rank),
                ..LayerReport::pairs(&layer.name, &assignment, costs)
            });
            assignments.push(assignment);
            Ok(())
        })?;
        fill_errors(&mut found, &network, inputs, &activations, &scores, on_tick)?;
        Ok((network, found))
    }
}

/// Cost of every pair, row-major.
fn pair_costs(solution: &Solution, s0: &[f64], s1: &[f64]) -> Vec<f64> {
    let n = s0.len();
    let (outside_0, outside_1) = solution.outside.split_at(n);
    let cost = |(at, distance): (usize, f64)| {
        let (i, j) = (at / n, at % n);
        let (si, sj) = (s0[i], s1[j]);
        let (toward_1, toward_0) = (sj / (si + sj), si / (si + sj));
        si * (toward_1 * toward_1 * distance + outside_0[i]).sqrt()
            + sj * (toward_0 * toward_0 * distance + outside_1[j]).sqrt()
    };
    projected_distances(solution, n)
        .into_iter()
        .enumerate()
        .map(cost)
        .collect()
}
