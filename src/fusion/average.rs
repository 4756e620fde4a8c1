//! Vanilla averaging: the mean of all parameters, neuron i with neuron i.
//!
//! `W = (1/k) sum_j W_j` for every tensor of the state dict; the sum runs in model order in f32, as in the reference.
//!
//! Cost: one pass over the `k` sets of parameters. No data is looked at, hence the record has no errors on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compare::{Needs, require};
use super::{Arity, Fused, FusionError, FusionMethod, Inputs, MethodInfo};
use crate::tick::Tick;

/// Parameters of `vanilla-averaging`: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VanillaAveraging {}

impl FusionMethod for VanillaAveraging {
    const INFO: MethodInfo = MethodInfo {
        name: "vanilla-averaging",
        label: "Vanilla averaging",
        summary: "mean of all parameters",
        paper: "baseline",
        arity: Arity::Any,
        version: 1,
        seconds: 1.0,
    };

    fn fuse(&self, inputs: &Inputs, _on_tick: &mut Tick) -> Result<Fused, FusionError> {
        require("vanilla-averaging", Needs::Shapes, inputs.models)?;
        let (first, rest) = (&inputs.models[0], &inputs.models[1..]);
        let mut network = first.clone();
        let k = inputs.models.len() as f64;
        for (at, tensor) in network.tensors.iter_mut().enumerate() {
            // Counters of batches stay model 0's: they are no parameters.
            if !tensor.dtype().is_float() {
                continue;
            }
            let mut sum = tensor.clone();
            for other in rest {
                sum = (sum + &other.tensors[at])?;
            }
            *tensor = (sum / k)?;
        }
        Ok(Fused::Network {
            network,
            diagnostics: serde_json::Value::Null,
        })
    }

    fn uses_fusion_set(&self) -> bool {
        false
    }

    fn needs(&self) -> Needs {
        Needs::Shapes
    }
}
