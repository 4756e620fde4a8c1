//! Collects parameters, layers and levels while an architecture is written down, and follows shapes and the order of
//! neurons on the way.

use std::collections::BTreeMap;

use super::module::Module;
use super::plan::{Init, Layer, LayerKind, Level, Parameter, Plan};

/// An architecture that does not fit the images.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlanError {
    /// What does not fit.
    pub message: String,
    /// The key path, within the architecture's settings, of what is at fault; empty for the architecture as a whole.
    pub at: Vec<String>,
}

impl PlanError {
    /// About the architecture as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            at: Vec::new(),
        }
    }
}

/// Where the channels of the current activations come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Image,
    Layer(usize),
    /// Mixed beyond what layer-wise methods follow.
    Mixed,
}

/// See the module.
pub(super) struct Builder {
    plan: Plan,
    shape: Vec<usize>,
    source: Source,
    positions: usize,
    shortcut: bool,
}

impl Builder {
    /// Starts with images of shape `[C, H, W]`.
    pub fn new(image: &[usize]) -> Self {
        Self {
            plan: Plan {
                parameters: Vec::new(),
                layers: Vec::new(),
                chain: false,
                levels: Vec::new(),
                norms: BTreeMap::new(),
            },
            shape: image.to_vec(),
            source: Source::Image,
            positions: 1,
            shortcut: false,
        }
    }

    /// Shape of the current activations of one sample.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Adds a parameter and returns its index.
    pub fn parameter(&mut self, name: String, shape: Vec<usize>, init: Init) -> usize {
        self.plan.parameters.push(Parameter {
            name,
            shape,
            init,
            trainable: true,
        });
        self.plan.parameters.len() - 1
    }

    fn buffer(&mut self, name: String, shape: Vec<usize>, init: Init) {
        let at = self.parameter(name, shape, init);
        self.plan.parameters[at].trainable = false;
    }

    /// Weight and bias of a linear map `[out, fan]`, as PyTorch initialises them; the weight's index.
    pub fn weight(&mut self, prefix: &str, shape: Vec<usize>, bias: bool) -> (usize, Option<usize>) {
        let fan: usize = shape[1..].iter().product();
        let bound = Init::Uniform(1.0 / (fan as f32).sqrt());
        let out = shape[0];
        let weight = self.parameter(format!("{prefix}.weight"), shape, bound);
        let bias = bias.then(|| self.parameter(format!("{prefix}.bias"), vec![out], bound));
        (weight, bias)
    }

    /// Names of the parameters that belong to no level yet.
    pub fn open_parameters(&self) -> Vec<&str> {
        let first = self.plan.levels.last().map_or(0, |level| level.parameters.end);
        let open = self.plan.parameters.iter().skip(first);
        open.map(|parameter| parameter.name.as_str()).collect()
    }

    /// Ends a level whose modules these are, and whose parameters' names all start with `prefix`.
    pub fn level(&mut self, name: String, prefix: &str, modules: Vec<Module>) {
        let first = self.plan.levels.last().map_or(0, |level| level.parameters.end);
        self.plan.levels.push(Level {
            name,
            modules,
            parameters: first..self.plan.parameters.len(),
            width: self.shape[0],
            prefix: prefix.to_string(),
        });
    }

    /// Flattens channels and positions.
    pub fn flatten(&mut self) -> Module {
        self.positions *= self.shape[1..].iter().product::<usize>();
        self.shape = vec![self.shape.iter().product()];
        Module::Flatten
    }

    /// Max pooling.
    pub fn max_pool(&mut self, kernel: usize, stride: usize, padding: usize) -> Result<Module, PlanError> {
        self.pool(kernel, stride, padding)?;
        Ok(Module::MaxPool {
            kernel,
            stride,
            padding,
        })
    }

    /// Mean pooling.
    pub fn avg_pool(&mut self, kernel: usize, stride: usize) -> Result<Module, PlanError> {
        self.pool(kernel, stride, 0)?;
        Ok(Module::AvgPool { kernel, stride })
    }

    fn pool(&mut self, kernel: usize, stride: usize, padding: usize) -> Result<(), PlanError> {
        let [_, h, w] = self.image("pooling")?;
        self.shape[1] =
            windows(h, kernel, stride, padding).ok_or_else(|| self.too_small("pooling", kernel))?;
        self.shape[2] =
            windows(w, kernel, stride, padding).ok_or_else(|| self.too_small("pooling", kernel))?;
        Ok(())
    }

    fn too_small(&self, what: &str, kernel: usize) -> PlanError {
        PlanError::new(format!(
            "images are too small: a {what} window of side {kernel} meets activations of shape {:?}",
            self.shape
        ))
    }

    fn image(&self, what: &str) -> Result<[usize; 3], PlanError> {
        <[usize; 3]>::try_from(self.shape.as_slice()).map_err(|_| {
            PlanError::new(format!(
                "{what} needs activations [C, H, W], not {:?}",
                self.shape
            ))
        })
    }

    /// A linear layer on `[d]`.
    pub fn linear(&mut self, name: &str, prefix: &str, out: usize, bias: bool) -> Result<Module, PlanError> {
        let [width] = self.shape[..] else {
            return Err(PlanError::new(format!(
                "the linear layer `{name}` needs flattened activations, not {:?}",
                self.shape
            )));
        };
        let module = self.layer(name, prefix, vec![out, width], bias, LayerKind::Linear);
        self.shape = vec![out];
        Ok(module)
    }

