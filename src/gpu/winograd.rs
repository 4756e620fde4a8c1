//! 3x3 convolution with stride 1 by Winograd's F(2x2, 3x3) on a GPU: as `nn::winograd`, but channels first, so that
//! nothing has to be transposed.
//!
//! ```text
//! V_k = inputs(x) [C, T]      U_k = weights(w) [O, C]      M_k = U_k V_k      y = outputs(M) + bias      k in 0..16
//! ```
//!
//! with a column for each of the T tiles of all images. The maps are kernels, and so are their adjoints:
//!
//! ```text
//! dM = outputs*(dy)      dw = weights*(dM_k V_k^T)      dx = inputs*(U_k^T dM_k)
//! ```

use candle_core::{Result, Tensor, bail};

use super::launch::{Number, size, sizes};
use super::op::{Op, wanted};
use super::product::{Precision, product};
use super::sums::of_bias;

/// Tiles of 2x2 results of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Images.
    pub images: usize,
    /// Height and width of the inputs.
    pub inputs: (usize, usize),
    /// Height and width of the results.
    pub results: (usize, usize),
    /// Pixels around the inputs.
    pub padding: usize,
}

impl Tiling {
    /// Tiles down and along an image.
    fn places(&self) -> (usize, usize) {
        (self.results.0.div_ceil(2), self.results.1.div_ceil(2))
    }

    fn tiles(&self) -> usize {
        let (down, along) = self.places();
        self.images * down * along
    }

    fn numbers(&self, (height, width): (usize, usize), padding: usize) -> Result<Vec<Number>> {
        let (down, along) = self.places();
        sizes([self.images, height, width, down, along, padding])
    }

    /// `[N, C, H, W]` to `V [16, C, T]`.
    fn inputs(&self, x: &Tensor) -> Result<Tensor> {
        let channels = x.dim(1)?;
        let shape = (16, channels, self.tiles());
        Op::new("winograd_inputs", shape, self.numbers(self.inputs, self.padding)?)
            .threads(channels * self.tiles())
            .on(x)
    }

    fn inputs_adjoint(&self, v: &Tensor) -> Result<Tensor> {
        let (channels, (height, width), (down, along)) = (v.dim(1)?, self.inputs, self.places());
        let (shape, numbers) = (
            (self.images, channels, height, width),
            self.numbers(self.inputs, self.padding)?,
        );
        Op::new("winograd_inputs_back", shape, numbers)
            .threads(channels * self.images * (down + 1) * (along + 1))
            .on(v)
    }

    fn outputs_adjoint(&self, slope: &Tensor) -> Result<Tensor> {
        let outputs = slope.dim(1)?;
        let shape = (16, outputs, self.tiles());
        Op::new("winograd_outputs_back", shape, self.numbers(self.results, 0)?)
            .threads(outputs * self.tiles())
            .on(slope)
    }
}

/// `U [16, O, C]` of weights `[O, C, 3, 3]`.
pub fn winograd_weights(weight: &Tensor) -> Result<Tensor> {
    let (outputs, channels, 3, 3) = weight.dims4()? else {
        bail!("{:?} are no 3x3 weights", weight.shape());
    };
    Op::new("winograd_weights", (16, outputs, channels), Vec::new())
        .threads(outputs * channels)
        .on(&weight.detach())
}

fn weights_adjoint(u: &Tensor) -> Result<Tensor> {
    let (_, outputs, channels) = u.dims3()?;
    Op::new("winograd_weights_back", (outputs, channels, 3, 3), Vec::new())
        .threads(outputs * channels)
        .on(u)
}

/// The convolution of `x [N, C, H, W]` with `weight [O, C, 3, 3]`, of which `transformed` is [`winograd_weights`], plus
/// `bias [O]`; differentiable. Twin: [`crate::nn::conv2d`].
pub fn winograd(
    precision: Precision,
    x: &Tensor,
    (weight, transformed): (&Tensor, &Tensor),
    bias: Option<&Tensor>,
    tiling: Tiling,
) -> Result<Tensor> {
    let (images, channels, height, width) = x.dims4()?;
    let (_, outputs, inner) = transformed.dims3()?;
    if (images, (height, width)) != (tiling.images, tiling.inputs) || inner != channels {
        bail!("{:?} are no inputs of {tiling:?}", x.shape());
    }
    let x = &x.contiguous()?;
    let v = tiling.inputs(&x.detach())?;
    let m = product(transformed, &v, precision)?;
    let mut numbers = tiling.numbers(tiling.results, 0)?;
    numbers.push(size(usize::from(bias.is_some()))?);
    let transformed = transformed.clone();
    let back = move |operands: &[&Tensor], slope: &Tensor| {
        let m = tiling.outputs_adjoint(slope)?;
        let of_x = || tiling.inputs_adjoint(&product(&transformed.t()?, &m, precision)?);
        let of_weight = || weights_adjoint(&product(&m, &v.t()?, precision)?);
        wanted(operands, [&of_x, &of_weight, &|| of_bias(slope)])
    };
    let (down, along) = tiling.results;
    Op::new("winograd_outputs", (images, outputs, down, along), numbers)
        .threads(outputs * tiling.tiles())
        // Without a bias the kernel is given something that it does not read.
        .reading(&[&m, bias.unwrap_or(&m)])?
        .back(back)
        .on_some(x, weight, bias)
}
