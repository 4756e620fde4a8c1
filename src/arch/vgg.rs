//! VGG for small images (Simonyan and Zisserman, 2015): 3x3 convolutions, max pooling, one linear layer.
//!
//! State-dict names are those of the reference's `VGG`: level i is `feature_levels.i`, in which what comes before the
//! convolution (the last level's ReLU, pooling) counts too: `feature_levels.1.2.weight` follows a ReLU and a pooling.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Module;
use super::builder::{Builder, PlanError};
use super::module::NORM_EPS;
use super::plan::Plan;

/// Settings of the `vgg...` architectures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Vgg {
    /// Whether a `BatchNorm` follows each convolution.
    pub batch_norm: bool,
    /// Whether convolutions and the classifier have a bias.
    pub bias: bool,
    /// Whether a level ends after its nonlinearity instead of before it (the reference's `use_activations`). It
    /// changes tensor names and what level-wise methods see, not the function.
    pub level_activations: bool,
}

impl Default for Vgg {
    fn default() -> Self {
        Self {
            batch_norm: false,
            bias: true,
            level_activations: false,
        }
    }
}

/// The known configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VggKind {
    /// 8 convolutions.
    Vgg11,
    /// The same, half as wide but for its ends.
    Vgg11Half,
    /// The same, one and a half times as wide.
    Vgg11ThreeHalves,
    /// The same, twice as wide.
    Vgg11Double,
    /// The same, four times as wide.
    Vgg11Quad,
    /// 10 convolutions.
    Vgg13,
    /// 13 convolutions.
    Vgg16,
    /// 16 convolutions.
    Vgg19,
}

impl VggKind {
    /// Widths of the convolutions; 0 is a pooling.
    fn widths(self) -> &'static [usize] {
        match self {
            Self::Vgg11 => &[64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0],
            Self::Vgg11Half => &[64, 0, 64, 0, 128, 128, 0, 256, 256, 0, 256, 512, 0],
            Self::Vgg11ThreeHalves => &[64, 0, 192, 0, 384, 384, 0, 768, 768, 0, 768, 768, 0],
            Self::Vgg11Double => &[64, 0, 256, 0, 512, 512, 0, 1024, 1024, 0, 1024, 512, 0],
            Self::Vgg11Quad => &[64, 0, 512, 0, 1024, 1024, 0, 2048, 2048, 0, 2048, 512, 0],
            Self::Vgg13 => &[64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0],
            Self::Vgg16 => &[
                64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0,
            ],
            Self::Vgg19 => &[
                64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0,
            ],
        }
    }
}

impl VggKind {
    /// Channels of the last convolution.
    pub(super) fn width(self) -> usize {
        let last = self.widths().iter().rev().find(|&&width| width > 0);
        last.copied().unwrap_or(1)
    }
}

impl Vgg {
    pub(super) fn plan(&self, kind: VggKind, image: &[usize], classes: usize) -> Result<Plan, PlanError> {
        let mut builder = Builder::new(image);
        let mut modules = Vec::new();
        let mut level = 0;
        for &width in kind.widths() {
            if width == 0 {
                modules.push(builder.max_pool(2, 2, 0)?);
                continue;
            }
            let prefix = |at: usize| format!("feature_levels.{level}.{at}");
            let name = format!("features.conv{level}");
            modules.push(builder.conv(&name, &prefix(modules.len()), (width, 3, 1, 1), self.bias)?);
            if self.batch_norm {
                builder.batch_norm(&prefix(modules.len()), NORM_EPS);
            }
            if self.level_activations {
                modules.push(Module::Relu);
            }
            builder.level(
                name,
                &format!("feature_levels.{level}."),
                std::mem::take(&mut modules),
            );
            if !self.level_activations {
                modules.push(Module::Relu);
            }
            level += 1;
        }
        modules.push(builder.flatten());
        let name = "classifier.fc";
        modules.push(builder.linear(name, &format!("classifier.{}", modules.len()), classes, self.bias)?);
        builder.level(name.to_string(), "classifier.", modules);
        Ok(builder.finish())
    }
}
