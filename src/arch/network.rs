//! A chain of linear maps and what lies between them.

use candle_core::{DType, Device, Tensor, Var};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Architecture, LayerPlan};

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
    /// NaN or an infinity among the weights. Checked here because it does not have to show: candle's ReLU, unlike
    /// PyTorch's, turns NaN into 0, so that such a network still predicts something.
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
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(ArchError::NotFinite {
            tensor: name.to_string(),
            index,
            value: values[index],
        }),
    }
}

/// A parameter-free step between linear maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `[N, ...]` to `[N, product]`.
    Flatten,
    /// `max(x, 0)`.
    Relu,
}

impl Op {
    fn apply(self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Flatten => x.flatten_from(1),
            Self::Relu => x.relu(),
        }
    }
}

/// One linear map `x W^T + b` and the steps around it.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Shapes, names and steps.
    pub plan: LayerPlan,
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
}

impl Layer {
    /// Fresh weights: PyTorch's default for linear layers, U(-1/sqrt(in), 1/sqrt(in)) for weight and bias.
    pub fn initialise(plan: LayerPlan, rng: &mut ChaCha8Rng, device: &Device) -> candle_core::Result<Self> {
        let [out, width] = plan.weight;
        let bound = 1.0 / (width as f32).sqrt();
        let mut uniform =
            |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-bound..bound)).collect() };
        let weight = Tensor::from_vec(uniform(out * width), (out, width), device)?;
        let bias = match plan.bias {
            true => Some(Tensor::from_vec(uniform(out), out, device)?),
            false => None,
        };
        Ok(Self { plan, weight, bias })
    }

    /// What the linear map sees, `[N, in]`, given the previous layer's output.
    pub fn input(&self, previous: &Tensor) -> candle_core::Result<Tensor> {
        self.plan
            .before
            .iter()
            .try_fold(previous.clone(), |x, op| op.apply(&x))
    }

    /// The pre-activation `[N, out]`, given what [`Layer::input`] returns.
    pub fn linear(&self, input: &Tensor) -> candle_core::Result<Tensor> {
        let product = input.matmul(&self.weight.t()?)?;
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }

    /// The layer's output `[N, out]`, given its pre-activation.
    pub fn output(&self, preactivation: &Tensor) -> candle_core::Result<Tensor> {
        self.plan
            .after
            .iter()
            .try_fold(preactivation.clone(), |x, op| op.apply(&x))
    }
}

/// A network with weights.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its architecture and settings.
    pub architecture: Architecture,
    /// Linear maps in the order of application.
    pub layers: Vec<Layer>,
}

impl Network {
    /// Builds from a state dict; extra, missing or misshapen tensors are errors. Tensors become f32 on `device`.
    pub fn from_state(
        architecture: &Architecture,
        image: &[usize],
        classes: usize,
        state: &State,
        device: &Device,
    ) -> Result<Self, ArchError> {
        let plan = architecture.plan(image, classes);
        let mismatch = |problem: String| ArchError::Mismatch {
            architecture: architecture.name().to_string(),
            problem,
        };
        let mut used = 0;
        let mut take = |name: String, shape: &[usize]| {
            let tensor = state.iter().find(|(n, _)| *n == name).map(|(_, tensor)| tensor);
            let tensor = tensor.ok_or_else(|| mismatch(format!("`{name}` {shape:?} is missing")))?;
            if tensor.dims() != shape {
                return Err(mismatch(format!(
                    "`{name}` has shape {:?} instead of {shape:?}",
                    tensor.dims()
                )));
            }
            used += 1;
            let tensor = tensor.to_device(device)?.to_dtype(DType::F32)?;
            require_finite(&name, &tensor)?;
            Ok(tensor)
        };
        let mut layers = Vec::with_capacity(plan.len());
        for plan in plan {
            let weight = take(format!("{}.weight", plan.prefix), &plan.weight)?;
            let bias = match plan.bias {
                true => Some(take(format!("{}.bias", plan.prefix), &plan.weight[..1])?),
                false => None,
            };
            layers.push(Layer { plan, weight, bias });
        }
        if used < state.len() {
            let known = |name: &str| {
                layers
                    .iter()
                    .any(|layer| name.strip_prefix(&layer.plan.prefix).is_some())
            };
            let extra = state.iter().find(|(name, _)| !known(name)).or(state.last());
            let extra = extra.map_or("", |(name, _)| name.as_str());
            return Err(mismatch(format!("`{extra}` has no place in it")));
        }
        Ok(Self {
            architecture: architecture.clone(),
            layers,
        })
    }

    /// Fresh weights for every layer, see [`Layer::initialise`].
    pub fn initialise(
        architecture: &Architecture,
        image: &[usize],
        classes: usize,
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Result<Self, ArchError> {
        let plan = architecture.plan(image, classes).into_iter();
        let layers = plan
            .map(|plan| Layer::initialise(plan, rng, device))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self {
            architecture: architecture.clone(),
            layers,
        })
    }

    /// Refuses weights that are not finite.
    pub fn require_finite(&self) -> Result<(), ArchError> {
        self.state()
            .iter()
            .try_for_each(|(name, tensor)| require_finite(name, tensor))
    }

    /// The same network with parameters of another type. Its inputs have to be of that type too.
    pub fn to_dtype(&self, dtype: DType) -> candle_core::Result<Self> {
        let mut network = self.clone();
        for layer in &mut network.layers {
            for tensor in std::iter::once(&mut layer.weight).chain(&mut layer.bias) {
                *tensor = tensor.to_dtype(dtype)?;
            }
        }
        Ok(network)
    }

    /// The same network on trainable copies of its parameters, and these parameters in state-dict order.
    pub fn trainable(&self) -> candle_core::Result<(Self, Vec<Var>)> {
        let mut vars = Vec::new();
        let mut network = self.clone();
        for layer in &mut network.layers {
            for tensor in std::iter::once(&mut layer.weight).chain(&mut layer.bias) {
                let var = Var::from_tensor(&tensor.copy()?)?;
                *tensor = var.as_tensor().clone();
                vars.push(var);
            }
        }
        Ok((network, vars))
    }

    /// State dict in PyTorch's order; tensors are detached copies' views on the CPU or device as they are.
    pub fn state(&self) -> State {
        self.layers
            .iter()
            .flat_map(|layer| {
                let name = |kind: &str| format!("{}.{kind}", layer.plan.prefix);
                let weight = (name("weight"), layer.weight.detach());
                let bias = layer.bias.as_ref().map(|bias| (name("bias"), bias.detach()));
                std::iter::once(weight).chain(bias)
            })
            .collect()
    }

    /// Logits `[N, classes]` of images `[N, C, H, W]`.
    pub fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = images.clone();
        for layer in &self.layers {
            x = layer.output(&layer.linear(&layer.input(&x)?)?)?;
        }
        Ok(x)
    }

    /// The output of every level, `[N, width]` each; the last one are the logits.
    pub fn level_outputs(&self, images: &Tensor) -> candle_core::Result<Vec<Tensor>> {
        let mut x = images.clone();
        let mut all = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            x = layer.output(&layer.linear(&layer.input(&x)?)?)?;
            all.push(x.clone());
        }
        Ok(all)
    }

    /// The pre-activation of every layer, `[N, width]` each; the last one are the logits.
    pub fn preactivations(&self, images: &Tensor) -> candle_core::Result<Vec<Tensor>> {
        let mut x = images.clone();
        let mut all = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let preactivation = layer.linear(&layer.input(&x)?)?;
            x = layer.output(&preactivation)?;
            all.push(preactivation);
        }
        Ok(all)
    }
}
