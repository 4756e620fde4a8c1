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

use faer::Mat;
use rand::RngExt;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::compare::Needs;
use super::layers::{
    Solved, folded, preactivations, replace, require_chains, scores, solve, unit_norm, walk,
};
use super::method::{cuts_all, only_chains};
use super::on_device::OnDevice;
use super::report::{LayerReport, fill_errors};
use super::{Arity, Fused, FusionError, FusionMethod, Inputs, MethodInfo};
use crate::arch::Network;
use crate::arch::Plan;
use crate::importance::{Importance, Place, Preparation};
use crate::linalg::KMEANS_VERSION;
use crate::linalg::{Clustering, LinalgError, Points, Rule, farthest_first, kmeans};
use crate::seed;
use crate::tick::{Tick, go_on, unwatched};

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
    /// Singular values up to this share of the largest are dropped, below 1. Default: `max(m, d) * 2^-23`, as in
    /// PyTorch. Below 1e-5 a layer's whole input is decomposed at once, which takes its memory.
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

impl FusionMethod for KfLinear {
    const INFO: MethodInfo = MethodInfo {
        name: "kf-linear",
        label: "KF linear",
        summary: "k-means over all models' neurons, each layer solved by least squares",
        paper: "arXiv 2507.00037",
        arity: Arity::Any,
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

    fn is_random(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        Needs::Layers
    }

    fn shared_versions(&self) -> Vec<(&'static str, u32)> {
        let score = self.importance;
        vec![(score.as_str(), score.version()), ("k-means", KMEANS_VERSION)]
    }

    fn steps_on_host(&self) -> &'static [&'static str] {
        &["k-means: start and repair", "weights of layers"]
    }

    fn contradictions(&self, _models: usize) -> Vec<(&'static str, String)> {
        cuts_all(self.cutoff)
    }

    fn obstacles(&self, plan: &Plan) -> Vec<(Option<&'static str>, String)> {
        only_chains::<Self>(plan)
    }
}

impl KfLinear {
    /// The fused network, of model 0's shape, and the clusters of each layer.
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
        const METHOD: &str = "kf-linear";
        require_chains(METHOD, inputs.models)?;
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
            normalise: self
                .normalize_importance
                .unwrap_or(self.importance == Importance::Uniform),
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
        let mut clusterings: Vec<Clustering> = Vec::with_capacity(models[0].layers().len());
        let last = models[0].layers().len() - 1;
        let network = walk(&models[0], images, guide, &mut |l, input, network| {
            go_on(on_tick)?;
            let layer = network.layers()[l].clone();
            let targets: Vec<_> = activations.iter().map(|model| model[l].clone()).collect();
            let solved = solve(network, l, input, &targets, self.cutoff, on_tick)?;
            let solution = &solved.solution;
            let widths: Vec<usize> = scores.iter().map(|model| model[l].len()).collect();
            let weights: Vec<f64> = scores.iter().flat_map(|model| model[l].iter().copied()).collect();
            let width = layer.width();
            let clustering = if l == last {
                Clustering {
                    assignment: widths.iter().flat_map(|&w| 0..w).collect(),
                    cost: 0.0,
                    iterations: 0,
                }
            } else if layer.order < l {
                clusterings[layer.order].clone()
            } else {
                self.cluster(&solved, &weights, width, (inputs.seed, l))
                    .map_err(|source| FusionError::Linalg {
                        layer: layer.name.clone(),
                        source,
                    })?
            };
            let centroids = centroids(&solution.weights, &clustering.assignment, &weights, width);
            let d = layer.fan_in();
            replace(network, l, |i, c| centroids[(c, i)], |i| centroids[(d, i)])?;
            let clusters = clustering.groups(&widths);
            found.push(LayerReport {
                rank: Some(solution.rank),
                ..LayerReport::new(&layer.name, width, clusters, clustering.cost)
            });
            clusterings.push(clustering);
            Ok(())
        })?;
        fill_errors(&mut found, &network, inputs, &activations, &scores, on_tick)?;
        Ok((network, found))
    }

    /// The cheapest clustering of several starts.
    fn cluster(
        &self,
        solved: &Solved,
        weights: &[f64],
        width: usize,
        (seed, layer): (u64, usize),
    ) -> Result<Clustering, LinalgError> {
        let points = Points {
            gram: &solved.solution.gram,
            outside: &solved.solution.outside,
            weights,
            device: solved.on_device.as_ref().map(OnDevice::points),
        };
        let mut rng = seed::generator(seed, "kf-linear", &[layer as u64]);
        let starts: Vec<usize> = (0..self.tries).map(|_| rng.random_range(0..width)).collect();
        let of = |first| kmeans(&points, &farthest_first(&points, width, first), RULE);
        // A GPU's one stream has no use for threads.
        let tries: Vec<Clustering> = match points.device {
            Some(_) => starts.into_iter().map(of).collect::<Result<_, _>>()?,
            None => starts.into_par_iter().map(of).collect::<Result<_, _>>()?,
        };
        // The first of equally cheap ones.
        tries
            .into_iter()
            .reduce(|best, next| if next.cost < best.cost { next } else { best })
            .ok_or(LinalgError::NoConvergence {
                rows: weights.len(),
                columns: width,
            })
    }
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
