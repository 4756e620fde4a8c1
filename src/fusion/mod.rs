//! Fusion methods: several trained networks in, one network (or an ensemble) out.
//!
//! One file per method, with its parameters, formula and departures from the reference. [`Method`] is the closed set
//! of them; [`METHODS`] is the one table behind help, suggestions and arity checks. To add a method: write its file
//! with a parameter struct and a `fuse` function, add a variant to [`Method`] and a row to [`METHODS`], and read it in
//! `manifest/resolve.rs`; the compiler lists the rest.

mod average;
mod ensemble;
mod git_rebasin;
mod hf_linear;
mod kf_gradient;
mod kf_linear;
mod layers;
mod level;
mod logit_kd;
mod otfusion;
mod report;

pub use average::VanillaAveraging;
pub use ensemble::{Ensemble, head_weights};
pub use git_rebasin::GitRebasin;
pub use hf_linear::HfLinear;
pub use kf_gradient::{KfGradient, LevelTarget, Start, weighted_means};
pub use kf_linear::KfLinear;
pub use level::LevelSettings;
pub use logit_kd::LogitKd;
pub use otfusion::{GroundCost, OtFusion, TransportReport};
pub use report::{LayerReport, LevelTraining, errors};

use std::ops::ControlFlow;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::arch::{ArchError, Network};
use crate::importance::Importance;
use crate::linalg::LinalgError;

/// How many models a method takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly two.
    Pair,
    /// Two or more.
    Any,
}

/// What the program says about a method.
#[derive(Debug)]
pub struct MethodInfo {
    /// As in the manifest.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Where it comes from.
    pub paper: &'static str,
    /// How many models it takes.
    pub arity: Arity,
    /// Its parameters' names.
    pub parameters: &'static [&'static str],
    /// Raised when its arithmetic changes, so that older results are computed anew.
    pub version: u32,
}

/// All methods.
pub const METHODS: &[MethodInfo] = &[
    MethodInfo {
        name: "vanilla-averaging",
        summary: "mean of all parameters",
        paper: "baseline",
        arity: Arity::Any,
        parameters: &[],
        version: 1,
    },
    MethodInfo {
        name: "ensemble",
        summary: "mean of the models' softmax outputs, optionally weighted per class",
        paper: "baseline",
        arity: Arity::Any,
        parameters: &["head-weights", "compat"],
        version: 1,
    },
    MethodInfo {
        name: "logit-kd",
        summary: "model 0 with its last level trained on the mean of all models' predictions",
        paper: "baseline",
        arity: Arity::Any,
        parameters: &["temperature", "level", "batch-size", "patience", "compat"],
        version: 1,
    },
    MethodInfo {
        name: "otfusion",
        summary: "neurons transported onto those of one model, layers averaged",
        paper: "Singh and Jaggi, arXiv 1910.05653",
        arity: Arity::Any,
        parameters: &[
            "ground",
            "importance",
            "rescale-importance",
            "norm-acts",
            "align-to",
            "compat",
        ],
        version: 1,
    },
    MethodInfo {
        name: "git-rebasin",
        summary: "activation matching: model 1 permuted onto model 0, layers averaged",
        paper: "Ainsworth et al., arXiv 2209.04836",
        arity: Arity::Pair,
        parameters: &["importance", "normalize-importance", "rescale-importance"],
        version: 1,
    },
    MethodInfo {
        name: "hf-linear",
        summary: "Hungarian matching of neurons, each layer solved by least squares",
        paper: "arXiv 2507.00037",
        arity: Arity::Pair,
        parameters: &[
            "importance",
            "normalize-importance",
            "rescale-importance",
            "norm-acts",
            "cutoff",
        ],
        version: 1,
    },
    MethodInfo {
        name: "kf-linear",
        summary: "k-means over all models' neurons, each layer solved by least squares",
        paper: "arXiv 2507.00037",
        arity: Arity::Any,
        parameters: &[
            "importance",
            "normalize-importance",
            "rescale-importance",
            "norm-acts",
            "cutoff",
            "tries",
        ],
        version: 1,
    },
    MethodInfo {
        name: "kf-gradient",
        summary: "k-means over all models' neurons, each level trained to reproduce the clusters",
        paper: "arXiv 2507.00037",
        arity: Arity::Any,
        parameters: &[
            "importance",
            "normalize-importance",
            "level",
            "head",
            "batch-size",
            "patience",
            "cosine",
            "normalize-rows",
            "start",
            "weighted-loss",
            "head-weights",
            "kd-on-head",
            "kd-temperature",
            "skip-levels",
            "reset-levels",
            "perturbation",
            "compat",
        ],
        version: 1,
    },
];

