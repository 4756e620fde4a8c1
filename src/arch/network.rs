//! A plan and its tensors.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::builder::PlanError;
use super::by_order;
use super::module::{Pass, Plain, Training, Visitor};
use super::plan::{Init, Plan};
use super::{Architecture, Layer, Level, Module, Parameter};

/// A state dict: names as PyTorch has them, in order.
pub type State = Vec<(String, Tensor)>;

/// A network cannot be built from these tensors.
#[derive(Debug, thiserror::Error)]
pub enum ArchError {
    /// The tensors are not those of the architecture.
    #[error("the tensors do not fit architecture `{architecture}`: {problem}")]
    Mismatch {
        /// The architecture asked for.
        architecture: String,
        /// The first tensor at fault, with both shapes.
        problem: String,
    },
    /// The architecture does not fit the images.
    #[error("architecture `{architecture}` does not fit images of shape {image:?}: {source}")]
    Plan {
        /// The architecture asked for.
        architecture: String,
        /// `[C, H, W]`.
        image: Vec<usize>,
        /// Why.
        source: PlanError,
    },
    /// NaN or an infinity among the weights.
    #[error("element {index} of `{tensor}` is {value}")]
    NotFinite {
        /// The tensor's name.
        tensor: String,
        /// Position of the first such element, row-major.
        index: usize,
        /// The element.
        value: f32,
    },
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Refuses a tensor with NaN or an infinity.
fn require_finite(name: &str, tensor: &Tensor) -> Result<(), ArchError> {
    let values = tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(ArchError::NotFinite {
            tensor: name.to_string(),
            index,
            value: values[index],
        }),
    }
}

impl Init {
    /// Fresh values of a tensor of this shape.
    pub fn sample(
        self,
        shape: &[usize],
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let n = shape.iter().product();
        let normal = |rng: &mut ChaCha8Rng| -> f32 { StandardNormal.sample(rng) };
        let values: Vec<f32> = match self {
            Self::Uniform(bound) => (0..n).map(|_| rng.random_range(-bound..bound)).collect(),
            Self::Normal(std) => (0..n).map(|_| std * normal(rng)).collect(),
            Self::Truncated(std) => (0..n)
                .map(|_| {
                    loop {
                        let value = normal(rng);
                        if value.abs() <= 2.0 {
                            break std * value;
                        }
                    }
                })
                .collect(),
            Self::Constant(value) => vec![value; n],
            Self::Count => return Tensor::zeros(shape, DType::I64, device),
        };
        Tensor::from_vec(values, shape, device)
    }
}

/// A network with weights.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its architecture and settings.
    pub architecture: Architecture,
    /// Its skeleton.
    pub plan: Arc<Plan>,
    /// Its tensors, in the order of the plan's parameters.
    pub tensors: Vec<Tensor>,
}

impl Network {
    /// Builds from a state dict; extra, missing or misshapen tensors are errors. Tensors become f32 on `device`. Those of
    /// a user's own network may have other names, in the order of the plan.
    pub fn from_state(
        architecture: &Architecture,
        image: &[usize],
        classes: usize,
        state: &State,
        device: &Device,
    ) -> Result<Self, ArchError> {
        let plan = architecture.plan(image, classes)?;
        let mismatch = |problem: String| ArchError::Mismatch {
            architecture: architecture.name().to_string(),
            problem,
        };
        let renamed = match architecture {
            Architecture::Sequential(_) => by_order::renamed(&plan, state).map_err(mismatch)?,
            _ => None,
        };
        let state = renamed.as_ref().unwrap_or(state);
        let by_name: std::collections::BTreeMap<&str, &Tensor> = state
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

    /// Fresh weights, as PyTorch's modules start.
    pub fn initialise(
        architecture: &Architecture,
        image: &[usize],
        classes: usize,
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Result<Self, ArchError> {
        let plan = architecture.plan(image, classes)?;
        let tensors = plan
            .parameters
            .iter()
            .map(|parameter| parameter.init.sample(&parameter.shape, rng, device))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self {
            architecture: architecture.clone(),
            plan: Arc::new(plan),
            tensors,
        })
    }

    /// Its layers.
    pub fn layers(&self) -> &[Layer] {
        &self.plan.layers
    }

    /// Its levels.
    pub fn levels(&self) -> &[Level] {
        &self.plan.levels
    }

    /// Refuses weights that are not finite.
    pub fn require_finite(&self) -> Result<(), ArchError> {
        let mut named = self.plan.parameters.iter().zip(&self.tensors);
        named.try_for_each(|(parameter, tensor)| require_finite(&parameter.name, tensor))
    }

    /// The same network with parameters of another type. Its inputs have to be of that type too.
    pub fn to_dtype(&self, dtype: DType) -> candle_core::Result<Self> {
        let mut network = self.clone();
        for tensor in &mut network.tensors {
            if tensor.dtype().is_float() {
                *tensor = tensor.to_dtype(dtype)?;
            }
        }
        Ok(network)
    }

    /// The same network on trainable copies of its parameters, and these in state-dict order.
    pub fn trainable(&self) -> candle_core::Result<(Self, Vec<Var>)> {
        self.trainable_in(0..self.tensors.len())
    }

    /// The same for the parameters in `range` alone; the others are shared.
    pub fn trainable_in(&self, range: std::ops::Range<usize>) -> candle_core::Result<(Self, Vec<Var>)> {
        let mut vars = Vec::new();
        let mut network = self.clone();
        for at in range {
            let tensor = network.tensors[at].copy()?;
            network.tensors[at] = if self.plan.parameters[at].trainable {
                let var = Var::from_tensor(&tensor)?;
                let tensor = var.as_tensor().clone();
                vars.push(var);
                tensor
            } else {
                tensor
            };
        }
        Ok((network, vars))
    }

    /// The same network without anything to train; tensors are shared.
    #[must_use]
    pub fn detached(&self) -> Self {
        let mut network = self.clone();
        for tensor in &mut network.tensors {
            *tensor = tensor.detach();
        }
        network
    }

    /// State dict in PyTorch's order; tensors are detached and shared.
    pub fn state(&self) -> State {
        let named = self.plan.parameters.iter().zip(&self.tensors);
        named
            .map(|(parameter, tensor)| (parameter.name.clone(), tensor.detach()))
            .collect()
    }

    /// Logits `[N, classes]` of images `[N, C, H, W]`, in evaluation.
    pub fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        self.forward_with(images, &mut Plain)
    }