    /// A convolution with a square kernel.
    pub fn conv(
        &mut self,
        name: &str,
        prefix: &str,
        (out, kernel, stride, padding): (usize, usize, usize, usize),
        bias: bool,
    ) -> Result<Module, PlanError> {
        let [c, h, w] = self.image("a convolution")?;
        let side =
            |n| windows(n, kernel, stride, padding).ok_or_else(|| self.too_small("convolution", kernel));
        let (h, w) = (side(h)?, side(w)?);
        let kind = LayerKind::Conv { stride, padding };
        let module = self.layer(name, prefix, vec![out, c, kernel, kernel], bias, kind);
        self.shape = vec![out, h, w];
        Ok(module)
    }

    fn layer(&mut self, name: &str, prefix: &str, shape: Vec<usize>, bias: bool, kind: LayerKind) -> Module {
        let (weight, bias) = self.weight(prefix, shape.clone(), bias);
        let l = self.plan.layers.len();
        self.plan.layers.push(Layer {
            name: name.to_string(),
            kind,
            shape,
            weight,
            bias,
            norm: None,
            source: match self.source {
                Source::Layer(source) => Some(source),
                _ => None,
            },
            positions: self.positions,
            order: l,
            shortcut: self.shortcut,
        });
        if self.source != Source::Mixed {
            self.source = Source::Layer(l);
        }
        self.positions = 1;
        Module::Layer(l)
    }

    /// Scale and shift of a normalisation; the index of the scale.
    pub fn norm(&mut self, prefix: &str, width: usize, eps: f64) -> usize {
        let scale = self.parameter(format!("{prefix}.weight"), vec![width], Init::Constant(1.0));
        self.parameter(format!("{prefix}.bias"), vec![width], Init::Constant(0.0));
        self.plan.norms.insert(scale, eps);
        scale
    }

    /// Adds a `BatchNorm` to the last layer, which has to be what was added last.
    pub fn batch_norm(&mut self, prefix: &str, eps: f64) {
        let width = self.shape[0];
        let norm = self.norm(prefix, width, eps);
        self.buffer(format!("{prefix}.running_mean"), vec![width], Init::Constant(0.0));
        self.buffer(format!("{prefix}.running_var"), vec![width], Init::Constant(1.0));
        self.buffer(format!("{prefix}.num_batches_tracked"), vec![], Init::Count);
        if let Some(layer) = self.plan.layers.last_mut() {
            layer.norm = Some(norm);
        }
    }

    /// A residual block; both ways have to end in the same shape.
    pub fn residual(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<Vec<Module>, PlanError>,
        shortcut: impl FnOnce(&mut Self) -> Result<Vec<Module>, PlanError>,
    ) -> Result<Module, PlanError> {
        let (shape, source, positions) = (self.shape.clone(), self.source, self.positions);
        let body = body(self)?;
        let (main_shape, main, main_positions) = (self.shape.clone(), self.source, self.positions);
        (self.shape, self.source, self.positions) = (shape, source, positions);
        let outer = std::mem::replace(&mut self.shortcut, true);
        let shortcut = shortcut(self)?;
        self.shortcut = outer;
        if self.shape != main_shape {
            return Err(PlanError::new(format!(
                "the two ways of a residual block end in shapes {main_shape:?} and {:?}",
                self.shape
            )));
        }
        // Where only one way was flattened, a neuron of the one meets a position of a channel of the other.
        self.source = if main_positions == self.positions {
            self.join(main, self.source)
        } else {
            Source::Mixed
        };
        Ok(Module::Residual { body, shortcut })
    }

    /// Lets two streams of neurons that are added have one order: that of the earlier layer.
    fn join(&mut self, a: Source, b: Source) -> Source {
        let (Source::Layer(a), Source::Layer(b)) = (a, b) else {
            return Source::Mixed;
        };
        let (a, b) = (self.plan.layers[a].order, self.plan.layers[b].order);
        let (first, second) = (a.min(b), a.max(b));
        for layer in &mut self.plan.layers {
            if layer.order == second {
                layer.order = first;
            }
            if layer.source == Some(second) {
                layer.source = Some(first);
            }
        }
        Source::Layer(first)
    }

    /// Declares that the activations now have this shape and that layer-wise methods cannot follow them.
    pub fn mixed(&mut self, shape: Vec<usize>) {
        self.shape = shape;
        self.source = Source::Mixed;
        self.positions = 1;
    }

    /// The finished plan.
    pub fn finish(mut self) -> Plan {
        // The last layer's neurons are the classes, in their order: no other layer may write into the same sum.
        let last = self.plan.layers.len().checked_sub(1);
        self.plan.chain = last.is_some_and(|last| self.source == Source::Layer(last));
        self.plan
    }
}

/// Number of windows along a side.
fn windows(side: usize, kernel: usize, stride: usize, padding: usize) -> Option<usize> {
    let padded = side + 2 * padding;
    (padded >= kernel && stride > 0 && kernel > 0).then(|| (padded - kernel) / stride + 1)
}
