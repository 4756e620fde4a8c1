//! The closed set of methods, and the one table of what the program says about them.

use serde::{Deserialize, Serialize};

use super::{Ensemble, GitRebasin, HfLinear, KfGradient, KfLinear, LogitKd, OtFusion, VanillaAveraging};
use crate::arch::Plan;
use crate::importance::Importance;

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
        version: 2,
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
        version: 2,
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
            "levels",
            "batch-size",
            "patience",
            "cosine",
            "normalize-rows",
            "start",
            "kmeans-runs",
            "start-model",
            "align-skip-connections",
            "weighted-loss",
            "head-weights",
            "kd-on-head",
            "kd-temperature",
            "skip-levels",
            "reset-levels",
            "perturbation",
            "perturbations",
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

    /// What it does on the host although its models are on a GPU.
    pub fn steps_on_host(&self) -> &'static [&'static str] {
        match self {
            Self::VanillaAveraging(_) | Self::Ensemble(_) | Self::LogitKd(_) => &[],
            Self::OtFusion(_) => &["optimal transport", "weights of layers"],
            Self::GitRebasin(_) | Self::HfLinear(_) => &["assignment", "weights of layers"],
            Self::KfLinear(_) => &["k-means: start and repair", "weights of layers"],
            Self::KfGradient(parameters) if parameters.align_skip_connections => {
                &["assignment", "k-means: start and repair"]
            }
            Self::KfGradient(_) => &["k-means: start and repair"],
        }
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

    /// Whether it draws numbers, so that another method seed may give another result.
    pub fn is_random(&self) -> bool {
        match self {
            Self::VanillaAveraging(_)
            | Self::Ensemble(_)
            | Self::OtFusion(_)
            | Self::GitRebasin(_)
            | Self::HfLinear(_) => false,
            Self::LogitKd(_) | Self::KfLinear(_) | Self::KfGradient(_) => true,
        }
    }

    /// What keeps the method from networks of this skeleton: the parameter to blame, if it is one, and why.
    pub fn obstacle(&self, plan: &Plan) -> Option<(Option<&'static str>, String)> {
        match self {
            Self::VanillaAveraging(_) | Self::Ensemble(_) | Self::LogitKd(_) => None,
            Self::OtFusion(_) | Self::GitRebasin(_) | Self::HfLinear(_) | Self::KfLinear(_) => {
                let message = format!(
                    "`{}` works on chains of linear maps and convolutions, which the network is not",
                    self.name()
                );
                (!plan.chain).then_some((None, message))
            }
            Self::KfGradient(parameters) => {
                let (key, message) = parameters.obstacle(plan.levels.len())?;
                Some((Some(key), message))
            }
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

#[cfg(test)]
mod tests {
    use super::super::LevelSettings;
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
                levels: vec![LevelSettings::default()],
                perturbations: vec![0.0],
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