    /// The same, watched.
    pub fn forward_with(&self, images: &Tensor, visitor: &mut dyn Visitor) -> candle_core::Result<Tensor> {
        self.forward_from(0, images, visitor)
    }

    /// Logits, given the input of level `first`, watched.
    pub fn forward_from(
        &self,
        first: usize,
        input: &Tensor,
        visitor: &mut dyn Visitor,
    ) -> candle_core::Result<Tensor> {
        let mut x = input.clone();
        for (l, level) in self.plan.levels.iter().enumerate().skip(first) {
            let output = self.run(&level.modules, &x, visitor)?;
            x = visitor.level(l, output)?;
        }
        Ok(x)
    }

    /// Applies modules of this network, watched.
    pub fn run(
        &self,
        modules: &[Module],
        x: &Tensor,
        visitor: &mut dyn Visitor,
    ) -> candle_core::Result<Tensor> {
        let mut pass = Pass {
            network: self,
            visitor,
            training: None,
        };
        pass.run(modules, x)
    }

    /// Logits in training: dropout, and the batch's own statistics in `BatchNorm`.
    pub fn forward_training(&self, images: &Tensor, training: &mut Training) -> candle_core::Result<Tensor> {
        let mut x = images.clone();
        for level in &self.plan.levels {
            let mut pass = Pass {
                network: self,
                visitor: &mut Plain,
                training: Some(&mut *training),
            };
            x = pass.run(&level.modules, &x)?;
        }
        Ok(x)
    }

    /// Output of level `l`, given its input.
    pub fn level_output(&self, l: usize, x: &Tensor) -> candle_core::Result<Tensor> {
        self.run(&self.plan.levels[l].modules, x, &mut Plain)
    }

    /// The output of every level, `[N, width, ...]` each; the last one are the logits.
    pub fn level_outputs(&self, images: &Tensor) -> candle_core::Result<Vec<Tensor>> {
        let mut all = Vec::with_capacity(self.plan.levels.len());
        for l in 0..self.plan.levels.len() {
            all.push(self.level_output(l, all.last().unwrap_or(images))?);
        }
        Ok(all)
    }

    /// The pre-activation of every layer, `[N, width, ...]` each; the last one are the logits.
    pub fn preactivations(&self, images: &Tensor) -> candle_core::Result<Vec<Tensor>> {
        let mut found = Collect(Vec::with_capacity(self.plan.layers.len()));
        self.forward_with(images, &mut found)?;
        Ok(found.0)
    }
}

/// Keeps the pre-activations: layers are applied in their order.
struct Collect(Vec<Tensor>);

impl Visitor for Collect {
    fn layer(&mut self, layer: usize, input: &Tensor, network: &Network) -> candle_core::Result<Tensor> {
        let output = network.layer_output(layer, input)?;
        self.0.push(output.clone());
        Ok(output)
    }
}
