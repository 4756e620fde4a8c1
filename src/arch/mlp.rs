//! Multilayer perceptron: flatten, then linear maps with ReLU between them.
//!
//! State-dict names are those of the reference's `MLPNet`: level i holds its linear map at index 1 when something
//! (flattening, ReLU) comes before it, at index 0 otherwise; `level1.1.weight`, `level2.1.weight`, ...

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Module;
use super::builder::{Builder, PlanError};
use super::plan::Plan;

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
    pub(super) fn plan(&self, image: &[usize], classes: usize) -> Result<Plan, PlanError> {
        let mut builder = Builder::new(image);
        let last = self.hidden.len();
        for (i, &width) in self.hidden.iter().chain([&classes]).enumerate() {
            let mut modules = match (i, self.level_activations) {
                (0, _) => vec![builder.flatten()],
                (_, false) => vec![Module::Relu],
                (_, true) => vec![],
            };
            let (name, level) = (format!("fc{}", i + 1), format!("level{}", i + 1));
            let prefix = format!("{level}.{}", modules.len());
            modules.push(builder.linear(&name, &prefix, width, self.bias)?);
            if self.level_activations && i < last {
                modules.push(Module::Relu);
            }
            builder.level(name, &format!("{level}."), modules);
        }
        Ok(builder.finish())
    }
}
