//! Images with channels last, and their tiles as 16 matrices.
//!
//! A grid of `down x along` tiles, each of which is 2x2 results and the 4x4 inputs that they need, tiles of inputs
//! overlapping by two pixels. With channels last, the maps of [`super::tiles`] run over channels, whatever the size of
//! the image. Matrix `i` holds element `i` of every transformed tile: `[tiles, channels]`.

use super::tiles::{both, input, input_adjoint, output, output_adjoint};
use crate::nn::element::Element;

/// Lanes at a time; what remains goes one by one.
const LANES: usize = 16;

/// Tiles of one image.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// Tiles along the height.
    pub down: usize,
    /// Tiles along the width.
    pub along: usize,
}

/// Which map between pixels and tiles, with the side of the tile in pixels (4: inputs, 2: results).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    /// 4x4 pixels to a transformed tile.
    Input,
    /// Adds to 4x4 pixels.
    InputAdjoint,
    /// To 2x2 pixels.
    Output,
    /// From 2x2 pixels.
    OutputAdjoint,
}

impl Grid {
    /// Tiles of an image.
    pub fn tiles(self) -> usize {
        self.down * self.along
    }

    /// Height and width of the padded inputs.
    pub fn inputs(self) -> (usize, usize) {
        (2 * self.down + 2, 2 * self.along + 2)
    }

    /// Height and width of the results, which may be one more than there are.
    pub fn outputs(self) -> (usize, usize) {
        (2 * self.down, 2 * self.along)
    }

    /// Applies a map to all tiles of an image: `pixels [height, width, channels]`, and `matrices`, 16 times
    /// `[tiles, channels]`.
    pub fn apply<T: Element>(self, map: Map, channels: usize, pixels: &mut [T], matrices: &mut [&mut [T]]) {
        let whole = channels / LANES * LANES;
        for y in 0..self.down {
            for x in 0..self.along {
                let tile = (y * self.along + x) * channels;
                let (width, row) = match map {
                    Map::Input | Map::InputAdjoint => (self.inputs().1, 2 * y),
                    Map::Output | Map::OutputAdjoint => (self.outputs().1, 2 * y),
                };
                let corner = (row * width + 2 * x) * channels;
                let place = |channel| (corner + channel, width * channels, channels, tile + channel);
                for channel in (0..whole).step_by(LANES) {
                    step::<T, LANES>(map, pixels, matrices, place(channel));
                }
                for channel in whole..channels {
                    step::<T, 1>(map, pixels, matrices, place(channel));
                }
            }
        }
    }
}

/// One tile, `L` channels. `place`: first pixel, elements per row of pixels and per pixel, element of the matrices.
#[inline(always)]
fn step<T: Element, const L: usize>(
    map: Map,
    pixels: &mut [T],
    matrices: &mut [&mut [T]],
    (corner, row, pixel, at): (usize, usize, usize, usize),
) {
    let place = (corner, row, pixel);
    match map {
        Map::Input => write(&lanes(&load::<T, L, 4>(pixels, place), input), matrices, at),
        Map::OutputAdjoint => write(
            &lanes(&load::<T, L, 2>(pixels, place), output_adjoint),
            matrices,
            at,
        ),
        Map::Output => {
            let tile = lanes(&read::<T, L>(matrices, at), output);
            each(place, &tile, |start, lanes| {
                pixels[start..start + L].copy_from_slice(lanes);
            });
        }
        Map::InputAdjoint => {
            let tile = lanes(&read::<T, L>(matrices, at), input_adjoint);
            each(place, &tile, |start, lanes| {
                for (sum, &lane) in pixels[start..start + L].iter_mut().zip(lanes) {
                    *sum += lane;
                }
            });
        }
    }
}