/// A method with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Method {
    /// See [`VanillaAveraging`].
    VanillaAveraging(VanillaAveraging),
    /// See [`Ensemble`].
    Ensemble(Ensemble),
    /// See [`LogitKd`].
    LogitKd(LogitKd),
    /// See [`OtFusion`].
    #[serde(rename = "otfusion")]
    OtFusion(OtFusion),
    /// See [`GitRebasin`].
    GitRebasin(GitRebasin),
    /// See [`HfLinear`].
    HfLinear(HfLinear),
    /// See [`KfLinear`].
    KfLinear(KfLinear),
    /// See [`KfGradient`].
    KfGradient(Box<KfGradient>),
}

impl Method {
    /// As in the manifest.
    pub fn name(&self) -> &'static str {
        match self {
            Self::VanillaAveraging(_) => "vanilla-averaging",
            Self::Ensemble(_) => "ensemble",
            Self::LogitKd(_) => "logit-kd",
            Self::OtFusion(_) => "otfusion",
            Self::GitRebasin(_) => "git-rebasin",
            Self::HfLinear(_) => "hf-linear",
            Self::KfLinear(_) => "kf-linear",
            Self::KfGradient(_) => "kf-gradient",
        }
    }

    /// Its row of [`METHODS`].
    pub fn info(&self) -> &'static MethodInfo {
        let row = METHODS.iter().position(|info| info.name == self.name());
        &METHODS[row.unwrap_or_default()]
    }

    /// The importance score, for methods that take one.
    pub fn importance(&self) -> Option<Importance> {
        match self {
            Self::VanillaAveraging(_) | Self::Ensemble(_) | Self::LogitKd(_) => None,
            Self::OtFusion(parameters) => Some(parameters.importance),
            Self::GitRebasin(parameters) => Some(parameters.importance),
            Self::HfLinear(parameters) => Some(parameters.importance),
            Self::KfLinear(parameters) => Some(parameters.importance),
            Self::KfGradient(parameters) => Some(parameters.importance),
        }
    }

    /// Whether it looks at data, hence needs a fusion set.
    pub fn uses_fusion_set(&self) -> bool {
        match self {
            Self::VanillaAveraging(_) | Self::Ensemble(_) => false,
            Self::OtFusion(parameters) => parameters.uses_fusion_set(),
            Self::LogitKd(_)
            | Self::GitRebasin(_)
            | Self::HfLinear(_)
            | Self::KfLinear(_)
            | Self::KfGradient(_) => true,
        }
    }
}

/// How recorded numbers of the reference can be met where it departs from the definitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compat {
    /// As defined.
    #[default]
    None,
    /// As the reference computes it.
    Reference,
}

/// What a method works on.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The models, of equal architecture and on one device.
    pub models: &'a [Network],
    /// Fusion set `[N, C, H, W]`, for methods with [`Method::uses_fusion_set`].
    pub images: Option<&'a Tensor>,
    /// Labels of the fusion set `[N]` (u32), for importance scores other than uniform.
    pub labels: Option<&'a Tensor>,
    /// Seed of the method's own randomness.
    pub seed: u64,
    /// Class counts of the samples each model was trained on, `[model][class]`; needed for head weights.
    pub class_counts: Option<&'a [Vec<u64>]>,
}

/// The outcome.
#[derive(Debug)]
pub enum Fused {
    /// One network of the models' size.
    Network {
        /// The network.
        network: Network,
        /// What the method has to say about its way, for the record.
        diagnostics: serde_json::Value,
    },
    /// The models themselves, with a weight per model and class.
    Ensemble {
        /// `[model][class]`, columns sum to 1; `None` for equal weights.
        weights: Option<Vec<Vec<f64>>>,
    },
}

