//! 3x3 convolution with stride 1 by Winograd's F(2x2, 3x3): 16 products where the direct way has 36.
//!
//! With the maps of [`tiles`], transformed weights `U_i [O, C]` and, over the tiles of some images, transformed inputs
//! `V_i [T, C]` and results `M_i [T, O]` for `i` in `0..16`:
//!
//! ```text
//! M_i = V_i U_i^T      dV_i = dM_i U_i      dU_i = sum dM_i^T V_i
//! ```
//!
//! and the maps' adjoints give the gradients exactly. All coefficients are 0, 1 and 1/2, so that rounding is that of
//! a few more sums: errors stay of the size of the direct way's. An infinity or NaN in the input reaches the whole
//! 2x2 tiles that see it, as NaN.
//!
//! Images are taken in groups that depend on shapes only; within a group threads share images, then products.

// Without it arrays of lanes go through memory between the maps, at half the speed.
#[allow(clippy::inline_always)]
mod planes;
#[allow(clippy::inline_always)]
mod tiles;

use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;

use self::planes::{Frame, Grid, Map};
use super::direct::Sizes;
use super::element::Element;

/// Elements of the 16 matrices of a group of images, together: they stay in a cache of the third level.
const GROUP: usize = 1 << 22;
/// Elements of the transformed weight that a thread takes at a time.
const WEIGHTS: usize = 1 << 12;
/// Below so many channels the maps cost more than the products save.
const CHANNELS: usize = 16;

/// Whether the convolution is one for this file.
pub fn suits(sizes: &Sizes) -> bool {
    let window = sizes.image.window;
    window.kernel == (3, 3)
        && window.stride == 1
        && sizes.image.channels >= CHANNELS
        && sizes.outputs >= CHANNELS
}

/// What both directions need of the shapes.
#[derive(Debug, Clone, Copy)]
struct Plan {
    grid: Grid,
    channels: usize,
    outputs: usize,
    /// Inputs inside their padded image, results inside theirs.
    frames: (Frame, Frame),
    /// Images at a time.
    group: usize,
}

impl Plan {
    fn new(sizes: &Sizes) -> Self {
        let image = sizes.image;
        let grid = Grid {
            down: image.positions.0.div_ceil(2),
            along: image.positions.1.div_ceil(2),
        };
        let inputs = Frame {
            inner: (image.height, image.width),
            width: grid.inputs().1,
            offset: image.window.padding,
        };
        let results = Frame {
            inner: image.positions,
            width: grid.outputs().1,
            offset: 0,
        };
        let each = 16 * grid.tiles() * (image.channels + sizes.outputs);
        Self {
            grid,
            channels: image.channels,
            outputs: sizes.outputs,
            frames: (inputs, results),
            group: (GROUP / each).clamp(1, sizes.images.max(1)),
        }
    }

    /// Elements of the inputs' padded image with channels last.
    fn padded(&self) -> usize {
        let (height, width) = self.grid.inputs();
        height * width * self.channels
    }

    /// Elements of the results' image with channels last.
    fn result(&self) -> usize {
        let (height, width) = self.grid.outputs();
        height * width * self.outputs
    }

    /// `images` to `V`.
    fn inputs<T: Element>(&self, images: &[T], v: &mut [T]) {
        let size = self.channels * self.frames.0.inner.0 * self.frames.0.inner.1;
        pieces(v, self.grid.tiles() * self.channels)
            .into_par_iter()
            .zip(images.par_chunks_exact(size))
            .for_each_init(
                || vec![T::ZERO; self.padded()],
                |scratch, (mut v, image)| {
                    self.frames.0.to_channels_last(image, self.channels, scratch);
                    self.grid.apply(Map::Input, self.channels, scratch, &mut v);
                },
            );
    }

