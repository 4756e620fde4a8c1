//! Where in a network neurons are scored: outputs there, and the gradient of the target logits with respect to them.
//!
//! One pass forward and one back serve all places at once: a zero is added to each place's output, and the gradient
//! with respect to that zero is the one with respect to the output.

use candle_core::{DType, Error, Result, Tensor, Var};

use crate::arch::{Network, Visitor};
use crate::gpu;
use crate::nn;
use crate::tick::Tick;

/// Whose output is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A linear map's: the pre-activation.
    Layer,
    /// A level's, which may include the nonlinearity after the linear map.
    Level,
}

impl Place {
    /// Neurons at every place of this kind.
    pub fn widths(self, network: &Network) -> Vec<usize> {
        match self {
            Self::Layer => network.layers().iter().map(crate::arch::Layer::width).collect(),
            Self::Level => network.levels().iter().map(|level| level.width).collect(),
        }
    }
}

/// What stands in for every ReLU, given its number in the pass and its input.
pub(super) type Relu<'a> = dyn FnMut(usize, &Tensor) -> Result<Tensor> + 'a;

/// A pass that notes the outputs at all places and, if asked for, lets gradients be taken there.
struct Probe<'a> {
    place: Place,
    outputs: Vec<Tensor>,
    /// The added zeros; `None` where no gradient is asked for.
    zeros: Option<Vec<Var>>,
    relu: &'a mut Relu<'a>,
    relus: usize,
    on_tick: &'a mut Tick<'a>,
}

impl Probe<'_> {
    fn note(&mut self, output: Tensor) -> Result<Tensor> {
        self.outputs.push(output.detach());
        let Some(zeros) = &mut self.zeros else {
            return Ok(output);
        };
        let zero = Var::from_tensor(&output.zeros_like()?.detach())?;
        let sum = output + zero.as_tensor();
        zeros.push(zero);
        sum
    }
}

/// Candle's error where the answer is to stop.
pub(super) fn go_on(on_tick: &mut Tick) -> Result<()> {
    crate::tick::go_on(on_tick).map_err(Error::wrap)
}

impl Visitor for Probe<'_> {
    fn layer(&mut self, layer: usize, input: &Tensor, network: &Network) -> Result<Tensor> {
        go_on(self.on_tick)?;
        let output = network.layer_output(layer, input)?;
        match self.place {
            Place::Layer => self.note(output),
            Place::Level => Ok(output),
        }
    }

    fn level(&mut self, _level: usize, output: Tensor) -> Result<Tensor> {
        match self.place {
            Place::Layer => Ok(output),
            Place::Level => self.note(output),
        }
    }

    fn relu(&mut self, x: &Tensor) -> Result<Tensor> {
        self.relus += 1;
        (self.relu)(self.relus - 1, x)
    }
}

/// Outputs at every place, `[N, width, ...]` each.
pub(super) fn outputs(
    network: &Network,
    images: &Tensor,
    place: Place,
    relu: &mut Relu,
    on_tick: &mut Tick,
) -> Result<Vec<Tensor>> {
    let mut probe = Probe {
        place,
        outputs: Vec::new(),
        zeros: None,
        relu: &mut |i, x| relu(i, x),
        relus: 0,
        on_tick: &mut || on_tick(),
    };
    network.forward_with(images, &mut probe)?;
    Ok(probe.outputs)
}

/// Outputs at every place, and the gradient of the sum of target logits with respect to each.
pub(super) fn slopes(
    network: &Network,
    images: &Tensor,
    labels: &Tensor,
    place: Place,
    relu: &mut Relu,
    on_tick: &mut Tick,
) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
    let mut probe = Probe {
        place,
        outputs: Vec::new(),
        zeros: Some(Vec::new()),
        relu: &mut |i, x| relu(i, x),
        relus: 0,
        on_tick: &mut || on_tick(),
    };
    let logits = network.forward_with(images, &mut probe)?;
    let gradients = target(&logits, labels)?.sum_all()?.backward()?;
    let of = |zero: &Var| match gradients.get(zero.as_tensor()) {
        Some(gradient) => Ok(gradient.detach()),
        None => zero.as_tensor().zeros_like(),
    };
    let slopes = probe.zeros.iter().flatten().map(of).collect::<Result<_>>()?;
    Ok((probe.outputs, slopes))
}

/// The plain ReLU.
pub(super) fn plain(_: usize, x: &Tensor) -> Result<Tensor> {
    nn::relu(x)
}

/// The logit of each sample's class, `[N]`.
pub(super) fn target(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)
}

/// Sum over samples and positions of absolute values, per neuron.
pub(super) fn absolute_sums(attribution: &Tensor) -> Result<Vec<f64>> {
    if gpu::active(attribution) {
        return gpu::absolute_sums(attribution)?.to_vec1();
    }
    let (n, width) = (attribution.dim(0)?, attribution.dim(1)?);
    let by_position = attribution.abs()?.reshape((n, width, ()))?;
    by_position.to_dtype(DType::F64)?.sum(2)?.sum(0)?.to_vec1()
}
