//! OTFusion (Singh and Jaggi, 2020): every model's neurons transported onto those of one of them, layers averaged.
//!
//! Per layer and model k, with the transport plan `T_prev` of the layer before and its target marginal `nu_prev`:
//!
//! ```text
//! W   <- W_k T_prev diag(1 / nu_prev)               columns follow the previous layer
//! T    = argmin <T, C>, T 1 = mu, T' 1 = nu          exact; identity in the last layer
//! W   <- diag(1 / nu) T' W                          rows follow this one; bias alike
//! ```
//!
//! C is the Euclidean distance between the pre-activations of model k and of the target (`acts`), or between the
//! aligned weight rows and the target's (`weights`). The marginals mu, nu are importance scores scaled to sum 1. The
//! fused layer is the mean of the target's and all aligned ones.
//!
//! | paper | here | shape |
//! | --- | --- | --- |
//! | mu, nu | `mu`, `nu` | `[n_k]`, `[n]` |
//! | T | `plan` | `[n_k, n]` |
//!
//! With equal weights on both sides an optimal plan is an optimal assignment, which is found faster. The reference
//! scales by `T' diag(1 / mu)`, whose rows do not sum to 1 when marginals or widths differ; `compat = "reference"` does
//! so too. It fails on layers without bias; here they just have none.

use faer::Mat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::layers::{
    Preparation, preactivations, replace, require_equal_depth, scores, squared_distances, unit_columns,
    weights,
};
use super::{Compat, Fused, FusionError, Inputs};
use crate::arch::Network;
use crate::importance::{Importance, Place, normalise};
use crate::linalg::{LinalgError, Plan, assign, product, transport};

/// What the ground cost compares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroundCost {
    /// Pre-activations on the fusion set.
    #[default]
    Acts,
    /// Aligned weight rows.
    Weights,
}

/// Parameters of `otfusion`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct OtFusion {
    /// What the ground cost compares.
    pub ground: GroundCost,
    /// Score of the neurons, from which the marginals are made.
    pub importance: Importance,
    /// Map each layer's scores linearly onto `[r, 1]` before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rescale_importance: Option<f64>,
    /// Scale each neuron's activations to unit norm for the ground cost.
    pub norm_acts: bool,
    /// The model that the others are aligned to, from 0.
    pub align_to: usize,
    /// `reference`: rows scaled by `1 / mu`.
    pub compat: Compat,
}

/// The transport of one model's layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TransportReport {
    /// The layer's name.
    pub layer: String,
    /// The model that was aligned.
    pub model: usize,
    /// `<T, C>`.
    pub objective: f64,
    /// The plan, row-major `[n_k, n]`; for tests, not recorded.
    #[serde(skip)]
    pub plan: Vec<f64>,
    /// The ground cost, likewise.
    #[serde(skip)]
    pub costs: Vec<f64>,
}

impl OtFusion {
    /// Whether it looks at data at all.
    pub(super) fn uses_fusion_set(&self) -> bool {
        self.ground == GroundCost::Acts || self.importance != Importance::Uniform
    }

    pub(super) fn fuse(&self, inputs: &Inputs) -> Result<Fused, FusionError> {
        let (network, layers) = self.fuse_layers(inputs)?;
        Ok(Fused::Network {
            network,
            diagnostics: json!({ "transports": layers }),
        })
    }

