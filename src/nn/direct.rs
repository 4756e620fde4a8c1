//! Convolution as matrix products with the columns of blocks of images.
//!
//! With `K = C kh kw`, `P = H' W'`, columns `X_n [K, P]` and gradients `D_n [O, P]` of the result of image `n`:
//!
//! ```text
//! Y_n = W X_n      dX_n = columns-adjoint(W^T D_n)      dW = sum_n D_n X_n^T
//! ```
//!
//! Blocks depend on shapes only, and each is computed by one thread: results do not depend on the number of threads.

use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;

use super::columns::{Image, Place};
use super::element::Element;

/// Columns that a product should have at least: below some hundred, reading the weight takes as long as multiplying.
const COLUMNS: usize = 256;
/// Rows of the columns' matrix in one block of the gradient of the weight.
const ROWS: usize = 288;
/// Blocks that the gradient of the weight is cut into, so that threads have something to share.
const BLOCKS: usize = 16;

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Images `N`.
    pub images: usize,
    /// One image and its windows.
    pub image: Image,
    /// Channels `O` of the result.
    pub outputs: usize,
}

impl Sizes {
    /// Elements of one image of the result.
    pub fn result(&self) -> usize {
        self.outputs * self.image.columns()
    }

    /// Images in a block.
    fn group(&self) -> usize {
        COLUMNS
            .div_ceil(self.image.columns())
            .clamp(1, self.images.max(1))
    }
}

/// `[K, images P]`: the columns of images one beside the other.
fn fill_columns<T: Element>(image: Image, images: &[T], columns: &mut Vec<T>) {
    let (count, width) = (images.len() / image.len(), image.columns());
    columns.resize(image.rows() * count * width, T::ZERO);
    for (index, pixels) in images.chunks_exact(image.len()).enumerate() {
        let place = Place {
            stride: count * width,
            start: index * width,
        };
        image.write_columns(pixels, columns, place);
    }
}

/// `[images, O, P]` to `[O, images P]`.
fn gather<T: Element>(images: &[T], outputs: usize, width: usize, matrix: &mut Vec<T>) {
    let count = images.len() / (outputs * width);
    matrix.resize(images.len(), T::ZERO);
    for (index, image) in images.chunks_exact(outputs * width).enumerate() {
        for (output, plane) in image.chunks_exact(width).enumerate() {
            matrix[(output * count + index) * width..][..width].copy_from_slice(plane);
        }
    }
}

