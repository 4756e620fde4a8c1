//! A plan and its tensors.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::builder::PlanError;
use super::by_order::split;
use super::module::{Pass, Plain, Training, Visitor};
use super::plan::{Init, Plan};
use super::{Architecture, Layer, Level, Module};

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
    /// The tensors fit by their order alone.
    #[error("the tensors have other names than the layers of `[model]`, and {reason}: by order alone {}", mapping(.pairs))]
    Order {
        /// Why order does not decide.
        reason: String,
        /// Each tensor of the file, and which one it would be.
        pairs: Vec<(String, String)>,
    },
    /// A normalisation adds something else to the variance.
    #[error("`{norm}` normalises with `eps = {theirs:?}` in the file, and with {ours:?} in `{architecture}`")]
    Eps {
        /// The module, as the file names it.
        norm: String,
        /// What the file says.
        theirs: f64,
        /// What the network has.
        ours: f64,
        /// The architecture asked for.
        architecture: String,
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

/// The first few pairs in words.
fn mapping(pairs: &[(String, String)]) -> String {
    let other = pairs.iter().filter(|(theirs, own)| theirs != own);
    let shown = other
        .clone()
        .take(SHOWN)
        .map(|(theirs, own)| format!("`{theirs}` would be `{own}`"));
    let more = (other.count() > SHOWN).then(|| "...".to_string());
    shown.chain(more).collect::<Vec<_>>().join(", ")
}

/// How many names a message lists.
const SHOWN: usize = 6;

impl ArchError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Order { pairs, .. } => {
                let mut named: Vec<String> = Vec::new();
                for (theirs, own) in pairs {
                    let text = format!("`name = {:?}` for layer `{}`", split(theirs).0, split(own).0);
                    if split(theirs).0 != split(own).0 && !named.contains(&text) {
                        named.push(text);
                    }
                }
                let more = named.len() > SHOWN;
                named.truncate(SHOWN);
                named.extend(more.then(|| "and so on".to_string()));
                Some(format!(
                    "if that is right, name the layers of `[model]` as the file does: {}",
                    named.join(", ")
                ))
            }
            Self::Eps { theirs, architecture, .. } if architecture == "sequential" => {
                Some(format!("write `eps = {theirs:?}` for that layer in `[[model.layers]]`"))
            }
            Self::Eps { .. } => Some(
                "write the network as a list of layers, `architecture = \"sequential\"`, whose norms have a key `eps`".into(),
            ),
            Self::Mismatch { .. } | Self::Plan { .. } | Self::NotFinite { .. } | Self::Candle(_) => None,
        }
    }
}

/// Refuses a tensor with NaN or an infinity.
pub(super) fn require_finite(name: &str, tensor: &Tensor) -> Result<(), ArchError> {
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