    /// The fused network and the transport of each layer and model.
    pub fn fuse_layers(&self, inputs: &Inputs) -> Result<(Network, Vec<TransportReport>), FusionError> {
        const METHOD: &str = "otfusion";
        require_equal_depth(METHOD, inputs.models)?;
        let k = inputs.models.len();
        if self.align_to >= k {
            return Err(FusionError::Missing {
                method: METHOD,
                what: "the model named by `align-to`: there are not so many",
            });
        }
        let marginals = self.marginals(METHOD, inputs)?;
        let mut activations = match self.ground {
            GroundCost::Acts => preactivations(METHOD, inputs)?,
            GroundCost::Weights => Vec::new(),
        };
        if self.norm_acts {
            activations.iter_mut().flatten().for_each(unit_columns);
        }
        let target = self.align_to;
        let others: Vec<usize> = (0..k).filter(|&model| model != target).collect();
        let mut network = inputs.models[target].clone();
        let last = network.layers.len() - 1;
        // What the columns of each other model's next layer are multiplied by.
        let mut previous: Vec<Option<Mat<f64>>> = vec![None; k];
        let mut found = Vec::new();
        for (l, layer) in network.layers.iter_mut().enumerate() {
            let name = layer.plan.name.clone();
            let linalg = |source| FusionError::Linalg {
                layer: name.clone(),
                source,
            };
            let (fixed, fixed_bias) = weights(layer)?;
            let (mut sum, mut bias_sum) = (fixed.clone(), fixed_bias.unwrap_or_default());
            let nu = &marginals[target][l];
            for &model in &others {
                let (w, b) = weights(&inputs.models[model].layers[l])?;
                let w = match &previous[model] {
                    Some(columns) => product(w.as_ref(), columns.as_ref()).map_err(linalg)?,
                    None => w,
                };
                let mu = &marginals[model][l];
                let squared = match self.ground {
                    GroundCost::Acts => squared_distances(&activations[model][l], &activations[target][l]),
                    GroundCost::Weights => {
                        squared_distances(&w.transpose().to_owned(), &fixed.transpose().to_owned())
                    }
                };
                let costs: Vec<f64> = squared.map_err(linalg)?.into_iter().map(f64::sqrt).collect();
                let Plan { plan, objective } = self.plan(&costs, mu, nu).map_err(linalg)?;
                let (n_k, n) = (mu.len(), nu.len());
                let rows = Mat::from_fn(n, n_k, |i, j| match (l == last, self.compat) {
                    (true, _) => f64::from(u8::from(i == j)),
                    (false, Compat::None) => plan[j * n + i] / nu[i],
                    (false, Compat::Reference) => plan[j * n + i] / mu[j],
                });
                sum += product(rows.as_ref(), w.as_ref()).map_err(linalg)?;
                for (i, sum) in bias_sum.iter_mut().enumerate() {
                    *sum += b
                        .iter()
                        .flatten()
                        .enumerate()
                        .map(|(j, b)| rows[(i, j)] * b)
                        .sum::<f64>();
                }
                previous[model] = Some(Mat::from_fn(n_k, n, |j, i| plan[j * n + i] / nu[i]));
                found.push(TransportReport {
                    layer: name.clone(),
                    model,
                    objective,
                    plan,
                    costs,
                });
            }
            let k = k as f64;
            replace(layer, |i, j| sum[(i, j)] / k, |i| bias_sum[i] / k)?;
        }
        Ok((network, found))
    }

    /// Scores scaled to sum 1, `[model][layer]`.
    fn marginals(&self, method: &'static str, inputs: &Inputs) -> Result<Vec<Vec<Vec<f64>>>, FusionError> {
        if self.importance == Importance::Uniform {
            let equal = |n: usize| vec![1.0 / n as f64; n];
            let of = |network: &Network| {
                network
                    .layers
                    .iter()
                    .map(|layer| equal(layer.plan.weight[0]))
                    .collect()
            };
            return Ok(inputs.models.iter().map(of).collect());
        }
        let preparation = Preparation {
            normalise: false,
            rescale: self.rescale_importance,
        };
        let mut scores = scores(method, inputs, self.importance, Place::Layer, preparation)?;
        scores.iter_mut().flatten().for_each(|scores| normalise(scores));
        Ok(scores)
    }

    fn plan(&self, costs: &[f64], mu: &[f64], nu: &[f64]) -> Result<Plan, LinalgError> {
        if self.importance != Importance::Uniform || mu.len() != nu.len() {
            return transport(costs, mu, nu);
        }
        let n = mu.len();
        let mut plan = vec![0.0; n * n];
        let mut objective = 0.0;
        for (i, j) in assign(costs, n)?.into_iter().enumerate() {
            plan[i * n + j] = 1.0 / n as f64;
            objective += costs[i * n + j] / n as f64;
        }
        Ok(Plan { plan, objective })
    }
}
