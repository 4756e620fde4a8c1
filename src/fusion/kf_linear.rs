//! KF linear: the neurons of all models in clusters, each layer of the fused network solved by least squares.
//!
//! As in [`HfLinear`](super::HfLinear), `W_j = pinv(Z) A_j` for every model j, on the network fused so far. All models'
//! neurons are clustered into as many clusters as the target layer (model 0's) has neurons, by k-means in activation
//! space; a centroid's pre-activation is Z times its weight vector, which is the importance-weighted mean of its
//! members' W. The fused neuron c is centroid c. In the last layer neuron c of each model goes to cluster c.
//!
//! | paper | here | shape |
//! | --- | --- | --- |
//! | A, pre-activations of all models side by side | `targets` | `[m, n]`, n = sum of widths |
//! | P A with P = Z pinv(Z) | `projected` | `[m, n]` |
//! | s, importance scores | `weights` | `[n]` |
//!
//! Distances need only the Gram matrix of P A and the norms of (I - P) A: the clustering iterates over neurons, not
//! samples, `O(n^2)` an iteration after one `O(m n^2)` product. In f64: squared distances cancel.
//!
//! Departures from the reference: a cluster that is empty when the iteration stops is filled too, and none is robbed of
//! its only member (there, centroid i could be written to another neuron than i); of the tries the cheapest wins, as
//! there.

use faer::{Mat, MatRef};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::layers::{
    Preparation, inputs_with_ones, preactivations, replace, require_equal_depth, scores, unit_columns,
};
use super::report::{LayerReport, fill_errors};
use super::{Fused, FusionError, Inputs};
use crate::arch::Network;
use crate::importance::{Importance, Place};
use crate::linalg::{
    Clustering, Cutoff, LeastSquares, LinalgError, Points, Rule, farthest_first, gram, kmeans, product,
};
use crate::seed;

/// Stop when the cost improved by less than 5 % over 3 iterations.
const RULE: Rule = Rule {
    improvement: 0.05,
    steps: 3,
    weighted_repair: true,
};

/// Parameters of `kf-linear`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KfLinear {
    /// Score of the neurons.
    pub importance: Importance,
    /// Scale each layer's scores to sum 1. Default: for uniform scores only, as in the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize_importance: Option<bool>,
    /// Map each layer's scores linearly onto `[r, 1]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rescale_importance: Option<f64>,
    /// Scale each neuron's activations to unit norm before clustering and solving.
    pub norm_acts: bool,
    /// Singular values below this share of the largest are dropped. Default: `max(m, d) * 2^-23`, as in PyTorch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cutoff: Option<f64>,
    /// Starts of the k-means; the cheapest result wins.
    #[schemars(range(min = 1))]
    pub tries: usize,
}

impl Default for KfLinear {
    fn default() -> Self {
        Self {
            importance: Importance::Uniform,
            normalize_importance: None,
            rescale_importance: None,
            norm_acts: false,
            cutoff: None,
            tries: 10,
        }
    }
}

impl KfLinear {
    pub(super) fn fuse(&self, inputs: &Inputs) -> Result<Fused, FusionError> {
        let (network, layers) = self.fuse_layers(inputs)?;
        Ok(Fused::Network {
            network,
            diagnostics: json!({ "layers": layers }),
        })
    }

