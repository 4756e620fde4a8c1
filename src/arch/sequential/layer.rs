//! One layer as a manifest has it.
//!
//! It is read as one table of all keys ([`Keys`]) and then held to the keys of its kind: serde's tagged enums buffer
//! what they read, and with it the place of an error in the manifest is lost. Defaults are filled in, so that a layer
//! has one written form.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::super::module::NORM_EPS;

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerSettings {
    /// Name of the layer in the state dict, where it is not its position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether a level ends after it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub level: bool,
    /// What it does.
    #[serde(flatten)]
    pub operation: Operation,
}

/// What a layer does. Shapes are of one sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Operation {
    /// Convolution with a square kernel, `[C, H, W]` to `[out, H', W']`.
    Conv {
        /// Output channels; `None` for the number of classes.
        #[serde(skip_serializing_if = "Option::is_none")]
        out: Option<usize>,
        /// Side of the kernel.
        kernel: usize,
        /// Step.
        stride: usize,
        /// Zeros around the input.
        padding: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Linear map, `[d]` to `[out]`.
    Linear {
        /// Outputs; `None` for the number of classes.
        #[serde(skip_serializing_if = "Option::is_none")]
        out: Option<usize>,
        /// Whether there is a bias.
        bias: bool,
    },
    /// `BatchNorm` of the convolution or linear map right before it.
    BatchNorm {
        /// Added to the variance.
        #[serde(skip_serializing_if = "is_usual")]
        eps: f64,
    },
    /// Normalisation over the last dimension of `[d]` or of tokens.
    LayerNorm {
        /// Added to the variance.
        #[serde(skip_serializing_if = "is_usual")]
        eps: f64,
    },
    /// `max(x, 0)`.
    Relu,
    /// `x Phi(x)`.
    Gelu,
    /// Maximum over windows.
    MaxPool {
        /// Side of the window.
        kernel: usize,
        /// Step.
        stride: usize,
        /// Border, never the maximum.
        padding: usize,
    },
    /// Mean over windows.
    AvgPool {
        /// Side of the window.
        kernel: usize,
        /// Step.
        stride: usize,
    },
    /// Mean over all positions, `[C, H, H]` to `[C, 1, 1]`.
    GlobalAvgPool,
    /// `[C, H, W]` to `[C H W]`.
    Flatten,
    /// Dropout in training.
    Dropout {
        /// Share of elements.
        p: f64,
    },
    /// `body(x) + shortcut(x)`.
    Residual {
        /// The main way.
        body: Vec<LayerSettings>,
        /// The other; x itself where it is empty.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        shortcut: Vec<LayerSettings>,
    },
    /// Images to tokens `[T + 1, out]`: patches, embedded, behind a class token, plus positions.
    PatchEmbedding {
        /// Side of a patch.
        patch: usize,
        /// Width of tokens.
        out: usize,
    },
    /// Transformer block on tokens, pre-norm, as in `architecture = "vit"`.
    Transformer {
        /// Attention heads.
        heads: usize,
        /// Width of the MLP.
        mlp: usize,
        /// Share of elements dropped in training.
        dropout: f64,
    },
    /// Tokens to the class token, `[d]`.
    FirstToken,
}

/// Then it is not written: keys of layers stay what they were before there was one.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_usual(eps: &f64) -> bool {
    *eps == NORM_EPS
}

/// Kinds of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// convolution with a square kernel; keys `out`, `kernel`, `stride`, `padding`, `bias`
    Conv,
    /// linear map of flat activations; keys `out`, `bias`
    Linear,
    /// `BatchNorm`, right after a `conv` or `linear`, of which it is a part; key `eps`
    BatchNorm,
    /// `LayerNorm` of flat activations or tokens; layer-wise methods cannot follow neurons through it; key `eps`
    LayerNorm,
    /// ReLU
    Relu,
    /// GELU, exact
    Gelu,
    /// maximum over square windows; keys `kernel`, `stride`, `padding`
    MaxPool,
    /// mean over square windows; keys `kernel`, `stride`
    AvgPool,
    /// mean over all positions of square activations
    GlobalAvgPool,
    /// channels and positions in one dimension
    Flatten,
    /// dropout in training; key `p`
    Dropout,
    /// residual block; keys `body`, `shortcut`
    Residual,
    /// images to tokens, one per patch, behind a class token; keys `patch`, `out`
    PatchEmbedding,
    /// pre-norm transformer block on tokens, as in `architecture = "vit"`; keys `heads`, `mlp`, `dropout`
    Transformer,
    /// tokens to the class token
    FirstToken,
}

impl Kind {
    /// The keys it takes besides `kind` and `level`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Conv => &["name", "level", "out", "kernel", "stride", "padding", "bias"],
            Self::Linear => &["name", "level", "out", "bias"],
            Self::BatchNorm | Self::LayerNorm => &["name", "level", "eps"],
            Self::Relu | Self::Gelu | Self::GlobalAvgPool | Self::Flatten | Self::FirstToken => &["level"],
            Self::MaxPool => &["level", "kernel", "stride", "padding"],
            Self::AvgPool => &["level", "kernel", "stride"],
            Self::Dropout => &["level", "p"],
            Self::Residual => &["name", "level", "body", "shortcut"],
            Self::PatchEmbedding => &["name", "level", "patch", "out"],
            Self::Transformer => &["name", "level", "heads", "mlp", "dropout"],
        }
    }
}

