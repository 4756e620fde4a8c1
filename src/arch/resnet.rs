//! `ResNet` for small images (He et al., 2016): 3x3 stem, four stages of residual blocks, mean pooling, one linear layer.
//!
//! State-dict names are those of the reference's `ResNet` (which took them from pytorch-cifar). The reference has no
//! levels for it; here a residual block is a level, the stem is the first and pooling with the classifier the last.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Module;
use super::builder::{Builder, PlanError};
use super::module::NORM_EPS;
use super::plan::Plan;

/// Settings of the `resnet...` architectures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ResNet {
    /// Whether a `BatchNorm` follows each convolution. Convolutions have no bias either way.
    pub batch_norm: bool,
    /// Whether the classifier has a bias.
    pub head_bias: bool,
}

impl Default for ResNet {
    fn default() -> Self {
        Self {
            batch_norm: true,
            head_bias: true,
        }
    }
}

/// The known depths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResNetKind {
    /// 8 basic blocks.
    ResNet18,
    /// 16 basic blocks.
    ResNet34,
    /// 16 bottlenecks.
    ResNet50,
    /// 33 bottlenecks.
    ResNet101,
    /// 50 bottlenecks.
    ResNet152,
}

impl ResNetKind {
    /// Blocks per stage, and by what a block's output is wider than its inside: 1 for basic blocks, 4 for bottlenecks.
    fn blocks(self) -> ([usize; 4], usize) {
        match self {
            Self::ResNet18 => ([2, 2, 2, 2], 1),
            Self::ResNet34 => ([3, 4, 6, 3], 1),
            Self::ResNet50 => ([3, 4, 6, 3], 4),
            Self::ResNet101 => ([3, 4, 23, 3], 4),
            Self::ResNet152 => ([3, 8, 36, 3], 4),
        }
    }
}

impl ResNetKind {
    /// Channels of the last block's output.
    pub(super) fn width(self) -> usize {
        512 * self.blocks().1
    }
}

/// One convolution of a block: name within it, output width, kernel, stride.
type Step = (&'static str, usize, usize, usize);

impl ResNet {
    pub(super) fn plan(&self, kind: ResNetKind, image: &[usize], classes: usize) -> Result<Plan, PlanError> {
        let (stages, expansion) = kind.blocks();
        let mut builder = Builder::new(image);
        let mut count = 0;
        let stem = self.conv(&mut builder, &mut count, ("conv1", "bn1"), (64, 3, 1))?;
        // The stem's ReLU belongs to its level, as a block's does: the next block's shortcut takes its output as it is.
        builder.level("conv1".to_string(), "", vec![stem, Module::Relu]);
        for (stage, &blocks) in stages.iter().enumerate() {
            let width = 64 << stage;
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let prefix = format!("layer{}.{block}", stage + 1);
                let modules = vec![
                    self.block(&mut builder, &mut count, &prefix, (width, expansion, stride))?,
                    Module::Relu,
                ];
                builder.level(prefix.clone(), &format!("{prefix}."), modules);
            }
        }
        let pool = builder.avg_pool(4, 4)?;
        let flatten = builder.flatten();
        let head = builder.linear("fc01", "linear", classes, self.head_bias)?;
        builder.level("linear".to_string(), "linear.", vec![pool, flatten, head]);
        Ok(builder.finish())
    }

    fn conv(
        &self,
        builder: &mut Builder,
        count: &mut usize,
        (conv, norm): (&str, &str),
        (width, kernel, stride): (usize, usize, usize),
    ) -> Result<Module, PlanError> {
        *count += 1;
        let module = builder.conv(
            &format!("conv{count:02}"),
            conv,
            (width, kernel, stride, kernel / 2),
            false,
        )?;
        if self.batch_norm {
            builder.batch_norm(norm, NORM_EPS);
        }
        Ok(module)
    }

    fn block(
        &self,
        builder: &mut Builder,
        count: &mut usize,
        prefix: &str,
        (width, expansion, stride): (usize, usize, usize),
    ) -> Result<Module, PlanError> {
        let out = width * expansion;
        let steps: &[Step] = if expansion == 1 {
            &[("1", width, 3, stride), ("2", width, 3, 1)]
        } else {
            &[("1", width, 1, 1), ("2", width, 3, stride), ("3", out, 1, 1)]
        };
        let narrow = builder.shape()[0] == out && stride == 1;
        let count = std::cell::RefCell::new(count);
        builder.residual(
            |builder| {
                let mut body = Vec::new();
                for &(name, width, kernel, stride) in steps {
                    if !body.is_empty() {
                        body.push(Module::Relu);
                    }
                    let names = (format!("{prefix}.conv{name}"), format!("{prefix}.bn{name}"));
                    body.push(self.conv(
                        builder,
                        &mut count.borrow_mut(),
                        (&names.0, &names.1),
                        (width, kernel, stride),
                    )?);
                }
                Ok(body)
            },
            |builder| {
                if narrow {
                    return Ok(Vec::new());
                }
                let names = (format!("{prefix}.shortcut.0"), format!("{prefix}.shortcut.1"));
                let conv = self.conv(
                    builder,
                    &mut count.borrow_mut(),
                    (&names.0, &names.1),
                    (out, 1, stride),
                )?;
                Ok(vec![conv])
            },
        )
    }
}
