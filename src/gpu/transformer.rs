//! What transformers are made of, on a GPU: linear maps, layer normalisation, GELU, attention. Differentiable.

use candle_core::{D, DType, Result, Shape, Tensor, bail};

use super::images::one;
use super::launch::{Kernel, Number, blocks, by_dtype, size, sizes};
use super::op::{Op, wanted};
use super::product::{Precision, product};

/// Rows of a part; `ROWS` in `kernels/transformer.cu`.
const ROWS: usize = 64;
/// Threads of a warp.
const WARP: usize = 32;

/// Sums of the columns of parts `[pieces, width]` (f64) in `dtype`.
fn joined_parts(parts: &Tensor, dtype: DType) -> Result<Tensor> {
    let (pieces, width) = parts.dims2()?;
    let kernel = Kernel {
        name: &by_dtype("column_parts", dtype)?,
        blocks: blocks(WARP * width),
        outputs: &[(dtype, width)],
        numbers: &sizes([WARP * width, width, pieces])?,
    };
    one(kernel.launch(&[parts], &[Shape::from(width)])?)
}

/// Sums over the rows of `x [rows, width]`: parts of [`ROWS`] rows first.
fn column_sums(x: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let pieces = rows.div_ceil(ROWS);
    let kernel = Kernel {
        name: &by_dtype("column_sums", x.dtype())?,
        blocks: blocks(pieces * width),
        outputs: &[(DType::F64, pieces * width)],
        numbers: &sizes([pieces * width, rows, width])?,
    };
    joined_parts(
        &one(kernel.launch(&[x], &[Shape::from((pieces, width))])?)?,
        x.dtype(),
    )
}

/// `x W^T + bias` of `x [rows, d]`, `weight [n, d]` and `bias [n]`. Twin: [`crate::nn::linear`].
pub fn linear(precision: Precision, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let Some(bias) = bias else {
        return product(x, &weight.t()?, precision);
    };
    let y = product(&x.detach(), &weight.detach().t()?, precision)?;
    let back = move |operands: &[&Tensor], slope: &Tensor| {
        let of_x = || product(slope, &operands[1].detach(), precision);
        let of_weight = || product(&slope.t()?, &operands[0].detach(), precision);
        wanted(operands, [&of_x, &of_weight, &|| column_sums(slope)])
    };
    Op::new("add_bias", y.shape(), sizes([weight.dim(0)?])?)
        .reading(&[&y, bias])?
        .back(back)
        .on_some(x, weight, Some(bias))
}

/// Twin: [`crate::nn::gelu`].
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    let back = |operands: &[&Tensor], slope: &Tensor| {
        let op = Op::new("gelu_back", slope.shape(), Vec::new());
        Ok(vec![Some(op.on_both(&operands[0].detach(), slope)?)])
    };
    Op::new("gelu", x.shape(), Vec::new()).back(back).on(x)
}

/// `[N, a, b]` to `[N, b, a]`, laid out so.
pub fn transpose(x: &Tensor) -> Result<Tensor> {
    let (n, a, b) = x.dims3()?;
    let x = &x.contiguous()?;
    let numbers = sizes([b, a, 0])?;
    let back = move |_: &[&Tensor], slope: &Tensor| {
        let op = Op::new("rows", (n, a, b), sizes([b, a])?);
        Ok(vec![Some(op.on(slope)?)])
    };
    let op = Op::new("planes", (n, b, a), numbers).reading(&[x, x])?;
    op.back(back).on(x)
}

