//! Networks as chains of layers: shapes, state-dict names, forward passes.
//!
//! A [`Network`] is an ordered list of [`Layer`]s (one linear map each), grouped into *levels* (consecutive layers
//! with one output). What happens between two linear maps (flattening, nonlinearities) belongs to the later one:
//! with `level-activations = false` a level ends in its pre-activation, as the fusion methods want it.

mod mlp;
mod network;

pub use mlp::Mlp;
pub use network::{ArchError, Layer, Network, Op, State};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One known architecture.
#[derive(Debug)]
pub struct ArchitectureInfo {
    /// As in `model.architecture`.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
}

/// All architectures.
pub const ARCHITECTURES: &[ArchitectureInfo] = &[ArchitectureInfo {
    name: "mlp",
    summary: "fully connected network with ReLU, any number and width of hidden layers",
}];

/// Architecture and its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "architecture", rename_all = "kebab-case")]
pub enum Architecture {
    /// Fully connected.
    Mlp(Mlp),
}

impl Architecture {
    /// Name, as in the manifest.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "mlp",
        }
    }

    /// The network's skeleton for images of shape `[C, H, W]`.
    pub fn plan(&self, image: &[usize], classes: usize) -> Vec<LayerPlan> {
        match self {
            Self::Mlp(settings) => settings.plan(image, classes),
        }
    }
}

/// What a layer looks like before it has weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPlan {
    /// The layer's name, such as `fc1`.
    pub name: String,
    /// Prefix of its tensors in the state dict, such as `level1.1`.
    pub prefix: String,
    /// What is applied before the linear map.
    pub before: Vec<Op>,
    /// What is applied after it, within the same level.
    pub after: Vec<Op>,
    /// Shape of the weight, `[out, in]`.
    pub weight: [usize; 2],
    /// Whether it has a bias of shape `[out]`.
    pub bias: bool,
}