/// The convolution: `x [N, C, H, W]`, `weight [O, C, kh, kw]`, `bias [O]` to `[N, O, H', W']`.
pub fn forward<T: Element>(sizes: Sizes, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<T> {
    let Sizes { image, outputs, .. } = sizes;
    let (group, width, depth) = (sizes.group(), image.columns(), image.rows());
    let mut result = vec![T::ZERO; sizes.images * sizes.result()];
    let weight = MatRef::from_row_major_slice(weight, outputs, depth);
    result
        .par_chunks_mut(group * sizes.result())
        .zip(x.par_chunks(group * image.len()))
        .for_each_init(
            || (Vec::new(), Vec::new()),
            |(columns, product), (result, x)| {
                fill_columns(image, x, columns);
                let count = x.len() / image.len();
                let right = MatRef::from_row_major_slice(&columns[..], depth, count * width);
                if count == 1 {
                    let out = MatMut::from_row_major_slice_mut(result, outputs, width);
                    T::product(out, Accum::Replace, weight, right);
                } else {
                    product.resize(outputs * count * width, T::ZERO);
                    let out = MatMut::from_row_major_slice_mut(&mut product[..], outputs, count * width);
                    T::product(out, Accum::Replace, weight, right);
                    for (index, result) in result.chunks_exact_mut(sizes.result()).enumerate() {
                        for (output, plane) in result.chunks_exact_mut(width).enumerate() {
                            plane.copy_from_slice(&product[(output * count + index) * width..][..width]);
                        }
                    }
                }
                if let Some(bias) = bias {
                    for (index, plane) in result.chunks_exact_mut(width).enumerate() {
                        let bias = bias[index % outputs];
                        for value in plane {
                            *value += bias;
                        }
                    }
                }
            },
        );
    result
}

/// The gradient of `x` from that of the result.
pub fn gradient_of_x<T: Element>(sizes: Sizes, weight: &[T], gradient: &[T]) -> Vec<T> {
    let Sizes { image, outputs, .. } = sizes;
    let (group, width, depth) = (sizes.group(), image.columns(), image.rows());
    let mut result = vec![T::ZERO; sizes.images * image.len()];
    let weight = MatRef::from_row_major_slice(weight, outputs, depth).transpose();
    result
        .par_chunks_mut(group * image.len())
        .zip(gradient.par_chunks(group * sizes.result()))
        .for_each_init(
            || (Vec::new(), Vec::new()),
            |(columns, gathered), (result, gradient)| {
                let count = result.len() / image.len();
                gather(gradient, outputs, width, gathered);
                columns.resize(depth * count * width, T::ZERO);
                let right = MatRef::from_row_major_slice(&gathered[..], outputs, count * width);
                let out = MatMut::from_row_major_slice_mut(&mut columns[..], depth, count * width);
                T::product(out, Accum::Replace, weight, right);
                for (index, pixels) in result.chunks_exact_mut(image.len()).enumerate() {
                    let place = Place {
                        stride: count * width,
                        start: index * width,
                    };
                    image.add_columns(columns, place, pixels);
                }
            },
        );
    result
}

/// The gradient of `weight` from that of the result: blocks of input channels, and, where these are few, segments of
/// images whose sums are added in order.
pub fn gradient_of_weight<T: Element>(sizes: Sizes, x: &[T], gradient: &[T]) -> Vec<T> {
    let Sizes {
        images,
        image,
        outputs,
    } = sizes;
    let (group, width, depth) = (sizes.group(), image.columns(), image.rows());
    let per_channel = depth / image.channels;
    let channels = (ROWS / per_channel).clamp(1, image.channels);
    let blocks = image.channels.div_ceil(channels);
    let segments = BLOCKS.div_ceil(blocks).clamp(1, images.div_ceil(group).max(1));
    let per_segment = images.div_ceil(segments).next_multiple_of(group);
    let tasks: Vec<(usize, usize)> = (0..blocks)
        .flat_map(|block| (0..segments).map(move |segment| (block, segment)))
        .collect();
    let sums: Vec<Vec<T>> = tasks
        .par_iter()
        .map(|&(block, segment)| {
            let start = block * channels;
            let part = Image {
                channels: channels.min(image.channels - start),
                ..image
            };
            let mut sum = vec![T::ZERO; outputs * part.rows()];
            let (mut pixels, mut columns, mut gathered) = (Vec::new(), Vec::new(), Vec::new());
            let range = (segment * per_segment).min(images)..((segment + 1) * per_segment).min(images);
            for first in range.clone().step_by(group) {
                let last = (first + group).min(range.end);
                pixels.clear();
                for image_index in first..last {
                    let offset = image_index * image.len() + start * image.height * image.width;
                    pixels.extend_from_slice(&x[offset..][..part.len()]);
                }
                fill_columns(part, &pixels, &mut columns);
                let gradient = &gradient[first * sizes.result()..last * sizes.result()];
                gather(gradient, outputs, width, &mut gathered);
                let inner = (last - first) * width;
                let left = MatRef::from_row_major_slice(&gathered[..], outputs, inner);
                let right = MatRef::from_row_major_slice(&columns[..], part.rows(), inner).transpose();
                let out = MatMut::from_row_major_slice_mut(&mut sum[..], outputs, part.rows());
                T::product(out, Accum::Add, left, right);
            }
            sum
        })
        .collect();
    let mut result = vec![T::ZERO; outputs * depth];
    for (&(block, _), sum) in tasks.iter().zip(&sums) {
        let start = block * channels * per_channel;
        let rows = sum.len() / outputs;
        for (row, sum) in result.chunks_exact_mut(depth).zip(sum.chunks_exact(rows)) {
            for (value, &part) in row[start..start + rows].iter_mut().zip(sum) {
                *value += part;
            }
        }
    }
    result
}
