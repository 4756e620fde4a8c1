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
//! C is the Euclidean distance between the pre-activations of model k and of the target (`acts`; `relu-acts`: after a
//! ReLU), or between the aligned weight rows and the target's (`weights`). The marginals mu, nu are importance scores scaled to sum 1. The
//! fused layer is the mean of the target's and all aligned ones.
//!
//! | paper | here | shape |
//! | --- | --- | --- |
//! | mu, nu | `mu`, `nu` | `[n_k]`, `[n]` |
//! | T | `plan` | `[n_k, n]` |
//!
//! With equal weights on both sides an optimal plan is an optimal assignment, which is found faster. The reference
//! scales by `T' diag(1 / mu)`, whose rows do not sum to 1 when marginals or widths differ; `compat = "reference"` does
//! so too. It fails on layers without bias; here they just have none. Kernel positions, and positions that were
//! flattened on the way to a linear layer, are transported alike. Layers that write into one residual sum share the
//! transport of the first of them; with `compat = "reference"` each has its own, a shortcut takes the one that entered
//! its block and the layer after it the mean of both. A `BatchNorm` is folded into its layer before.
//!
//! Cost: one product `O(m n^2)` per layer and model for the ground costs, the network simplex (or the assignment) on
//! `n_k x n`, and `O(n^2 d)` for the weights. With `ground = "weights"` and uniform scores no data is looked at, and the
//! record has no errors on it.

mod diagnostics;

use candle_core::Tensor;
use faer::Mat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::compare::Needs;
use super::layers::{
    folded, preactivations, replace, require_chains, row_distances, scores, squared_distances, weights,
};
use super::method::{no_such_model, only_chains};
use super::{Arity, Compat, Fused, FusionError, FusionMethod, Inputs, LayerReport, MethodInfo};
use crate::arch::{Layer, Network};
use crate::importance::{Importance, Place, Preparation, normalise};
use crate::linalg::{LinalgError, Plan, assign, product, transport};
use crate::tick::{Tick, go_on, unwatched};

/// What the ground cost compares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroundCost {
    /// Pre-activations on the fusion set.
    #[default]
    Acts,
    /// The same after a ReLU, as Git Re-Basin compares them.
    ReluActs,
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

impl FusionMethod for OtFusion {
    const INFO: MethodInfo = MethodInfo {
        name: "otfusion",
        label: "OTFusion",
        summary: "neurons transported onto those of one model, layers averaged",
        paper: "Singh and Jaggi, arXiv 1910.05653",
        arity: Arity::Any,
        version: 1,
        seconds: 2.0,
    };

    fn fuse(&self, inputs: &Inputs, on_tick: &mut Tick) -> Result<Fused, FusionError> {
        let (network, transports, layers) = self.transport(inputs, on_tick)?;
        Ok(Fused::Network {
            network,
            diagnostics: json!({ "transports": transports, "layers": layers }),
        })
    }

    fn importance(&self) -> Option<Importance> {
        Some(self.importance)
    }

    fn uses_fusion_set(&self) -> bool {
        self.ground != GroundCost::Weights || self.importance != Importance::Uniform
    }

    fn needs(&self) -> Needs {
        Needs::Layers
    }

    fn steps_on_host(&self) -> &'static [&'static str] {
        &["optimal transport", "weights of layers"]
    }

    fn contradictions(&self, models: usize) -> Vec<(&'static str, String)> {
        let idle = self.norm_acts && self.ground == GroundCost::Weights;
        let message = "`norm-acts` does nothing with `ground = \"weights\"`";
        let idle = idle.then(|| ("norm-acts", message.to_string()));
        no_such_model("align-to", self.align_to, models)
            .chain(idle)
            .collect()
    }

    fn obstacles(&self, plan: &crate::arch::Plan) -> Vec<(Option<&'static str>, String)> {
        only_chains::<Self>(plan)
    }
}

impl OtFusion {
    /// The fused network and the transport of each layer and model.
    pub fn fuse_layers(&self, inputs: &Inputs) -> Result<(Network, Vec<TransportReport>), FusionError> {
        let (network, transports, _) = self.transport(inputs, &mut unwatched)?;
        Ok((network, transports))
    }

