//! The steps that networks are made of, and how each is applied.

use candle_core::{D, DType, Result, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Network;
use super::plan::{Layer, LayerKind};
use crate::gpu::{self, Precision};
use crate::nn;

/// What normalisations add to the variance where nobody says otherwise, as PyTorch's default.
pub const NORM_EPS: f64 = 1e-5;

/// Share of the new batch in the running statistics, as PyTorch's default.
const NORM_MOMENTUM: f64 = 0.1;

/// One step. Numbers that name parameters are indices into the plan's list of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Module {
    /// `[N, ...]` to `[N, product]`.
    Flatten,
    /// `max(x, 0)`.
    Relu,
    /// `x Phi(x)`, the exact form.
    Gelu,
    /// Zeroes a share of the elements in training and scales the rest up; nothing in evaluation.
    Dropout(f64),
    /// Maximum over windows.
    MaxPool {
        /// Side of the window.
        kernel: usize,
        /// Step.
        stride: usize,
        /// Border, never the maximum.
        padding: usize,
    },
    /// Mean over windows.
    AvgPool {
        /// Side of the window.
        kernel: usize,
        /// Step.
        stride: usize,
    },
    /// A layer of the plan, by index.
    Layer(usize),
    /// `body(x) + shortcut(x)`; an empty shortcut is x.
    Residual {
        /// The main way.
        body: Vec<Module>,
        /// The other.
        shortcut: Vec<Module>,
    },
    /// A linear map over the last dimension that is no layer of its own, within a transformer.
    Linear {
        /// `[out, in]`.
        weight: usize,
        /// `[out]`.
        bias: usize,
    },
    /// Normalisation over the last dimension, with scale and shift.
    LayerNorm {
        /// Scale; the shift follows it.
        scale: usize,
    },
    /// Multi-head self-attention on `[N, T, d]`.
    Attention(Attention),
    /// `[N, C, H, W]` to tokens `[N, T + 1, d]`: patches, embedded, behind a class token, plus positions.
    Embedding(Embedding),
    /// `[N, a, b]` to `[N, b, a]`: levels of transformers put neurons first.
    Transpose,
    /// `[N, T, d]` to the first token `[N, d]`.
    FirstToken,
}

impl Module {
    /// The layers it applies, in their order.
    pub fn layers(&self) -> Vec<usize> {
        match self {
            Self::Layer(l) => vec![*l],
            Self::Residual { body, shortcut } => body.iter().chain(shortcut).flat_map(Self::layers).collect(),
            _ => Vec::new(),
        }
    }
}

/// Parameters of an attention.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Heads.
    pub heads: usize,
    /// What products of queries and keys are multiplied by.
    pub scale: f64,
    /// Weight and bias of queries, keys, values; the same index three times where one matrix holds all of them.
    pub qkv: Projections,
    /// Weight of the output map; its bias follows.
    pub out: usize,
}

/// Where the projections of an attention are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projections {
    /// Weight and bias of q, then of k, then of v: six tensors from here.
    Separate(usize),
    /// One weight `[3 d, d]` and one bias.
    Joint(usize),
}

/// Parameters of a patch embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// `[1, 1, d]`.
    pub class_token: usize,
    /// `[1, T + 1, d]`.
    pub positions: usize,
    /// Weight; the bias follows.
    pub weight: usize,
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Whether a patch is laid out `[h, w, C]` (then the weight is `[d, h w C]`) or `[C, h, w]`.
    pub channels_last: bool,
}

/// Watches a forward pass, and may change what flows.
pub trait Visitor {
    /// A layer's pre-activation, given its input.
    fn layer(&mut self, layer: usize, input: &Tensor, network: &Network) -> Result<Tensor> {
        network.layer_output(layer, input)
    }

    /// A level's output.
    fn level(&mut self, _level: usize, output: Tensor) -> Result<Tensor> {
        Ok(output)
    }

    /// A ReLU.
    fn relu(&mut self, x: &Tensor) -> Result<Tensor> {
        nn::relu(x)
    }
}

/// Lets everything pass.
#[derive(Debug)]
pub struct Plain;

impl Visitor for Plain {}

/// What training needs besides the weights, and what it finds.
#[derive(Debug)]
pub struct Training<'a> {
    /// For dropout.
    pub rng: &'a mut ChaCha8Rng,
    /// New running statistics, by parameter index.
    pub statistics: Vec<(usize, Tensor)>,
    /// In what products of linear maps and convolutions are computed on a GPU.
    pub precision: Precision,
}

