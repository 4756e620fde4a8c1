//! Git Re-Basin by activation matching (Ainsworth et al., 2023), with importance scores as in the paper's comparison.
//!
//! Activations are `relu(pre-activations)`. With the importance-weighted mean of a pair in its place,
//!
//! ```text
//! cost(i, j) = s_i ||mean - a0_i|| + s_j ||mean - a1_j|| = 2 s_i s_j / (s_i + s_j) ||a0_i - a1_j||
//! ```
//!
//! The assignment of least cost (the identity in the last layer) permutes model 1: rows by this layer's, columns by
//! the previous layer's permutation. The fused neuron i is the mean of the pair weighted by `s_i` and `s_j`.
//!
//! | paper | here | shape |
//! | --- | --- | --- |
//! | permutation P of layer l | `assignment`: the neuron of model 1 in the place of neuron i | `[n]` |
//! | s, importance scores | `scores[model][layer]` | `[n]` |
//!
//! One product gives all costs, `O(m n^2)` in f64; the reference predicts each pair in f32.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::compare::{Needs, require};
use super::layers::{folded, preactivations, replace, require_chains, scores, squared_distances, weights};
use super::method::only_chains;
use super::report::{LayerReport, fill_errors};
use super::{Arity, Fused, FusionError, FusionMethod, Inputs, MethodInfo};
use crate::arch::Network;
use crate::arch::Plan;
use crate::importance::{Importance, Place, Preparation};
use crate::linalg::assign;
use crate::tick::{Tick, unwatched};

/// Parameters of `git-rebasin`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GitRebasin {
    /// Score of the neurons.
    pub importance: Importance,
    /// Scale each layer's scores to sum 1.
    pub normalize_importance: bool,
    /// Map each layer's scores linearly onto `[r, 1]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rescale_importance: Option<f64>,
}

impl FusionMethod for GitRebasin {
    const INFO: MethodInfo = MethodInfo {
        name: "git-rebasin",
        label: "Git Re-Basin",
        summary: "activation matching: model 1 permuted onto model 0, layers averaged",
        paper: "Ainsworth et al., arXiv 2209.04836",
        arity: Arity::Pair,
        version: 1,
        seconds: 2.0,
    };

    fn fuse(&self, inputs: &Inputs, on_tick: &mut Tick) -> Result<Fused, FusionError> {
        let (network, layers) = self.matched(inputs, on_tick)?;
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

    fn obstacles(&self, plan: &Plan) -> Vec<(Option<&'static str>, String)> {
        only_chains::<Self>(plan)
    }
}

impl GitRebasin {
    /// The fused network and what was matched in each layer.
    pub fn fuse_layers(&self, inputs: &Inputs) -> Result<(Network, Vec<LayerReport>), FusionError> {
        self.matched(inputs, &mut unwatched)
    }

    fn matched(
        &self,
        inputs: &Inputs,
        on_tick: &mut Tick,
    ) -> Result<(Network, Vec<LayerReport>), FusionError> {
        let Matching {
            models,
            scores,
            activations,
            assignments,
            mut found,
        } = self.matching(inputs, on_tick)?;
        let aligned = permuted(&models[1], &assignments)?;
        let mut network = models[0].clone();
        for (l, assignment) in assignments.iter().enumerate() {
            let (w0, b0) = weights(&network, l)?;
            let (w1, b1) = weights(&aligned, l)?;
            let mean = |i: usize, x0: f64, x1: f64| {
                let (si, sj) = (scores[0][l][i], scores[1][l][assignment[i]]);
                (si * x0 + sj * x1) / (si + sj)
            };
            let (b0, b1) = (b0.unwrap_or_default(), b1.unwrap_or_default());
            replace(
                &mut network,
                l,
                |i, c| mean(i, w0[(i, c)], w1[(i, c)]),
                |i| mean(i, b0[i], b1[i]),
            )?;
        }
        let inputs = &Inputs {
            models: &models,
            ..*inputs
        };
        fill_errors(&mut found, &network, inputs, &activations, &scores, on_tick)?;
        Ok((network, found))
    }

    /// Model 1 in model 0's order of neurons: the same function, to be averaged or interpolated with model 0. Every
    /// `BatchNorm` is folded into its layer.
    pub fn align(&self, inputs: &Inputs, on_tick: &mut Tick) -> Result<Network, FusionError> {
        let matching = self.matching(inputs, on_tick)?;
        Ok(permuted(&matching.models[1], &matching.assignments)?)
    }

    /// Who is matched with whom in each layer.
    fn matching(&self, inputs: &Inputs, on_tick: &mut Tick) -> Result<Matching, FusionError> {
        const METHOD: &str = "git-rebasin";
        require_chains(METHOD, inputs.models)?;
        require(METHOD, Needs::Shapes, inputs.models)?;
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
        let activations = preactivations(METHOD, inputs, on_tick)?;
        let layers = models[0].layers();
        let last = layers.len() - 1;
        let mut found: Vec<LayerReport> = Vec::with_capacity(last + 1);
        let mut assignments: Vec<Vec<usize>> = Vec::with_capacity(last + 1);
        for (l, layer) in layers.iter().enumerate() {
            let (s0, s1) = (&scores[0][l], &scores[1][l]);
            let n = s0.len();
            let [a0, a1] = [0, 1].map(|model| &activations[model][l]);
            let squared = squared_distances(a0, a1, false, true, on_tick)?;
            let pair = |i: usize, j: usize| 2.0 * s0[i] * s1[j] / (s0[i] + s1[j]);
            let costs: Vec<f64> = squared
                .iter()
                .enumerate()
                .map(|(at, d)| pair(at / n, at % n) * d.sqrt())
                .collect();
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
            found.push(LayerReport::pairs(&layer.name, &assignment, costs));
            assignments.push(assignment);
        }
        Ok(Matching {
            models,
            scores,
            activations,
            assignments,
            found,
        })
    }
}

/// A matching of two models' neurons, and what it was found with.
struct Matching {
    /// Folded.
    models: Vec<Network>,
    /// `[model][layer][neuron]`.
    scores: Vec<Vec<Vec<f64>>>,
    /// Pre-activations, `[model][layer]`.
    activations: Vec<Vec<Tensor>>,
    /// `[layer][i]`: the neuron of model 1 in the place of neuron i.
    assignments: Vec<Vec<usize>>,
    /// What is recorded of each layer.
    found: Vec<LayerReport>,
}

/// The network with the rows of each layer in the order of its assignment, and the columns in that of the layer it
/// reads.
fn permuted(network: &Network, assignments: &[Vec<usize>]) -> candle_core::Result<Network> {
    let mut aligned = network.clone();
    for (l, assignment) in assignments.iter().enumerate() {
        let layer = &network.layers()[l];
        let (w, b) = weights(network, l)?;
        let b = b.unwrap_or_default();
        // Inputs come in groups: kernel positions of a channel, positions of a flattened one.
        let group = layer.kernel() * layer.positions;
        let column = |c: usize| match layer.source {
            Some(source) => assignments[source][c / group] * group + c % group,
            None => c,
        };
        replace(
            &mut aligned,
            l,
            |i, c| w[(assignment[i], column(c))],
            |i| b[assignment[i]],
        )?;
    }
    Ok(aligned)
}