    fn transport(
        &self,
        inputs: &Inputs,
        on_tick: &mut Tick,
    ) -> Result<(Network, Vec<TransportReport>, Vec<LayerReport>), FusionError> {
        const METHOD: &str = "otfusion";
        require_chains(METHOD, inputs.models)?;
        let k = inputs.models.len();
        if self.align_to >= k {
            return Err(FusionError::Missing {
                method: METHOD,
                what: "the model named by `align-to`: there are not so many",
            });
        }
        let models = folded(inputs.models)?;
        let inputs = &Inputs {
            models: &models,
            ..*inputs
        };
        let marginals = self.marginals(METHOD, inputs, on_tick)?;
        // Of weights without importance there may be no fusion set, hence nothing to say of errors on it.
        let activations = match inputs.images {
            None if !self.uses_fusion_set() => Vec::new(),
            _ => preactivations(METHOD, inputs, on_tick)?,
        };
        let target = self.align_to;
        let others: Vec<usize> = (0..k).filter(|&model| model != target).collect();
        let mut network = models[target].clone();
        let layers = network.layers().to_vec();
        let last = layers.len() - 1;
        let mut transports: Vec<Transports> = models.iter().map(|_| Transports::default()).collect();
        let mut found: Vec<TransportReport> = Vec::new();
        // What is added to another layer's output has that one's order, hence its plan and the marginals of that plan.
        let shared = |l: usize| {
            let order = layers[l].order;
            (self.compat == Compat::None && order < l).then_some(order)
        };
        for (l, layer) in layers.iter().enumerate() {
            let linalg = |source| FusionError::Linalg {
                layer: layer.name.clone(),
                source,
            };
            let (fixed, fixed_bias) = weights(&network, l)?;
            let (mut sum, mut bias_sum) = (fixed.clone(), fixed_bias.unwrap_or_default());
            let shared = shared(l);
            let nu = &marginals[target][shared.unwrap_or(l)];
            for &model in &others {
                go_on(on_tick)?;
                let (w, b) = weights(&models[model], l)?;
                let transports = &mut transports[model];
                let columns = transports.columns(&layers, l, self.compat);
                let w = match &columns {
                    Some(columns) => transport_columns(&w, columns, layer).map_err(linalg)?,
                    None => w,
                };
                let mu = &marginals[model][shared.unwrap_or(l)];
                let (Plan { plan, objective }, costs) = if let Some(order) = shared {
                    (transports.plans[order].clone(), Vec::new())
                } else {
                    let squared = match self.ground {
                        GroundCost::Weights => row_distances(&w, &fixed).map_err(linalg)?,
                        _ => self.distances(&activations[model][l], &activations[target][l], on_tick)?,
                    };
                    let costs: Vec<f64> = squared.into_iter().map(f64::sqrt).collect();
                    (self.plan(&costs, mu, nu, on_tick).map_err(linalg)?, costs)
                };
                let (n_k, n) = (mu.len(), nu.len());
                let rows = Mat::from_fn(n, n_k, |i, j| match (l == last, self.compat) {
                    (true, _) => f64::from(u8::from(i == j)),
                    (false, Compat::None) => plan[j * n + i] / nu[i],
                    (false, Compat::Reference) => plan[j * n + i] / mu[j],
                });
                sum += product(rows.as_ref(), w.as_ref()).map_err(linalg)?;
                for (i, sum) in bias_sum.iter_mut().enumerate() {
                    let parts = b.iter().flatten().enumerate();
                    *sum += parts.map(|(j, b)| rows[(i, j)] * b).sum::<f64>();
                }
                let next = Mat::from_fn(n_k, n, |j, i| plan[j * n + i] / nu[i]);
                let kept = Plan {
                    plan: plan.clone(),
                    objective,
                };
                transports.push(columns, next, kept);
                found.push(TransportReport {
                    layer: layer.name.clone(),
                    model,
                    objective,
                    plan,
                    costs,
                });
            }
            let k = k as f64;
            replace(&mut network, l, |i, j| sum[(i, j)] / k, |i| bias_sum[i] / k)?;
        }
        let reports = diagnostics::layers(
            inputs,
            &network,
            &activations,
            &|model, l| &marginals[model][shared(l).unwrap_or(l)],
            (target, &found),
            on_tick,
        )?;
        Ok((network, found, reports))
    }

