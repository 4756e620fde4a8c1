//! Multilayer perceptron: flatten, then linear maps with ReLU between them.
//!
//! State-dict names are those of the reference's `MLPNet`: level i holds its linear map at index 1 when something
//! (flattening, ReLU) comes before it, at index 0 otherwise; `level1.1.weight`, `level2.1.weight`, ...

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LayerPlan, Op};

/// Settings of `architecture = "mlp"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Mlp {
    /// Widths of the hidden layers; empty for a linear classifier.
    #[schemars(inner(range(min = 1, max = 1_000_000)))]
    pub hidden: Vec<usize>,
    /// Whether layers have a bias.
    pub bias: bool,
    /// Whether a level ends after its nonlinearity instead of before it (the reference's `use_activations`). It
    /// changes tensor names and what level-wise methods see, not the function.
    pub level_activations: bool,
}

impl Default for Mlp {
    fn default() -> Self {
        Self {
            hidden: vec![256],
            bias: true,
            level_activations: false,
        }
    }
}

impl Mlp {
    /// One entry per linear map.
    pub fn plan(&self, image: &[usize], classes: usize) -> Vec<LayerPlan> {
        let mut widths = vec![image.iter().product()];
        widths.extend(&self.hidden);
        widths.push(classes);
        let last = widths.len() - 2;
        (0..=last)
            .map(|i| {
                let before = match (i, self.level_activations) {
                    (0, _) => vec![Op::Flatten],
                    (_, false) => vec![Op::Relu],
                    (_, true) => vec![],
                };
                let after = if self.level_activations && i < last {
                    vec![Op::Relu]
                } else {
                    vec![]
                };
                LayerPlan {
                    name: format!("fc{}", i + 1),
                    prefix: format!("level{}.{}", i + 1, before.len()),
                    before,
                    after,
                    weight: [widths[i + 1], widths[i]],
                    bias: self.bias,
                }
            })
            .collect()
    }
}
