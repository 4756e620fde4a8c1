//! The closed set of methods, and the one table of what the program says about them.

use serde::{Deserialize, Serialize};

use super::compare::Needs;
use super::{
    Ensemble, GitRebasin, GroundCost, HfLinear, KfGradient, KfLinear, LogitKd, OtFusion, Start,
    VanillaAveraging,
};
use crate::arch::Plan;
use crate::importance::Importance;
use crate::linalg::KMEANS_VERSION;

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
            "rescale-importance",
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

    /// Names and versions of the arithmetic that it shares with other methods.
    pub fn shared_versions(&self) -> Vec<(&'static str, u32)> {
        let score = self.importance().map(|score| (score.as_str(), score.version()));
        let clusters = match self {
            Self::KfLinear(_) | Self::KfGradient(_) => Some(("k-means", KMEANS_VERSION)),
            _ => None,
        };
        score.into_iter().chain(clusters).collect()
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

    /// Whether it weights classes by how many of their samples each model has seen.
    pub fn needs_class_counts(&self) -> bool {
        match self {
            Self::Ensemble(parameters) => parameters.head_weights,
            Self::KfGradient(parameters) => parameters.head_weights,
            _ => false,
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

    /// Why the method cannot fuse a network of the skeleton `first` with one of the skeleton `other`.
    pub fn mismatch(&self, first: &Plan, other: &Plan) -> Option<String> {
        let needs = match self {
            Self::Ensemble(_) | Self::LogitKd(_) => return None,
            Self::VanillaAveraging(_) | Self::GitRebasin(_) | Self::HfLinear(_) => Needs::Shapes,
            Self::OtFusion(_) | Self::KfLinear(_) => Needs::Layers,
            Self::KfGradient(_) => Needs::Levels,
        };
        let name = self.name();
        if let Some(found) = needs.difference(first, other) {
            return Some(format!(
                "`{name}` needs {}, but {} is {} in `[model]` and {} in `[other-models]`",
                needs.text(),
                found.what,
                found.first,
                found.other
            ));
        }
        let Self::KfGradient(parameters) = self else {
            return None;
        };
        let pairs = || first.levels.iter().zip(&other.levels);
        if parameters.start == Start::Second
            && let Some((a, b)) = pairs().find(|(a, b)| a.width != b.width)
        {
            return Some(format!(
                "`{name}` with `start = \"second\"` needs a second model as wide as the first, but level `{}` has {} \
                 neurons in `[model]` and {} in `[other-models]`",
                a.name, a.width, b.width
            ));
        }
        (parameters.start_model > 0 && first != other).then(|| {
            format!(
                "`{name}` can start only from a model of model 0's architecture, which `start-model` is not"
            )
        })
    }

    /// Parameters that cannot be, or do nothing, beside the others when so many models are fused, and why.
    pub fn contradictions(&self, models: usize) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut model = |key, at: usize| {
            if at >= models {
                let last = models.saturating_sub(1);
                found.push((
                    key,
                    format!("`{key}` is {at}, but the models are 0 to {last} here"),
                ));
            }
        };
        match self {
            Self::VanillaAveraging(_) | Self::Ensemble(_) | Self::LogitKd(_) | Self::GitRebasin(_) => {}
            Self::HfLinear(HfLinear { cutoff, .. }) | Self::KfLinear(KfLinear { cutoff, .. }) => {
                if cutoff.is_some_and(|cutoff| cutoff >= 1.0) {
                    let message = "`cutoff` must be below 1: no singular value is above the largest";
                    found.push(("cutoff", message.to_string()));
                }
            }
            Self::OtFusion(parameters) => {
                model("align-to", parameters.align_to);
                if parameters.norm_acts && parameters.ground == GroundCost::Weights {
                    let message = "`norm-acts` does nothing with `ground = \"weights\"`";
                    found.push(("norm-acts", message.to_string()));
                }
            }
            Self::KfGradient(parameters) => {
                model("start-model", parameters.start_model);
                found.extend(parameters.contradictions());
            }
        }
        found
    }

    /// What keeps the method from networks of this skeleton: the parameters to blame, if it is any, and why.
    pub fn obstacles(&self, plan: &Plan) -> Vec<(Option<&'static str>, String)> {
        match self {
            Self::VanillaAveraging(_) | Self::Ensemble(_) | Self::LogitKd(_) => Vec::new(),
            Self::OtFusion(_) | Self::GitRebasin(_) | Self::HfLinear(_) | Self::KfLinear(_) => {
                let message = format!(
                    "`{}` works on chains of linear maps and convolutions, which the network is not",
                    self.name()
                );
                (!plan.chain).then_some((None, message)).into_iter().collect()
            }
            Self::KfGradient(parameters) => {
                let found = parameters.obstacles(plan.levels.len()).into_iter();
                found.map(|(key, message)| (Some(key), message)).collect()
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
                rescale_importance: Some(0.1),
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