/// One layer: what it does, and the keys of that.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Keys {
    /// What the layer does.
    kind: Kind,
    /// Name of the layer in the state dict, from the top. Default: its position in the list, as in `nn.Sequential`;
    /// `4.body.0` and `4.shortcut.0` within a residual block. For layers with parameters.
    name: Option<String>,
    /// Whether a level ends after this layer. Where no layer has it, one ends after each layer with parameters; a
    /// residual block is one layer.
    level: Option<bool>,
    /// `conv`, `linear`: width of the output; left out at the last layer, the number of classes. `patch-embedding`:
    /// width of tokens.
    #[schemars(range(min = 1, max = 1_000_000))]
    out: Option<usize>,
    /// Side of the kernel or window.
    #[schemars(range(min = 1, max = 1000))]
    kernel: Option<usize>,
    /// Step between windows. Default: 1 for `conv`, `kernel` for pooling.
    #[schemars(range(min = 1, max = 1000))]
    stride: Option<usize>,
    /// Border around the input. Default: 0.
    #[schemars(range(max = 1000))]
    padding: Option<usize>,
    /// Whether the layer has a bias. Default: true.
    bias: Option<bool>,
    /// `batch-norm`, `layer-norm`: added to the variance. Default: 1e-5, as in PyTorch. A state dict does not tell it.
    #[schemars(range(min = 0.0, max = 1.0))]
    eps: Option<f64>,
    /// Share of elements dropped in training.
    #[schemars(range(min = 0.0, max = 0.99))]
    p: Option<f64>,
    /// The main way of a residual block: layers.
    body: Option<Vec<LayerSettings>>,
    /// The other way, which is added: layers. Default: the block's input as it is.
    shortcut: Option<Vec<LayerSettings>>,
    /// Side of a patch, in pixels.
    #[schemars(range(min = 1, max = 1_000_000))]
    patch: Option<usize>,
    /// Attention heads; they divide the width of tokens.
    #[schemars(range(min = 1, max = 1_000_000))]
    heads: Option<usize>,
    /// Width of the MLP of a transformer block.
    #[schemars(range(min = 1, max = 1_000_000))]
    mlp: Option<usize>,
    /// Share of elements dropped in training within a transformer block. Default: 0.
    #[schemars(range(min = 0.0, max = 0.99))]
    dropout: Option<f64>,
}

impl Keys {
    /// The first key that is given although layers of this kind do not take it.
    fn foreign(&self) -> Option<&'static str> {
        let keys = self.kind.keys();
        let given = [
            ("name", self.name.is_some()),
            ("level", self.level.is_some()),
            ("out", self.out.is_some()),
            ("kernel", self.kernel.is_some()),
            ("stride", self.stride.is_some()),
            ("padding", self.padding.is_some()),
            ("bias", self.bias.is_some()),
            ("eps", self.eps.is_some()),
            ("p", self.p.is_some()),
            ("body", self.body.is_some()),
            ("shortcut", self.shortcut.is_some()),
            ("patch", self.patch.is_some()),
            ("heads", self.heads.is_some()),
            ("mlp", self.mlp.is_some()),
            ("dropout", self.dropout.is_some()),
        ];
        let foreign = given
            .into_iter()
            .find(|(key, given)| *given && !keys.contains(key));
        foreign.map(|(key, _)| key)
    }

    /// The layer, with defaults filled in; an error names the key that is missing.
    fn operation(self) -> Result<Operation, &'static str> {
        let bias = self.bias.unwrap_or(true);
        let padding = self.padding.unwrap_or(0);
        let kernel = self.kernel.ok_or("kernel");
        let eps = self.eps.unwrap_or(NORM_EPS);
        Ok(match self.kind {
            Kind::Conv => Operation::Conv {
                out: self.out,
                kernel: kernel?,
                stride: self.stride.unwrap_or(1),
                padding,
                bias,
            },
            Kind::Linear => Operation::Linear { out: self.out, bias },
            Kind::BatchNorm => Operation::BatchNorm { eps },
            Kind::LayerNorm => Operation::LayerNorm { eps },
            Kind::Relu => Operation::Relu,
            Kind::Gelu => Operation::Gelu,
            Kind::MaxPool => Operation::MaxPool {
                kernel: kernel?,
                stride: self.stride.unwrap_or(kernel?),
                padding,
            },
            Kind::AvgPool => Operation::AvgPool {
                kernel: kernel?,
                stride: self.stride.unwrap_or(kernel?),
            },
            Kind::GlobalAvgPool => Operation::GlobalAvgPool,
            Kind::Flatten => Operation::Flatten,
            Kind::Dropout => Operation::Dropout {
                p: self.p.ok_or("p")?,
            },
            Kind::Residual => Operation::Residual {
                body: self.body.ok_or("body")?,
                shortcut: self.shortcut.unwrap_or_default(),
            },
            Kind::PatchEmbedding => Operation::PatchEmbedding {
                patch: self.patch.ok_or("patch")?,
                out: self.out.ok_or("out")?,
            },
            Kind::Transformer => Operation::Transformer {
                heads: self.heads.ok_or("heads")?,
                mlp: self.mlp.ok_or("mlp")?,
                dropout: self.dropout.unwrap_or(0.0),
            },
            Kind::FirstToken => Operation::FirstToken,
        })
    }
}

impl<'de> Deserialize<'de> for LayerSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys = Keys::deserialize(deserializer)?;
        if let Some(key) = keys.foreign() {
            return Err(D::Error::unknown_field(key, keys.kind.keys()));
        }
        Ok(Self {
            name: keys.name.take(),
            level: keys.level.unwrap_or(false),
            operation: keys.operation().map_err(D::Error::missing_field)?,
        })
    }
}

impl JsonSchema for LayerSettings {
    fn schema_name() -> Cow<'static, str> {
        "Layer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Keys::json_schema(generator)
    }
}
