//! Sizes of sliding windows.

use candle_core::{Result, bail};

/// A window that slides over planes, the same stride and padding in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub kernel: (usize, usize),
    /// Pixels from one position to the next.
    pub stride: usize,
    /// Pixels around the plane on each of its four sides.
    pub padding: usize,
}

impl Window {
    /// Positions along both axes: `(size + 2 padding - kernel) / stride + 1`, rounded down. Errors where the kernel or
    /// the stride is 0 and where the kernel is larger than the padded plane.
    pub fn positions(&self, (height, width): (usize, usize)) -> Result<(usize, usize)> {
        let Self {
            kernel,
            stride,
            padding,
        } = *self;
        let padded = (height + 2 * padding, width + 2 * padding);
        if stride == 0 || kernel.0 == 0 || kernel.1 == 0 || kernel.0 > padded.0 || kernel.1 > padded.1 {
            bail!(
                "a {}x{} window with stride {stride} and padding {padding} does not fit a {height}x{width} plane",
                kernel.0,
                kernel.1
            );
        }
        Ok((
            (padded.0 - kernel.0) / stride + 1,
            (padded.1 - kernel.1) / stride + 1,
        ))
    }

    /// The positions whose pixel at `offset` in the window lies inside an axis of `size` pixels: `start..end` with
    /// `end <= positions`, possibly empty. The pixel of position `i` is `i stride + offset - padding`.
    pub fn inside(&self, offset: usize, size: usize, positions: usize) -> std::ops::Range<usize> {
        let start = self.padding.saturating_sub(offset).div_ceil(self.stride);
        let end = (size + self.padding)
            .saturating_sub(offset)
            .div_ceil(self.stride)
            .min(positions);
        start.min(end)..end
    }
}
