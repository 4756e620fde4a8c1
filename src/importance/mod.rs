//! Importance scores: how much each neuron of a layer matters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Importance {
    /// 1 for every neuron.
    #[default]
    Uniform,
}

impl Importance {
    /// As in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
        }
    }

    /// The scores of a layer of `width` neurons, all positive.
    pub fn scores(self, width: usize) -> Vec<f64> {
        match self {
            Self::Uniform => vec![1.0; width],
        }
    }
}