    /// The fused network, of model 0's shape, and the clusters of each layer.
    pub fn fuse_layers(&self, inputs: &Inputs) -> Result<(Network, Vec<LayerReport>), FusionError> {
        const METHOD: &str = "kf-linear";
        require_equal_depth(METHOD, inputs.models)?;
        let preparation = Preparation {
            normalise: self
                .normalize_importance
                .unwrap_or(self.importance == Importance::Uniform),
            rescale: self.rescale_importance,
        };
        let scores = scores(METHOD, inputs, self.importance, Place::Layer, preparation)?;
        let activations = preactivations(METHOD, inputs)?;
        let images = inputs.images.ok_or(FusionError::Missing {
            method: METHOD,
            what: "a fusion set",
        })?;
        let mut network = inputs.models[0].clone();
        let mut found = Vec::with_capacity(network.layers.len());
        let mut x = images.clone();
        let last = network.layers.len() - 1;
        for (l, layer) in network.layers.iter_mut().enumerate() {
            let name = layer.plan.name.clone();
            let linalg = |source| FusionError::Linalg {
                layer: name.clone(),
                source,
            };
            let input = layer.input(&x)?;
            let z = inputs_with_ones(&input, layer.plan.bias)?;
            let widths: Vec<usize> = activations.iter().map(|model| model[l].ncols()).collect();
            let mut targets = side_by_side(activations.iter().map(|model| &model[l]));
            if self.norm_acts {
                unit_columns(&mut targets);
            }
            let weights: Vec<f64> = scores.iter().flat_map(|model| model[l].iter().copied()).collect();
            let cutoff = self.cutoff.map_or(Cutoff::Default, Cutoff::Relative);
            let solver = LeastSquares::new(z.as_ref(), cutoff).map_err(linalg)?;
            let solved = solver.solve(targets.as_ref()).map_err(linalg)?;
            let [width, d] = layer.plan.weight;
            let clustering = if l == last {
                let assignment = widths.iter().flat_map(|&w| 0..w).collect();
                Clustering {
                    assignment,
                    cost: 0.0,
                    iterations: 0,
                }
            } else {
                self.cluster(z.as_ref(), &targets, &solved, &weights, width, (inputs.seed, l))
                    .map_err(linalg)?
            };
            let centroids = centroids(&solved, &clustering.assignment, &weights, width);
            replace(layer, |i, c| centroids[(c, i)], |i| centroids[(d, i)])?;
            x = layer.output(&layer.linear(&input)?)?;
            let clusters = clustering.groups(&widths);
            found.push(LayerReport {
                rank: Some(solver.rank()),
                ..LayerReport::new(&name, width, clusters, clustering.cost)
            });
        }
        fill_errors(&mut found, &network, inputs, &activations, &scores)?;
        Ok((network, found))
    }

    /// The cheapest clustering of several starts.
    fn cluster(
        &self,
        z: MatRef<f64>,
        targets: &Mat<f64>,
        solved: &Mat<f64>,
        weights: &[f64],
        width: usize,
        (seed, layer): (u64, usize),
    ) -> Result<Clustering, LinalgError> {
        let projected = product(z, solved.as_ref())?;
        let residual = targets - &projected;
        let outside: Vec<f64> = (0..residual.ncols())
            .map(|j| residual.col(j).squared_norm_l2())
            .collect();
        let gram = gram(projected.as_ref());
        let points = Points {
            gram: &gram,
            outside: &outside,
            weights,
        };
        let mut rng = seed::generator(seed, "kf-linear", &[layer as u64]);
        let mut best: Option<Clustering> = None;
        for _ in 0..self.tries {
            let start = farthest_first(&points, width, rng.random_range(0..width));
            let next = kmeans(&points, &start, RULE);
            if best.as_ref().is_none_or(|best| next.cost < best.cost) {
                best = Some(next);
            }
        }
        best.ok_or(LinalgError::NoConvergence {
            rows: weights.len(),
            columns: width,
        })
    }
}

fn side_by_side<'a>(parts: impl Iterator<Item = &'a Mat<f64>>) -> Mat<f64> {
    let parts: Vec<&Mat<f64>> = parts.collect();
    let columns: Vec<_> = parts
        .iter()
        .flat_map(|part| (0..part.ncols()).map(|j| part.col(j)))
        .collect();
    let m = parts.first().map_or(0, |part| part.nrows());
    Mat::from_fn(m, columns.len(), |i, j| columns[j][i])
}

/// Importance-weighted means of the members' weight vectors, `[d, width]`.
fn centroids(solved: &Mat<f64>, assignment: &[usize], weights: &[f64], width: usize) -> Mat<f64> {
    let mut total = vec![0.0; width];
    for (&c, w) in assignment.iter().zip(weights) {
        total[c] += w;
    }
    let mut means = Mat::<f64>::zeros(solved.nrows(), width);
    for (j, &c) in assignment.iter().enumerate() {
        let share = weights[j] / total[c];
        for (mean, value) in means.col_mut(c).iter_mut().zip(solved.col(j).iter()) {
            *mean += share * value;
        }
    }
    means
}