    /// Squared distances between the neurons of two layers, by their activations.
    fn distances(&self, own: &Tensor, other: &Tensor, on_tick: &mut Tick) -> Result<Vec<f64>, FusionError> {
        let relu = self.ground == GroundCost::ReluActs;
        squared_distances(own, other, self.norm_acts, relu, on_tick)
    }

    /// Scores scaled to sum 1, `[model][layer]`.
    fn marginals(
        &self,
        method: &'static str,
        inputs: &Inputs,
        on_tick: &mut Tick,
    ) -> Result<Vec<Vec<Vec<f64>>>, FusionError> {
        if self.importance == Importance::Uniform {
            let equal = |n: usize| vec![1.0 / n as f64; n];
            let of = |network: &Network| {
                let widths = Place::Layer.widths(network);
                widths.into_iter().map(equal).collect()
            };
            return Ok(inputs.models.iter().map(of).collect());
        }
        let preparation = Preparation {
            normalise: false,
            rescale: self.rescale_importance,
        };
        let mut scores = scores(
            method,
            inputs,
            self.importance,
            Place::Layer,
            preparation,
            on_tick,
        )?;
        scores.iter_mut().flatten().for_each(|scores| normalise(scores));
        Ok(scores)
    }

    fn plan(&self, costs: &[f64], mu: &[f64], nu: &[f64], on_tick: &mut Tick) -> Result<Plan, LinalgError> {
        if self.importance != Importance::Uniform || mu.len() != nu.len() {
            return transport(costs, mu, nu, on_tick);
        }
        let n = mu.len();
        let mut plan = vec![0.0; n * n];
        let mut objective = 0.0;
        for (i, j) in assign(costs, n, on_tick)?.into_iter().enumerate() {
            plan[i * n + j] = 1.0 / n as f64;
            objective += costs[i * n + j] / n as f64;
        }
        Ok(Plan { plan, objective })
    }
}

/// One model's transports so far, by layer.
#[derive(Debug, Default)]
struct Transports {
    plans: Vec<Plan>,
    /// What the columns of the layer were multiplied by.
    before: Vec<Option<Mat<f64>>>,
    /// What the columns of a layer that reads this one's output are multiplied by.
    after: Vec<Mat<f64>>,
}

impl Transports {
    fn push(&mut self, before: Option<Mat<f64>>, after: Mat<f64>, plan: Plan) {
        self.before.push(before);
        self.after.push(after);
        self.plans.push(plan);
    }

    /// What the columns of layer `l` follow: the order of what it reads. The reference goes from layer to layer: a
    /// shortcut takes the transport that entered its block, the layer after it the mean of main way and shortcut.
    fn columns(&self, layers: &[Layer], l: usize, compat: Compat) -> Option<Mat<f64>> {
        let layer = &layers[l];
        let entered = |shortcut: usize| {
            let source = layers[shortcut].source;
            let first = layers[..shortcut]
                .iter()
                .rposition(|other| other.source == source && !other.shortcut);
            first.and_then(|first| self.before[first].clone())
        };
        match (compat, l.checked_sub(1)) {
            (Compat::None, _) => layer.source.map(|source| self.after[source].clone()),
            (Compat::Reference, None) => None,
            (Compat::Reference, Some(_)) if layer.shortcut => entered(l),
            (Compat::Reference, Some(before)) if layers[before].shortcut && before > 0 => {
                let (main, short) = (&self.after[before - 1], &self.after[before]);
                Some((main + short) * faer::Scale(0.5))
            }
            (Compat::Reference, Some(before)) => Some(self.after[before].clone()),
        }
    }
}

/// Multiplies the inputs of a weight `[out, n_prev * group]` by `columns [n_prev, n]`, for each kernel position of a
/// channel and each position of a flattened one alike: `[out, n * group]`.
fn transport_columns(w: &Mat<f64>, columns: &Mat<f64>, layer: &Layer) -> Result<Mat<f64>, LinalgError> {
    let group = layer.kernel() * layer.positions;
    if group == 1 {
        return product(w.as_ref(), columns.as_ref());
    }
    let (out, before) = (w.nrows(), columns.nrows());
    let stacked = Mat::from_fn(out * group, before, |row, c| {
        w[(row / group, c * group + row % group)]
    });
    let moved = product(stacked.as_ref(), columns.as_ref())?;
    Ok(Mat::from_fn(out, columns.ncols() * group, |i, c| {
        moved[(i * group + c % group, c / group)]
    }))
}