/// Fusion failed.
#[derive(Debug, thiserror::Error)]
pub enum FusionError {
    /// The number of models does not fit.
    #[error("`{method}` fuses exactly two models, not {found}")]
    Arity {
        /// The method.
        method: &'static str,
        /// How many there are.
        found: usize,
    },
    /// The models differ where they must not.
    #[error(
        "`{method}` needs models of one architecture, but `{tensor}` is {first:?} in model 0 and {other:?} in model {model}"
    )]
    Shapes {
        /// The method.
        method: &'static str,
        /// The tensor.
        tensor: String,
        /// Shape in model 0.
        first: Vec<usize>,
        /// Shape in the other model.
        other: Vec<usize>,
        /// The other model's index.
        model: usize,
    },
    /// An input that the method needs is absent.
    #[error("`{method}` needs {what}")]
    Missing {
        /// The method.
        method: &'static str,
        /// What is absent.
        what: &'static str,
    },
    /// The models have different numbers of layers.
    #[error(
        "`{method}` needs models of equal depth, but model 0 has {first} layers and model {model} has {other}"
    )]
    Depth {
        /// The method.
        method: &'static str,
        /// Layers of model 0.
        first: usize,
        /// Layers of the other model.
        other: usize,
        /// The other model's index.
        model: usize,
    },
    /// The k-means cannot start from the second model.
    #[error(
        "level `{level}` has {width} neurons, but model 1, from which the clustering starts, has {} there",
        found.map_or_else(|| "no such level".to_string(), |n| n.to_string())
    )]
    Start {
        /// The level's name.
        level: String,
        /// Width of the target.
        width: usize,
        /// Width of model 1's level.
        found: Option<usize>,
    },
    /// The training of a level diverged.
    #[error("the loss of level `{layer}` is not finite in epoch {epoch}: a smaller learning rate may help")]
    Diverged {
        /// The level's name.
        layer: String,
        /// From 0.
        epoch: usize,
    },
    /// The caller said so.
    #[error("the fusion was stopped")]
    Stopped,
    /// Numbers that are not finite.
    #[error("layer `{layer}` of model {model} has {what} that are not finite")]
    NotFinite {
        /// Activations, or importance scores.
        what: &'static str,
        /// The layer's name.
        layer: String,
        /// Which model.
        model: usize,
    },
    /// The linear algebra failed.
    #[error("layer `{layer}` cannot be solved")]
    Linalg {
        /// The layer's name.
        layer: String,
        /// Why.
        source: LinalgError,
    },
    /// A network cannot be built.
    #[error(transparent)]
    Arch(#[from] ArchError),
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Runs a method. `on_tick` is called now and then and says whether to go on.
pub fn fuse(
    method: &Method,
    inputs: &Inputs,
    on_tick: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Fused, FusionError> {
    let info = method.info();
    let found = inputs.models.len();
    match info.arity {
        Arity::Pair if found != 2 => {
            return Err(FusionError::Arity {
                method: info.name,
                found,
            });
        }
        Arity::Any if found == 0 => {
            return Err(FusionError::Missing {
                method: info.name,
                what: "at least one model",
            });
        }
        _ => {}
    }
    match method {
        Method::VanillaAveraging(parameters) => parameters.fuse(inputs),
        Method::Ensemble(parameters) => parameters.fuse(inputs),
        Method::LogitKd(parameters) => parameters.fuse(inputs, on_tick),
        Method::OtFusion(parameters) => parameters.fuse(inputs),
        Method::GitRebasin(parameters) => parameters.fuse(inputs),
        Method::HfLinear(parameters) => parameters.fuse(inputs),
        Method::KfLinear(parameters) => parameters.fuse(inputs),
        Method::KfGradient(parameters) => parameters.fuse(inputs, on_tick),
    }
}

/// Checks that all models have the tensors of the first.
pub(crate) fn require_equal_shapes(method: &'static str, models: &[Network]) -> Result<(), FusionError> {
    let first = models.first().map(Network::state).unwrap_or_default();
    for (model, network) in models.iter().enumerate().skip(1) {
        let state = network.state();
        for (i, (tensor, value)) in first.iter().enumerate() {
            let other = state.get(i).map(|(_, t)| t.dims().to_vec()).unwrap_or_default();
            if value.dims() != other {
                return Err(FusionError::Shapes {
                    method,
                    tensor: tensor.clone(),
                    first: value.dims().to_vec(),
                    other,
                    model,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_method_and_its_parameters() {
        let methods = [
            Method::VanillaAveraging(VanillaAveraging::default()),
            Method::Ensemble(Ensemble::default()),
            Method::LogitKd(LogitKd::default()),
            Method::OtFusion(OtFusion {
                rescale_importance: Some(0.1),
                ..OtFusion::default()
            }),
            Method::GitRebasin(GitRebasin {
                rescale_importance: Some(0.1),
                ..GitRebasin::default()
            }),
            Method::HfLinear(HfLinear {
                cutoff: Some(0.1),
                rescale_importance: Some(0.1),
                ..HfLinear::default()
            }),
            Method::KfLinear(KfLinear {
                cutoff: Some(0.1),
                rescale_importance: Some(0.1),
                normalize_importance: Some(true),
                ..KfLinear::default()
            }),
            Method::KfGradient(Box::new(KfGradient {
                head: Some(LevelSettings::default()),
                skip_levels: vec![0],
                reset_levels: vec![0],
                ..KfGradient::default()
            })),
        ];
        assert_eq!(methods.len(), METHODS.len());
        for (method, info) in methods.iter().zip(METHODS) {
            let json = serde_json::to_value(method).expect("serialisable");
            let mut keys: Vec<&str> = json
                .as_object()
                .expect("table")
                .keys()
                .map(String::as_str)
                .collect();
            keys.retain(|key| *key != "method");
            let mut listed = info.parameters.to_vec();
            listed.sort_unstable();
            assert_eq!((json["method"].as_str(), keys), (Some(info.name), listed));
        }
    }
}