    /// `dV` to gradients of images.
    fn inputs_adjoint<T: Element>(&self, v: &mut [T], images: &mut [T]) {
        let size = self.channels * self.frames.0.inner.0 * self.frames.0.inner.1;
        pieces(v, self.grid.tiles() * self.channels)
            .into_par_iter()
            .zip(images.par_chunks_exact_mut(size))
            .for_each_init(
                || vec![T::ZERO; self.padded()],
                |scratch, (mut v, image)| {
                    scratch.fill(T::ZERO);
                    self.grid.apply(Map::InputAdjoint, self.channels, scratch, &mut v);
                    self.frames
                        .0
                        .to_channels_first(scratch, self.channels, None, image);
                },
            );
    }

    /// `M` to results.
    fn results<T: Element>(&self, m: &mut [T], bias: Option<&[T]>, results: &mut [T]) {
        let size = self.outputs * self.frames.1.inner.0 * self.frames.1.inner.1;
        pieces(m, self.grid.tiles() * self.outputs)
            .into_par_iter()
            .zip(results.par_chunks_exact_mut(size))
            .for_each_init(
                || vec![T::ZERO; self.result()],
                |scratch, (mut m, result)| {
                    self.grid.apply(Map::Output, self.outputs, scratch, &mut m);
                    self.frames
                        .1
                        .to_channels_first(scratch, self.outputs, bias, result);
                },
            );
    }

    /// Gradients of results to `dM`.
    fn results_adjoint<T: Element>(&self, gradients: &[T], m: &mut [T]) {
        let size = self.outputs * self.frames.1.inner.0 * self.frames.1.inner.1;
        pieces(m, self.grid.tiles() * self.outputs)
            .into_par_iter()
            .zip(gradients.par_chunks_exact(size))
            .for_each_init(
                || vec![T::ZERO; self.result()],
                |scratch, (mut m, gradient)| {
                    self.frames.1.to_channels_last(gradient, self.outputs, scratch);
                    self.grid.apply(Map::OutputAdjoint, self.outputs, scratch, &mut m);
                },
            );
    }
}

/// 16 matrices one after the other, each cut into pieces of `size` elements: the 16 pieces of each image.
fn pieces<T>(matrices: &mut [T], size: usize) -> Vec<Vec<&mut [T]>> {
    let length = matrices.len() / 16;
    let mut result: Vec<Vec<&mut [T]>> = (0..length.div_ceil(size))
        .map(|_| Vec::with_capacity(16))
        .collect();
    for matrix in matrices.chunks_exact_mut(length) {
        for (pieces, piece) in result.iter_mut().zip(matrix.chunks_mut(size)) {
            pieces.push(piece);
        }
    }
    result
}

/// `[O, C, 3, 3]` to `U`.
fn transform_weight<T: Element>(weight: &[T]) -> Vec<T> {
    let mut u = vec![T::ZERO; weight.len() / 9 * 16];
    pieces(&mut u, WEIGHTS)
        .into_par_iter()
        .zip(weight.par_chunks(9 * WEIGHTS))
        .for_each(|(mut u, weight)| {
            for (index, kernel) in weight.chunks_exact(9).enumerate() {
                let tile = std::array::from_fn(|y| std::array::from_fn(|x| kernel[3 * y + x]));
                let tile = tiles::both(tile, tiles::weight);
                for (u, value) in u.iter_mut().zip(tile.iter().flatten()) {
                    u[index] = *value;
                }
            }
        });
    u
}

/// `dU` to the gradient of the weight.
fn transform_weight_adjoint<T: Element>(u: &mut [T]) -> Vec<T> {
    let mut weight = vec![T::ZERO; u.len() / 16 * 9];
    pieces(u, WEIGHTS)
        .into_par_iter()
        .zip(weight.par_chunks_mut(9 * WEIGHTS))
        .for_each(|(u, weight)| {
            for (index, kernel) in weight.chunks_exact_mut(9).enumerate() {
                let tile = std::array::from_fn(|y| std::array::from_fn(|x| u[4 * y + x][index]));
                let tile = tiles::both(tile, tiles::weight_adjoint);
                for (value, &gradient) in kernel.iter_mut().zip(tile.iter().flatten()) {
                    *value = gradient;
                }
            }
        });
    weight
}