/// A pass through modules.
pub(super) struct Pass<'a, 'b> {
    pub network: &'a Network,
    pub visitor: &'a mut dyn Visitor,
    pub training: Option<&'a mut Training<'b>>,
}

impl Pass<'_, '_> {
    pub fn run(&mut self, modules: &[Module], x: &Tensor) -> Result<Tensor> {
        modules
            .iter()
            .try_fold(x.clone(), |x, module| self.apply(module, &x))
    }

    fn precision(&self) -> Precision {
        self.training
            .as_ref()
            .map_or(Precision::F32, |training| training.precision)
    }

    fn apply(&mut self, module: &Module, x: &Tensor) -> Result<Tensor> {
        let precision = self.precision();
        let tensor = |at: usize| &self.network.tensors[at];
        match module {
            Module::Flatten => x.flatten_from(1),
            Module::Relu => self.visitor.relu(x),
            Module::Gelu => nn::gelu(x),
            Module::Dropout(share) => match &mut self.training {
                Some(training) if *share > 0.0 => dropout(x, *share, training.rng),
                _ => Ok(x.clone()),
            },
            Module::MaxPool {
                kernel,
                stride,
                padding,
            } => nn::max_pool2d(x, *kernel, *stride, *padding),
            Module::AvgPool { kernel, stride } => nn::avg_pool2d(x, *kernel, *stride),
            Module::Layer(l) => self.layer(*l, x),
            Module::Residual { body, shortcut } => self.run(body, x)? + self.run(shortcut, x)?,
            Module::Linear { weight, bias } => {
                nn::linear_in(precision, x, tensor(*weight), Some(tensor(*bias)))
            }
            Module::LayerNorm { scale } => {
                let eps = self.network.plan.norm_eps(*scale);
                nn::layer_norm(x, tensor(*scale), tensor(*scale + 1), eps)
            }
            Module::Attention(attention) => attention.apply(self.network, x, precision),
            Module::Embedding(embedding) => embedding.apply(self.network, x, precision),
            Module::Transpose if gpu::active(x) => gpu::transpose(x),
            Module::Transpose => x.transpose(1, 2)?.contiguous(),
            Module::FirstToken => x.narrow(1, 0, 1)?.squeeze(1),
        }
    }

    fn layer(&mut self, l: usize, x: &Tensor) -> Result<Tensor> {
        let layer = &self.network.plan.layers[l];
        let precision = self.precision();
        match (&mut self.training, layer.norm) {
            (Some(training), Some(norm)) => {
                let map = self.network.linear_map(layer, x, precision)?;
                let tensor = |at: usize| &self.network.tensors[norm + at];
                let eps = self.network.plan.norm_eps(norm);
                let (y, mean, var) = nn::batch_norm_train(&map, Some(tensor(0)), Some(tensor(1)), eps)?;
                // PyTorch's running variance is the unbiased one.
                let n = (map.elem_count() / layer.width()) as f64;
                let unbiased = (var.detach() * (n / (n - 1.0).max(1.0)))?;
                let blend =
                    |old: &Tensor, new: Tensor| (old * (1.0 - NORM_MOMENTUM))? + (new * NORM_MOMENTUM)?;
                training
                    .statistics
                    .push((norm + 2, blend(tensor(2), mean.detach())?));
                training.statistics.push((norm + 3, blend(tensor(3), unbiased)?));
                training.statistics.push((norm + 4, (tensor(4) + 1.0)?));
                Ok(y)
            }
            (Some(_), None) => self.network.linear_map(layer, x, precision),
            (None, _) => self.visitor.layer(l, x, self.network),
        }
    }
}

impl Network {
    /// A layer's linear map alone, before its `BatchNorm`.
    fn linear_map(&self, layer: &Layer, x: &Tensor, precision: Precision) -> Result<Tensor> {
        let weight = &self.tensors[layer.weight];
        let bias = layer.bias.map(|bias| &self.tensors[bias]);
        match layer.kind {
            LayerKind::Linear => nn::linear_in(precision, x, weight, bias),
            LayerKind::Conv { stride, padding } => {
                nn::conv2d_in(precision, x, weight, bias, (stride, padding))
            }
        }
    }