/// A map on each lane.
#[inline(always)]
fn lanes<T: Element, const L: usize, const I: usize, const J: usize>(
    tile: &[[[T; L]; I]; I],
    map: impl Fn([T; I]) -> [T; J] + Copy,
) -> [[[T; L]; J]; J] {
    let mut result = [[[T::ZERO; L]; J]; J];
    for lane in 0..L {
        let mut one = [[T::ZERO; I]; I];
        for (one, row) in one.iter_mut().zip(tile) {
            for (one, lanes) in one.iter_mut().zip(row) {
                *one = lanes[lane];
            }
        }
        for (one, row) in both(one, map).iter().zip(&mut result) {
            for (&one, lanes) in one.iter().zip(row) {
                lanes[lane] = one;
            }
        }
    }
    result
}

#[inline(always)]
fn each<T: Element, const L: usize, const I: usize>(
    (corner, row, pixel): (usize, usize, usize),
    tile: &[[[T; L]; I]; I],
    mut f: impl FnMut(usize, &[T; L]),
) {
    for (y, line) in tile.iter().enumerate() {
        for (x, lanes) in line.iter().enumerate() {
            f(corner + y * row + x * pixel, lanes);
        }
    }
}

#[inline(always)]
fn load<T: Element, const L: usize, const I: usize>(
    pixels: &[T],
    (corner, row, pixel): (usize, usize, usize),
) -> [[[T; L]; I]; I] {
    let mut tile = [[[T::ZERO; L]; I]; I];
    for (y, line) in tile.iter_mut().enumerate() {
        for (x, lanes) in line.iter_mut().enumerate() {
            let start = corner + y * row + x * pixel;
            lanes.copy_from_slice(&pixels[start..start + L]);
        }
    }
    tile
}

#[inline(always)]
fn read<T: Element, const L: usize>(matrices: &[&mut [T]], at: usize) -> [[[T; L]; 4]; 4] {
    let mut tile = [[[T::ZERO; L]; 4]; 4];
    for (lanes, matrix) in tile.iter_mut().flatten().zip(matrices) {
        lanes.copy_from_slice(&matrix[at..at + L]);
    }
    tile
}

#[inline(always)]
fn write<T: Element, const L: usize>(tile: &[[[T; L]; 4]; 4], matrices: &mut [&mut [T]], at: usize) {
    for (lanes, matrix) in tile.iter().flatten().zip(matrices) {
        matrix[at..at + L].copy_from_slice(lanes);
    }
}

/// A rectangle of pixels inside a larger image with channels last.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Height and width of the image with channels first.
    pub inner: (usize, usize),
    /// Width of the image with channels last.
    pub width: usize,
    /// Where its row and column 0 lie in the other.
    pub offset: usize,
}

impl Frame {
    /// Elements of the frame's row `y`, in pixels.
    fn row(self, y: usize) -> usize {
        (y + self.offset) * self.width + self.offset
    }

    /// `[channels, height, width]` into the frame of `[.., width, channels]`; leaves what is around it.
    pub fn to_channels_last<T: Element>(self, image: &[T], channels: usize, last: &mut [T]) {
        let (height, width) = self.inner;
        let area = height * width;
        for block in (0..channels).step_by(LANES) {
            let end = (block + LANES).min(channels);
            for y in 0..height {
                let start = self.row(y);
                for x in 0..width {
                    let out = &mut last[(start + x) * channels..][block..end];
                    let from = &image[block * area + y * width + x..];
                    for (out, &value) in out.iter_mut().zip(from.iter().step_by(area)) {
                        *out = value;
                    }
                }
            }
        }
    }

    /// The frame of `[.., width, channels]` to `[channels, height, width]`, plus `bias[channel]`.
    pub fn to_channels_first<T: Element>(
        self,
        last: &[T],
        channels: usize,
        bias: Option<&[T]>,
        image: &mut [T],
    ) {
        let (height, width) = self.inner;
        let area = height * width;
        for (channel, plane) in image.chunks_exact_mut(area).enumerate() {
            let bias = bias.map_or(T::ZERO, |bias| bias[channel]);
            for (y, line) in plane.chunks_exact_mut(width).enumerate() {
                let from = &last[self.row(y) * channels + channel..];
                for (out, &value) in line.iter_mut().zip(from.iter().step_by(channels)) {
                    *out = value + bias;
                }
            }
        }
    }
}
