//! Convolution on a GPU with windows as rows.
//!
//! ```text
//! Y = unfold(x) W^T      y = planes(Y) + bias      dY = rows(dy)      dW = dY^T unfold(x)      dx = fold(dY W)
//! ```
//!
//! with `Y [N H' W', O]` and `y [N, O, H', W']`.

use candle_core::{Result, Tensor, bail};

use super::images::{Cut, fold, unfold};
use super::launch::sizes;
use super::op::{Op, wanted};
use super::product::{Precision, product};
use super::sums::of_bias;

/// The convolution of `x [N, C, H, W]` with `weight [O, C, kh, kw]` plus `bias [O]`; differentiable. Twin:
/// [`crate::nn::conv2d`].
pub fn convolve(
    precision: Precision,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    cut: Cut,
) -> Result<Tensor> {
    let (outputs, columns) = (weight.dim(0)?, weight.elem_count() / weight.dim(0)?.max(1));
    if x.dims4()? != cut.images || columns != cut.depth() {
        bail!("{:?} are no inputs of {cut:?}", x.shape());
    }
    let x = &x.contiguous()?;
    let rows = unfold(&x.detach(), cut)?;
    let y = product(&rows, &weight.detach().flatten_from(1)?.t()?, precision)?;
    let (down, along) = cut.positions;
    let back = move |operands: &[&Tensor], slope: &Tensor| {
        let y = Op::new("rows", (rows.dim(0)?, outputs), sizes([outputs, down * along])?).on(slope)?;
        let weight = operands[1].detach();
        let of_x = || fold(&product(&y, &weight.flatten_from(1)?, precision)?, cut);
        let of_weight = || product(&y.t()?, &rows, precision)?.reshape(weight.shape());
        wanted(operands, [&of_x, &of_weight, &|| of_bias(slope)])
    };
    let shape = (cut.images.0, outputs, down, along);
    let numbers = sizes([outputs, down * along, usize::from(bias.is_some())])?;
    Op::new("planes", shape, numbers)
        // Without a bias the kernel is given something that it does not read.
        .reading(&[&y, bias.unwrap_or(&y)])?
        .back(back)
        .on_some(x, weight, bias)
}
