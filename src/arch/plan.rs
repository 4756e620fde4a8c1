//! What a network looks like before it has weights: parameters in state-dict order, layers, levels.

use std::collections::BTreeMap;
use std::ops::Range;

use super::module::{Module, NORM_EPS};

/// How PyTorch initialises a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Uniform in `[-bound, bound]`.
    Uniform(f32),
    /// Normal with this standard deviation.
    Normal(f32),
    /// Normal with this standard deviation, cut at two of them from 0.
    Truncated(f32),
    /// Always this value.
    Constant(f32),
    /// A counter of batches: an i64 scalar, 0.
    Count,
}

/// One tensor of the state dict.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name in the state dict.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// Whether training changes it by gradients; running statistics are not trained.
    pub trainable: bool,
}

/// What kind of linear map a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    /// Weight `[out, in]`.
    Linear,
    /// Weight `[out, in, kh, kw]`.
    Conv {
        /// Step between positions.
        stride: usize,
        /// Zeros around the input.
        padding: usize,
    },
}

/// A layer: one linear map, together with the `BatchNorm` right after it, if there is one. Its output is the
/// pre-activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Its name in reports, as the reference calls it.
    pub name: String,
    /// What kind.
    pub kind: LayerKind,
    /// Shape of the weight.
    pub shape: Vec<usize>,
    /// Index of the weight among the parameters.
    pub weight: usize,
    /// Index of the bias.
    pub bias: Option<usize>,
    /// Index of the first of the five tensors of its `BatchNorm`: scale, shift, mean, variance, count.
    pub norm: Option<usize>,
    /// Whose neuron order its inputs have: the layer whose `order` is its own index. `None` for the image's channels.
    pub source: Option<usize>,
    /// Inputs per neuron of the source: more than 1 after positions were flattened.
    pub positions: usize,
    /// The first layer that writes into the same sum. All of them share its order of neurons.
    pub order: usize,
    /// Whether it is (part of) the shortcut of a residual block.
    pub shortcut: bool,
}

impl Layer {
    /// Neurons.
    pub fn width(&self) -> usize {
        self.shape[0]
    }

    /// Inputs of one neuron.
    pub fn fan_in(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Kernel positions per input channel: 1 for a linear map.
    pub fn kernel(&self) -> usize {
        self.shape[2..].iter().product()
    }
}

/// A level: consecutive modules with one output.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Its name in reports.
    pub name: String,
    /// Its modules, in the order of application.
    pub modules: Vec<Module>,
    /// Its parameters.
    pub parameters: Range<usize>,
    /// Neurons of its output: the dimension after the batch.
    pub width: usize,
    /// How many leading characters of its parameters' names stand for the level itself.
    pub prefix: String,
}

/// A network's skeleton.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// All tensors, in state-dict order.
    pub parameters: Vec<Parameter>,
    /// All layers, in the order of application.
    pub layers: Vec<Layer>,
    /// Whether the layers are all there is to the network (but for steps without parameters), so that layer-wise
    /// methods can follow the order of neurons from one to the next. Not so for transformers.
    pub chain: bool,
    /// All levels.
    pub levels: Vec<Level>,
    /// What normalisations add to the variance, by the index of their scale.
    pub norms: BTreeMap<usize, f64>,
}

impl Plan {
    /// What the normalisation with this scale adds to the variance.
    pub fn norm_eps(&self, scale: usize) -> f64 {
        self.norms.get(&scale).copied().unwrap_or(NORM_EPS)
    }

    /// Number of trained and running values.
    pub fn size(&self) -> f64 {
        let count = |p: &Parameter| p.shape.iter().map(|&n| n as f64).product::<f64>();
        self.parameters.iter().map(count).sum()
    }
}

impl Plan {
    /// The level of layer `l`, and its position among the level's modules where it stands there itself and not
    /// within a residual block.
    pub fn find_layer(&self, l: usize) -> Option<(usize, Option<usize>)> {
        let holds = |module: &Module| module.layers().contains(&l);
        let level = self
            .levels
            .iter()
            .position(|level| level.modules.iter().any(holds))?;
        let modules = &self.levels[level].modules;
        Some((
            level,
            modules.iter().position(|module| *module == Module::Layer(l)),
        ))
    }
}