    /// The pre-activation of layer `l`, given its input, in evaluation.
    pub fn layer_output(&self, l: usize, x: &Tensor) -> Result<Tensor> {
        let layer = &self.plan.layers[l];
        let map = self.linear_map(layer, x, Precision::F32)?;
        let Some(norm) = layer.norm else { return Ok(map) };
        let tensor = |at: usize| &self.tensors[norm + at];
        nn::batch_norm(
            &map,
            Some(tensor(0)),
            Some(tensor(1)),
            tensor(2),
            tensor(3),
            self.plan.norm_eps(norm),
        )
    }
}

impl Attention {
    fn apply(&self, network: &Network, x: &Tensor, precision: Precision) -> Result<Tensor> {
        let linear = |x: &Tensor, weight, bias| nn::linear_in(precision, x, weight, Some(bias));
        let d = x.dim(D::Minus1)?;
        let tensor = |at: usize| &network.tensors[at];
        let [q, k, v] = match self.qkv {
            Projections::Separate(first) => {
                let map = |i: usize| linear(x, tensor(first + 2 * i), tensor(first + 2 * i + 1));
                [map(0)?, map(1)?, map(2)?]
            }
            Projections::Joint(first) => {
                let all = linear(x, tensor(first), tensor(first + 1))?;
                let part = |i: usize| all.narrow(D::Minus1, i * d, d);
                [part(0)?, part(1)?, part(2)?]
            }
        };
        let mixed = nn::multi_head_attention(&q, &k, &v, self.heads, self.scale)?;
        linear(&mixed, tensor(self.out), tensor(self.out + 1))
    }
}

impl Embedding {
    fn apply(&self, network: &Network, x: &Tensor, precision: Precision) -> Result<Tensor> {
        let (n, c, h, w) = x.dims4()?;
        let p = self.patch;
        let (rows, columns) = (h / p, w / p);
        let cut = x.reshape(&[n, c, rows, p, columns, p][..])?;
        let words = match self.channels_last {
            true => cut.permute([0, 2, 4, 3, 5, 1])?,
            false => cut.permute([0, 2, 4, 1, 3, 5])?,
        };
        let words = words.reshape((n, rows * columns, c * p * p))?;
        let tensor = |at: usize| &network.tensors[at];
        let weight = tensor(self.weight).flatten_from(1)?;
        let tokens = nn::linear_in(precision, &words, &weight, Some(tensor(self.weight + 1)))?;
        let d = weight.dim(0)?;
        let class = tensor(self.class_token).broadcast_as((n, 1, d))?;
        Tensor::cat(&[&class, &tokens], 1)?.broadcast_add(tensor(self.positions))
    }
}

fn dropout(x: &Tensor, share: f64, rng: &mut ChaCha8Rng) -> Result<Tensor> {
    if gpu::active(x) {
        return gpu::dropout(x, share, rng);
    }
    let kept = (1.0 / (1.0 - share)) as f32;
    let mask: Vec<f32> = (0..x.elem_count())
        .map(|_| if rng.random_bool(share) { 0.0 } else { kept })
        .collect();
    x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(if x.dtype() == DType::F64 {
        DType::F64
    } else {
        DType::F32
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::emulator::emulated;
    use crate::seed::generator;
    use candle_core::Device;
    use rand::Rng;

    /// Also from an odd word on, and over several blocks of the generator.
    #[test]
    fn dropout_on_a_gpu_has_the_draws_of_the_cpu() {
        for (skipped, count) in [(0, 1), (0, 8), (3, 8), (5, 70), (16, 1000)] {
            let x: Vec<f32> = (0..count).map(|i| 1.5 + i as f32).collect();
            let x = candle_core::Var::new(x, &Device::Cpu).expect("numbers");
            let x = x.as_tensor();
            let mut rng = generator(1, "dropout", &[]);
            (0..skipped).for_each(|_| {
                rng.next_u32();
            });
            let mut same = rng.clone();
            // The result, and the gradient of the sum of its squares.
            let numbers = |y: Result<Tensor>| {
                let y = y.expect("result");
                let gradients = y.sqr().and_then(|s| s.sum_all()?.backward()).expect("gradients");
                let gradient = gradients.get(x).expect("a gradient").to_vec1::<f32>();
                (y.to_vec1::<f32>().expect("numbers"), gradient.expect("numbers"))
            };
            let twin = numbers(dropout(x, 0.3, &mut rng));
            assert_eq!(twin, emulated(|| numbers(dropout(x, 0.3, &mut same))));
            assert_eq!(rng.get_word_pos(), same.get_word_pos());
        }
    }
}
