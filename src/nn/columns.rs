//! One image as a matrix whose columns are the windows of a convolution, and the adjoint of that map.

use super::element::Element;
use super::window::Window;

/// An image `[channels, height, width]` and the window that slides over it.
#[derive(Debug, Clone, Copy)]
pub struct Image {
    /// Channels.
    pub channels: usize,
    /// Pixels.
    pub height: usize,
    /// Pixels.
    pub width: usize,
    /// What slides.
    pub window: Window,
    /// Positions of the window along both axes.
    pub positions: (usize, usize),
}

/// Where the columns of an image lie in a row-major matrix: `stride` from one row to the next, first column `start`.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Elements from one row to the next.
    pub stride: usize,
    /// The first column.
    pub start: usize,
}

impl Image {
    /// Elements.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Elements of a window: rows of the matrix.
    pub fn rows(&self) -> usize {
        self.channels * self.window.kernel.0 * self.window.kernel.1
    }

    /// Positions: columns of the matrix.
    pub fn columns(&self) -> usize {
        self.positions.0 * self.positions.1
    }

    /// Calls `f(row, channel, ky, kx)` for each row of the matrix, `row = (channel kh + ky) kw + kx` as in PyTorch.
    fn each_row(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        let (height, width) = self.window.kernel;
        for channel in 0..self.channels {
            for ky in 0..height {
                for kx in 0..width {
                    f((channel * height + ky) * width + kx, channel, ky, kx);
                }
            }
        }
    }

    /// Writes the columns of `image`, zeros where a window reaches beyond it.
    pub fn write_columns<T: Element>(&self, image: &[T], matrix: &mut [T], place: Place) {
        let Window { stride, padding, .. } = self.window;
        let (down, along) = self.positions;
        self.each_row(|row, channel, ky, kx| {
            let plane = &image[channel * self.height * self.width..][..self.height * self.width];
            let out = &mut matrix[row * place.stride + place.start..][..down * along];
            let (ys, xs) = (
                self.window.inside(ky, self.height, down),
                self.window.inside(kx, self.width, along),
            );
            for (y, out) in out.chunks_exact_mut(along).enumerate() {
                if !ys.contains(&y) || xs.is_empty() {
                    out.fill(T::ZERO);
                    continue;
                }
                let line = &plane[(y * stride + ky - padding) * self.width..][..self.width];
                let line = &line[xs.start * stride + kx - padding..];
                out[..xs.start].fill(T::ZERO);
                out[xs.end..].fill(T::ZERO);
                let out = &mut out[xs.clone()];
                if stride == 1 {
                    out.copy_from_slice(&line[..out.len()]);
                } else {
                    for (out, &pixel) in out.iter_mut().zip(line.iter().step_by(stride)) {
                        *out = pixel;
                    }
                }
            }
        });
    }

    /// The adjoint: adds each element of the matrix to the pixel that it was read from.
    pub fn add_columns<T: Element>(&self, matrix: &[T], place: Place, image: &mut [T]) {
        let Window { stride, padding, .. } = self.window;
        let (down, along) = self.positions;
        self.each_row(|row, channel, ky, kx| {
            let plane = &mut image[channel * self.height * self.width..][..self.height * self.width];
            let columns = &matrix[row * place.stride + place.start..][..down * along];
            let xs = self.window.inside(kx, self.width, along);
            if xs.is_empty() {
                return;
            }
            for y in self.window.inside(ky, self.height, down) {
                let line = &mut plane[(y * stride + ky - padding) * self.width..][..self.width];
                let line = &mut line[xs.start * stride + kx - padding..];
                let columns = &columns[y * along..][xs.clone()];
                for (pixel, &value) in line.iter_mut().step_by(stride).zip(columns) {
                    *pixel += value;
                }
            }
        });
    }
}
