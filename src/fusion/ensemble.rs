//! Ensemble: the mean of the models' softmax outputs, each class optionally weighted per model.
//!
//! With head weights `h[j][c]` = the share of class c's training samples that model j saw (columns sum to 1), the
//! probability of class c is `sum_j h[j][c] p_j(c)`, renormalised over the classes. The paper's row "Ensemble" is the
//! head-weighted one. The reference does not renormalise; accuracy is the same either way.
//!
//! | symbol | here | shape |
//! | --- | --- | --- |
//! | h | `weights` | `[k][classes]` |
//!
//! Cost: a pass of every model over the test set; nothing is fused, and no fusion set looked at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compare::Needs;
use super::{Arity, Compat, Fused, FusionError, FusionMethod, Inputs, MethodInfo};
use crate::tick::Tick;

/// Parameters of `ensemble`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ensemble {
    /// Weight each class by the share of its training samples that a model saw.
    pub head_weights: bool,
    /// `reference`: loss and ROC AUC as if the averaged probabilities were logits.
    pub compat: Compat,
}

impl FusionMethod for Ensemble {
    const INFO: MethodInfo = MethodInfo {
        name: "ensemble",
        label: "Ensemble",
        summary: "mean of the models' softmax outputs, optionally weighted per class",
        paper: "baseline",
        arity: Arity::Any,
        version: 1,
        seconds: 1.0,
    };

    fn fuse(&self, inputs: &Inputs, _on_tick: &mut Tick) -> Result<Fused, FusionError> {
        let weights = match (self.head_weights, inputs.class_counts) {
            (false, _) => None,
            (true, Some(counts)) => Some(head_weights(counts)),
            (true, None) => {
                return Err(FusionError::Missing {
                    method: "ensemble",
                    what: "the training indices of every model for its head weights",
                });
            }
        };
        Ok(Fused::Ensemble { weights })
    }

    fn uses_fusion_set(&self) -> bool {
        false
    }

    fn needs_class_counts(&self) -> bool {
        self.head_weights
    }

    fn needs(&self) -> Needs {
        Needs::Nothing
    }
}

/// Head weights `[model][class]` from class counts; a class that no model saw is shared equally.
pub fn head_weights(counts: &[Vec<u64>]) -> Vec<Vec<f64>> {
    let classes = counts.first().map_or(0, Vec::len);
    let totals: Vec<u64> = (0..classes)
        .map(|c| counts.iter().map(|model| model[c]).sum())
        .collect();
    let share = |count: u64, total: u64| match total {
        0 => 1.0 / counts.len() as f64,
        _ => count as f64 / total as f64,
    };
    counts
        .iter()
        .map(|model| {
            model
                .iter()
                .zip(&totals)
                .map(|(&count, &total)| share(count, total))
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_head_weights_sum_to_one_even_for_unseen_classes() {
        let weights = head_weights(&[vec![30, 0, 5], vec![10, 0, 0]]);
        assert_eq!(weights, [vec![0.75, 0.5, 1.0], vec![0.25, 0.5, 0.0]]);
    }
}
