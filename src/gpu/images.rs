//! Images on a GPU: pooling, windows as rows and back, augmentation; and `relu`.

use candle_core::{DType, Result, Shape, Tensor, bail};

use super::launch::{Kernel, Number, blocks, size, sizes};
use super::op::Op;

/// `max(x, 0)`, NaN kept. Twin: [`crate::nn::relu`].
pub fn relu(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let gate = |x: &Tensor, value: &Tensor| Op::new("gate", x.shape(), Vec::new()).reading(&[x, value]);
    gate(x, x)?
        .back(move |operands, slope| Ok(vec![Some(gate(operands[0], slope)?.on(slope)?)]))
        .on(x)
}

/// Windows of pooling: height and width of planes, positions down and along, kernel, stride, padding.
fn window(
    planes: (usize, usize),
    positions: (usize, usize),
    [kernel, stride, padding]: [usize; 3],
) -> Result<Vec<Number>> {
    let (height, width) = planes;
    sizes([height, width, positions.0, positions.1, kernel, stride, padding])
}

/// [`crate::nn::max_pool2d`] of sizes that fit, its twin; `settings` are kernel, stride and padding.
pub fn max_pool2d(x: &Tensor, positions: (usize, usize), settings: [usize; 3]) -> Result<Tensor> {
    let (n, c, height, width) = x.dims4()?;
    let numbers = window((height, width), positions, settings)?;
    let op = Op::new("max_pool", (n, c, positions.0, positions.1), numbers.clone());
    let [kernel, stride, padding] = settings;
    let covered = (positions.0 * kernel, positions.1 * kernel) == (height, width);
    op.back(move |operands, gradient| {
        let shape = (n, c, height, width);
        let op = match kernel == stride && padding == 0 && covered {
            true => Op::new("max_pool_back_apart", shape, numbers.clone()).threads(gradient.elem_count()),
            false => Op::new("max_pool_back", shape, numbers.clone()),
        };
        Ok(vec![Some(op.on_both(&operands[0].detach(), gradient)?)])
    })
    .on(x)
}

/// [`crate::nn::avg_pool2d`] of sizes that fit, its twin; `settings` are kernel and stride.
pub fn avg_pool2d(x: &Tensor, positions: (usize, usize), [kernel, stride]: [usize; 2]) -> Result<Tensor> {
    let (n, c, height, width) = x.dims4()?;
    let mut numbers = window((height, width), positions, [kernel, stride, 0])?;
    let weight = 1.0 / (kernel * kernel) as f64;
    numbers.push(match x.dtype() {
        DType::F64 => Number::F64(weight),
        _ => Number::F32(weight as f32),
    });
    let op = Op::new("avg_pool", (n, c, positions.0, positions.1), numbers.clone());
    op.back(move |_, gradient| {
        let op = Op::new("avg_pool_back", (n, c, height, width), numbers.clone());
        Ok(vec![Some(op.on(gradient)?)])
    })
    .on(x)
}

/// Windows of images `[N, C, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// `N, C, H, W`.
    pub images: (usize, usize, usize, usize),
    /// Positions down and along.
    pub positions: (usize, usize),
    /// Height and width of a window.
    pub kernel: (usize, usize),
    /// Pixels from one position to the next.
    pub stride: usize,
    /// Pixels around the image.
    pub padding: usize,
}

impl Cut {
    /// Rows of [`unfold`].
    pub fn rows(&self) -> usize {
        self.images.0 * self.positions.0 * self.positions.1
    }

    /// Columns of [`unfold`].
    pub fn depth(&self) -> usize {
        self.images.1 * self.kernel.0 * self.kernel.1
    }

    fn numbers(&self) -> Result<Vec<Number>> {
        let (_, channels, height, width) = self.images;
        sizes([
            channels,
            height,
            width,
            self.positions.0,
            self.positions.1,
            self.kernel.0,
            self.kernel.1,
            self.stride,
            self.padding,
        ])
    }
}

/// Windows as the rows of `[N H' W', C kh kw]`; its adjoint, and gradient, is [`fold`]. Twin: [`crate::nn::unfold`].
pub fn unfold(x: &Tensor, cut: Cut) -> Result<Tensor> {
    let op = Op::new("unfold", (cut.rows(), cut.depth()), cut.numbers()?);
    op.back(move |_, gradient| Ok(vec![Some(fold(gradient, cut)?)]))
        .on(x)
}