/// The convolution: `x [N, C, H, W]`, `weight [O, C, 3, 3]`, `bias [O]` to `[N, O, H', W']`.
pub fn forward<T: Element>(sizes: &Sizes, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
    let plan = Plan::new(sizes);
    let (tiles, c, o) = (plan.grid.tiles(), plan.channels, plan.outputs);
    let u = transform_weight(weight);
    let mut result = vec![T::ZERO; sizes.images * sizes.result()];
    let (mut v, mut m) = (
        vec![T::ZERO; 16 * plan.group * tiles * c],
        vec![T::ZERO; 16 * plan.group * tiles * o],
    );
    let groups = x.chunks(plan.group * sizes.image.len());
    for (x, result) in groups.zip(result.chunks_mut(plan.group * sizes.result())) {
        let t = x.len() / sizes.image.len() * tiles;
        let (v, m) = (&mut v[..16 * t * c], &mut m[..16 * t * o]);
        plan.inputs(x, v);
        (
            m.par_chunks_exact_mut(t * o),
            v.par_chunks_exact(t * c),
            u.par_chunks_exact(o * c),
        )
            .into_par_iter()
            .for_each(|(m, v, u)| {
                let (v, u) = (
                    MatRef::from_row_major_slice(v, t, c),
                    MatRef::from_row_major_slice(u, o, c),
                );
                let m = MatMut::from_row_major_slice_mut(m, t, o);
                T::product(m, Accum::Replace, v, u.transpose());
            });
        plan.results(m, bias, result);
    }
    result
}

/// The gradients of `x` and of `weight` from that of the result, as far as they are wanted.
pub fn backward<T: Element>(
    sizes: &Sizes,
    (x, weight): (&[T], &[T]),
    gradient: &[T],
    (of_x, of_weight): (bool, bool),
) -> (Option<Vec<T>>, Option<Vec<T>>) {
    let plan = Plan::new(sizes);
    let (tiles, c, o) = (plan.grid.tiles(), plan.channels, plan.outputs);
    let u = if of_x {
        transform_weight(weight)
    } else {
        Vec::new()
    };
    let mut du = if of_weight {
        vec![T::ZERO; 16 * o * c]
    } else {
        Vec::new()
    };
    let mut dx = if of_x { vec![T::ZERO; x.len()] } else { Vec::new() };
    let (mut v, mut m) = (
        vec![T::ZERO; 16 * plan.group * tiles * c],
        vec![T::ZERO; 16 * plan.group * tiles * o],
    );
    let groups = x.chunks(plan.group * sizes.image.len());
    for (index, (x, gradient)) in groups
        .zip(gradient.chunks(plan.group * sizes.result()))
        .enumerate()
    {
        let t = x.len() / sizes.image.len() * tiles;
        let (v, m) = (&mut v[..16 * t * c], &mut m[..16 * t * o]);
        plan.results_adjoint(gradient, m);
        if of_weight {
            plan.inputs(x, v);
            (
                du.par_chunks_exact_mut(o * c),
                m.par_chunks_exact(t * o),
                v.par_chunks_exact(t * c),
            )
                .into_par_iter()
                .for_each(|(du, m, v)| {
                    let (m, v) = (
                        MatRef::from_row_major_slice(m, t, o),
                        MatRef::from_row_major_slice(v, t, c),
                    );
                    let du = MatMut::from_row_major_slice_mut(du, o, c);
                    T::product(du, Accum::Add, m.transpose(), v);
                });
        }
        if of_x {
            (
                v.par_chunks_exact_mut(t * c),
                m.par_chunks_exact(t * o),
                u.par_chunks_exact(o * c),
            )
                .into_par_iter()
                .for_each(|(v, m, u)| {
                    let (m, u) = (
                        MatRef::from_row_major_slice(m, t, o),
                        MatRef::from_row_major_slice(u, o, c),
                    );
                    T::product(MatMut::from_row_major_slice_mut(v, t, c), Accum::Replace, m, u);
                });
            let start = index * plan.group * sizes.image.len();
            plan.inputs_adjoint(v, &mut dx[start..start + x.len()]);
        }
    }
    (
        of_x.then_some(dx),
        of_weight.then(|| transform_weight_adjoint(&mut du)),
    )
}
