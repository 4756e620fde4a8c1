//! Users' own networks: a list of layers, in the order of application.
//!
//! ```toml
//! [model]
//! architecture = "sequential"
//!
//! [[model.layers]]
//! kind = "conv"
//! out = 16
//! kernel = 3
//! padding = 1
//!
//! [[model.layers]]
//! kind = "relu"
//!
//! [[model.layers]]
//! kind = "flatten"
//!
//! [[model.layers]]
//! kind = "linear"     # the last layer, without `out`: as wide as there are classes
//! ```
//!
//! *Names.* Tensors are named as in PyTorch's `nn.Sequential` of the same list: by their layer's position, `0.weight`,
//! `3.bias`; within a residual block `4.body.0.weight`, `4.shortcut.0.weight`. `name` gives a layer another name, from
//! the top: `name = "layer1.0.conv1"` holds within a block, too. A transformer block and a patch embedding name their
//! tensors as those of [`super::Vit`] do.
//!
//! *Levels.* A level ends after each layer with parameters, a residual block being one layer and a `BatchNorm` part of
//! the layer before it; what follows the last of them belongs to it. Where any layer is marked by `level = true`, levels
//! end after the marked layers instead, and at the end.
//!
//! *Import.* A state dict with other names is taken where shapes tell its tensors apart, see `by_order`.

mod layer;
mod plan;

pub use layer::{LayerSettings, Operation};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of `architecture = "sequential"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sequential {
    /// The layers, in the order of application.
    pub layers: Vec<LayerSettings>,
}