/// Adds each entry of `rows [N H' W', C kh kw]` to the pixel that [`unfold`] reads it from: `[N, C, H, W]`. Twin: the
/// gradient of [`crate::nn::conv2d`] with respect to its input.
pub fn fold(rows: &Tensor, cut: Cut) -> Result<Tensor> {
    Op::new("fold", cut.images, cut.numbers()?).on(&rows.detach())
}

/// How one sample is varied: the corner of the window in the padded image, and whether left becomes right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// From the top of the padded image.
    pub top: u32,
    /// From its left.
    pub left: u32,
    /// Whether it is flipped.
    pub flip: bool,
}

/// Cropped, flipped, normalised images `[n, C, H, W]`, f32, of `pixels [N, C, H, W]` (u8): those of `chosen`, each below
/// N, varied by `draws`. `table [C, 256]` are the normalised values. Twin: `Augmenter::bytes` and `Part::normalise`.
pub fn augment(
    pixels: &Tensor,
    table: &Tensor,
    chosen: &[u32],
    draws: &[Draw],
    padding: usize,
) -> Result<Tensor> {
    let (all, channels, height, width) = pixels.dims4()?;
    let in_range = |draw: &Draw| draw.top.max(draw.left) as usize <= 2 * padding;
    if chosen.len() != draws.len()
        || chosen.iter().any(|&at| at as usize >= all)
        || !draws.iter().all(in_range)
        || table.dims() != [channels, 256]
    {
        bail!(
            "augmentation of {} of {all} images with {} draws",
            chosen.len(),
            draws.len()
        );
    }
    let device = pixels.device();
    let draws: Vec<u32> = draws
        .iter()
        .flat_map(|draw| [draw.top, draw.left, u32::from(draw.flip)])
        .collect();
    let n = chosen.len();
    let count = n * channels * height * width;
    let kernel = Kernel {
        name: "augment",
        blocks: blocks(count),
        outputs: &[(DType::F32, count)],
        numbers: &sizes([count, channels, height, width, padding])?,
    };
    let chosen = Tensor::from_slice(chosen, n, device)?;
    let draws = Tensor::from_vec(draws, (n, 3), device)?;
    let shape = Shape::from((n, channels, height, width));
    one(kernel.launch(&[pixels, &chosen, &draws, table], &[shape])?)
}

/// A rectangle of every image `[n, C, H, W]` (f32) from its partner, each below n. Twin: `CutMix` of `data::augment`.
pub fn cutmix(
    images: &Tensor,
    partners: &[u32],
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) -> Result<Tensor> {
    let (_, channels, height, width) = images.dims4()?;
    let numbers = sizes([
        images.elem_count(),
        channels,
        height,
        width,
        rows.start,
        rows.end,
        columns.start,
        columns.end,
    ])?;
    mixed(images, partners, "cutmix", &numbers)
}

/// `own` of every image (f32) and `other` of its partner, each below the number of images. Twin: `MixUp` of
/// `data::augment`.
pub fn mixup(images: &Tensor, partners: &[u32], own: f32, other: f32) -> Result<Tensor> {
    let image = images.elem_count() / images.dim(0)?.max(1);
    let numbers = [
        size(images.elem_count())?,
        size(image)?,
        Number::F32(own),
        Number::F32(other),
    ];
    mixed(images, partners, "mixup", &numbers)
}

fn mixed(images: &Tensor, partners: &[u32], name: &str, numbers: &[Number]) -> Result<Tensor> {
    let n = images.dim(0)?;
    if partners.len() != n || partners.iter().any(|&partner| partner as usize >= n) {
        bail!("{} partners of {n} images", partners.len());
    }
    let count = images.elem_count();
    let kernel = Kernel {
        name,
        blocks: blocks(count),
        outputs: &[(DType::F32, count)],
        numbers,
    };
    let partners = Tensor::from_slice(partners, n, images.device())?;
    one(kernel.launch(&[images, &partners], &[images.shape().clone()])?)
}

/// The only result.
pub(super) fn one(results: Vec<Tensor>) -> Result<Tensor> {
    match results.into_iter().next() {
        Some(result) => Ok(result),
        None => bail!("a kernel without a result"),
    }
}
