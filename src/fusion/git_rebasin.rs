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

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::layers::{
    Preparation, folded, preactivations, replace, require_chains, scores, squared_distances, weights,
};
use super::report::{LayerReport, fill_errors};
use super::{Fused, FusionError, Inputs, require_equal_shapes};
use crate::arch::Network;
use crate::importance::{Importance, Place};
use crate::linalg::assign;

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

impl GitRebasin {
    pub(super) fn fuse(&self, inputs: &Inputs) -> Result<Fused, FusionError> {
        let (network, layers) = self.fuse_layers(inputs)?;
        Ok(Fused::Network {
            network,
            diagnostics: json!({ "layers": layers }),
        })
    }

    /// The fused network and what was matched in each layer.
    pub fn fuse_layers(&self, inputs: &Inputs) -> Result<(Network, Vec<LayerReport>), FusionError> {
        const METHOD: &str = "git-rebasin";
        require_equal_shapes(METHOD, inputs.models)?;
        require_chains(METHOD, inputs.models)?;
        let models = folded(inputs.models)?;
        let inputs = &Inputs {
            models: &models,
            ..*inputs
        };
        let preparation = Preparation {
            normalise: self.normalize_importance,
            rescale: self.rescale_importance,
        };
        let scores = scores(METHOD, inputs, self.importance, Place::Layer, preparation)?;
        let activations = preactivations(METHOD, inputs)?;
        let mut network = models[0].clone();
        let last = network.layers().len() - 1;
        let mut found: Vec<LayerReport> = Vec::with_capacity(last + 1);
        let mut assignments: Vec<Vec<usize>> = Vec::with_capacity(last + 1);
        for l in 0..=last {
            let layer = network.layers()[l].clone();
            let (s0, s1) = (&scores[0][l], &scores[1][l]);
            let n = s0.len();
            let [a0, a1] = [0, 1].map(|model| &activations[model][l]);
            let squared = squared_distances(a0, a1, false, true)?;
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
                assign(&costs, n).map_err(|source| FusionError::Linalg {
                    layer: layer.name.clone(),
                    source,
                })?
            };
            let (w0, b0) = weights(&network, l)?;
            let (w1, b1) = weights(&models[1], l)?;
            let mean = |i: usize, x0: f64, x1: f64| {
                let (si, sj) = (s0[i], s1[assignment[i]]);
                (si * x0 + sj * x1) / (si + sj)
            };
            // Inputs come in groups: kernel positions of a channel, positions of a flattened one.
            let group = layer.kernel() * layer.positions;
            let column = |c: usize| match layer.source {
                Some(source) => assignments[source][c / group] * group + c % group,
                None => c,
            };
            let (b0, b1) = (b0.unwrap_or_default(), b1.unwrap_or_default());
            replace(
                &mut network,
                l,
                |i, c| mean(i, w0[(i, c)], w1[(assignment[i], column(c))]),
                |i| mean(i, b0[i], b1[assignment[i]]),
            )?;
            found.push(LayerReport::pairs(&layer.name, &assignment, costs));
            assignments.push(assignment);
        }
        fill_errors(&mut found, &network, inputs, &activations, &scores)?;
        Ok((network, found))
    }
}
