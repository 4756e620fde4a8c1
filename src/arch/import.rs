//! Networks from the tensors of any program.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::by_order::{self, Refusal, split};
use super::network::require_finite;
use super::plan::{Init, Plan};
use super::{ArchError, Architecture, Network, Parameter, State};

/// A state dict of any program.
#[derive(Debug, Clone, Copy)]
pub struct Foreign<'a> {
    /// Names and tensors.
    pub state: &'a State,
    /// Whether their order is that of the program: PyTorch's files keep it, safetensors do not.
    pub ordered: bool,
    /// The `eps` of normalisations by the module's name, where the file tells it.
    pub norms: &'a BTreeMap<String, f64>,
}

impl Foreign<'_> {
    /// The tensors under the names that come closest to those of the plan.
    fn unwrapped(&self, plan: &Plan) -> State {
        let names: Vec<&str> = self.state.iter().map(|(name, _)| name.as_str()).collect();
        let tensors = self.state.iter().map(|(_, tensor)| tensor.clone());
        plan.closest_names(&names).into_iter().zip(tensors).collect()
    }
}

impl Network {
    /// Builds from a state dict in PyTorch's order; extra, missing or misshapen tensors are errors. Tensors become f32 on
    /// `device`. Those of a user's own network may have other names, where their shapes tell them apart.
    pub fn from_state(
        architecture: &Architecture,
        image: &[usize],
        classes: usize,
        state: &State,
        device: &Device,
    ) -> Result<Self, ArchError> {
        let foreign = Foreign {
            state,
            ordered: true,
            norms: &BTreeMap::new(),
        };
        Self::import(architecture, image, classes, foreign, device)
    }

    /// The same of a file that may not keep the order of its tensors, and may tell what its normalisations add to the
    /// variance.
    pub fn import(
        architecture: &Architecture,
        image: &[usize],
        classes: usize,
        foreign: Foreign,
        device: &Device,
    ) -> Result<Self, ArchError> {
        let plan = architecture.plan(image, classes)?;
        let mismatch = |problem: String| ArchError::Mismatch {
            architecture: architecture.name().to_string(),
            problem,
        };
        let state = foreign.unwrapped(&plan);
        let renamed = match architecture {
            Architecture::Sequential(_) => match by_order::renamed(&plan, &state, foreign.ordered) {
                Ok(renamed) => renamed,
                Err(Refusal::Misfit(problem)) => return Err(mismatch(problem)),
                Err(Refusal::Order { reason, pairs }) => return Err(ArchError::Order { reason, pairs }),
            },
            _ => None,
        };
        let state = renamed.as_ref().unwrap_or(&state);
        // By now tensor i of the state is tensor i of the file.
        let places: BTreeMap<&str, &str> = state
            .iter()
            .zip(foreign.state)
            .map(|((own, _), (theirs, _))| (own.as_str(), theirs.as_str()))
            .collect();
        for (&scale, &ours) in &plan.norms {
            let theirs = places.get(plan.parameters[scale].name.as_str());
            let norm = theirs.map_or("", |name| split(name).0);
            if let Some(&theirs) = foreign.norms.get(norm).filter(|theirs| **theirs != ours) {
                return Err(ArchError::Eps {
                    norm: norm.to_string(),
                    theirs,
                    ours,
                    architecture: architecture.name().to_string(),
                });
            }
        }
        let by_name: BTreeMap<&str, &Tensor> = state
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .collect();
        let mut tensors = Vec::with_capacity(plan.parameters.len());
        for Parameter {
            name, shape, init, ..
        } in &plan.parameters
        {
            let tensor = by_name
                .get(name.as_str())
                .ok_or_else(|| mismatch(format!("`{name}` {shape:?} is missing")))?;
            if tensor.dims() != shape {
                return Err(mismatch(format!(
                    "`{name}` has shape {:?} instead of {shape:?}",
                    tensor.dims()
                )));
            }
            let dtype = if *init == Init::Count {
                DType::I64
            } else {
                DType::F32
            };
            let tensor = tensor.to_device(device)?.to_dtype(dtype)?;
            require_finite(name, &tensor)?;
            tensors.push(tensor);
        }
        let known = |name: &str| plan.parameters.iter().any(|parameter| parameter.name == name);
        if let Some((extra, _)) = state.iter().find(|(name, _)| !known(name)) {
            return Err(mismatch(format!("`{extra}` has no place in it")));
        }
        Ok(Self {
            architecture: architecture.clone(),
            plan: Arc::new(plan),
            tensors,
        })
    }
}