/// Over the last dimension. Twin: [`crate::nn::layer_norm`].
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let (dtype, shape, width) = (x.dtype(), x.shape().clone(), x.dim(D::Minus1)?);
    let rows = x.elem_count() / width.max(1);
    let statistics = Kernel {
        name: &by_dtype("layer_norm_statistics", dtype)?,
        blocks: rows,
        outputs: &[(dtype, 2 * rows)],
        numbers: &[size(width)?, Number::F64(eps)],
    };
    let statistics = one(statistics.launch(&[&x.detach()], &[Shape::from((rows, 2))])?)?;
    let reads = [&x.detach(), &statistics, gamma, beta];
    let op = Op::new("layer_norm", &shape, sizes([width])?).reading(&reads)?;
    let back = move |operands: &[&Tensor], slope: &Tensor| {
        let [x, gamma, _] = operands else {
            bail!("a normalisation of {} tensors", operands.len())
        };
        let (x, gamma) = (x.detach(), gamma.detach());
        let of_x = || {
            let kernel = Kernel {
                name: &by_dtype("layer_norm_back", dtype)?,
                blocks: rows,
                outputs: &[(dtype, rows * width)],
                numbers: &[size(width)?],
            };
            one(kernel.launch(&[&x, &statistics, &gamma, slope], std::slice::from_ref(&shape))?)
        };
        let pieces = rows.div_ceil(ROWS);
        let sums = Kernel {
            name: &by_dtype("layer_norm_sums", dtype)?,
            blocks: blocks(pieces * width),
            outputs: &[(DType::F64, 2 * pieces * width)],
            numbers: &sizes([pieces * width, rows, width])?,
        };
        let sums = match operands[1..].iter().any(|operand| operand.track_op()) {
            true => {
                let parts = Shape::from((pieces, 2 * width));
                let parts = one(sums.launch(&[&x, &statistics, slope], &[parts])?)?;
                Some(joined_parts(&parts, dtype)?)
            }
            false => None,
        };
        let half = |start: usize| match &sums {
            Some(sums) => sums.narrow(0, start, width),
            None => bail!("sums that nobody wanted"),
        };
        wanted(operands, [&of_x, &|| half(0), &|| half(width)])
    };
    op.back(back).on_some(x, gamma, Some(beta))
}

/// Attention of heads side by side: all three are `[..., tokens, heads * width]`. Twin:
/// [`crate::nn::multi_head_attention`].
///
/// Products of `[N * heads]` matrices; softmax and its gradient are kernels.
///
/// ```text
/// P = softmax(scale q k^T)   y = P v   dv = P^T dy   dS = scale P (dP - sum P dP), dP = dy v^T   dq = dS k   dk = dS^T q
/// ```
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, scale: f64) -> Result<Tensor> {
    let (tokens, width) = (q.dim(D::Minus2)?, q.dim(D::Minus1)? / heads.max(1));
    if q.shape() != k.shape() || q.shape() != v.shape() {
        bail!(
            "attention of {:?}, {:?} and {:?}",
            q.shape(),
            k.shape(),
            v.shape()
        );
    }
    if q.elem_count() == 0 {
        return Ok(q.clone());
    }
    let (shape, rows) = (q.shape().clone(), q.elem_count() / width);
    let apart = (rows / tokens, tokens, width);
    let numbers = sizes([tokens, heads, width])?;
    let split = {
        let numbers = numbers.clone();
        move |x: &Tensor| Op::new("split_heads", apart, numbers.clone()).on(&x.detach())
    };
    let of_rows = [size(tokens)?, Number::F64(scale)];
    let scores = (rows / tokens, tokens, tokens);
    let (q_apart, k_apart, v_apart) = (split(q)?, split(k)?, split(v)?);
    let p = Op::new("row_softmax", scores, of_rows.to_vec())
        .threads(WARP * rows)
        .on(&q_apart.matmul(&k_apart.t()?)?)?;
    let y = p.matmul(&v_apart)?;
    let join = move |y: &Tensor| Op::new("join_heads", &shape, numbers.clone()).reading(&[y]);
    let joined = join(&y)?;
    let back = move |operands: &[&Tensor], slope: &Tensor| {
        let dy = split(slope)?;
        let ds = Op::new("row_softmax_back", scores, of_rows.to_vec())
            .threads(WARP * rows)
            .on_both(&p, &dy.matmul(&v_apart.t()?)?)?;
        let joined = |x: Tensor| join(&x)?.on(&x);
        let of_q = || joined(ds.matmul(&k_apart)?);
        let of_k = || joined(ds.t()?.matmul(&q_apart)?);
        wanted(operands, [&of_q, &of_k, &|| joined(p.t()?.matmul(&dy)?)])
    };
    joined.back(back).on_some(q, k, Some(v))
}
