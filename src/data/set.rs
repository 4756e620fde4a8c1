//! A data set in memory: bytes as published, normalised on the way into a tensor.

use std::fmt;
use std::sync::Arc;

use candle_core::{Device, Error, Result, Tensor};

use super::pixels::Pixels;

/// Per-channel normalisation `(pixel / scale - mean) / std`, all in f32 and in this order of operations, as
/// torchvision's `ToTensor` (scale 255) and `Normalize` compute it.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalisation {
    /// The largest pixel value.
    pub scale: f32,
    /// One mean per channel, in units of `pixel / scale`.
    pub mean: Vec<f32>,
    /// One standard deviation per channel, in the same units.
    pub std: Vec<f32>,
}

impl Normalisation {
    /// The normalised values of the 256 pixel values, per channel.
    fn table(&self) -> Vec<[f32; 256]> {
        let row = |(mean, std): (&f32, &f32)| {
            std::array::from_fn(|pixel| ((pixel as f32 / self.scale) - mean) / std)
        };
        self.mean.iter().zip(&self.std).map(row).collect()
    }
}

/// One part of a data set: `N` images of one shape `[C, H, W]` and their labels. Cheap to clone.
#[derive(Clone)]
pub struct Part {
    shape: [usize; 3],
    /// `N * C * H * W` bytes, row-major.
    pixels: Arc<Pixels>,
    labels: Arc<[u32]>,
    table: Arc<[[f32; 256]]>,
    normalisation: Arc<Normalisation>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("len", &self.len())
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl Part {
    /// A part from raw pixels `[N, C, H, W]` (row-major bytes), `N` labels and one normalisation of `C` channels.
    ///
    /// Errors where the lengths disagree.
    pub fn new(
        shape: [usize; 3],
        pixels: impl Into<Pixels>,
        labels: Vec<u32>,
        normalisation: &Normalisation,
    ) -> Result<Self> {
        let pixels = pixels.into();
        let table = normalisation.table();
        if table.len() != shape[0] || pixels.len() != labels.len() * shape.iter().product::<usize>() {
            candle_core::bail!(
                "{} pixels, {} labels and {} normalised channels do not make images of shape {shape:?}",
                pixels.len(),
                labels.len(),
                table.len(),
            );
        }
        Ok(Self {
            shape,
            pixels: Arc::new(pixels),
            labels: labels.into(),
            table: table.into(),
            normalisation: Arc::new(normalisation.clone()),
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How pixels become values.
    pub fn normalisation(&self) -> &Normalisation {
        &self.normalisation
    }

    /// `[C, H, W]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The `N` labels, each below the data set's number of classes.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The normalised images of `indices` (all where `None`), in that order: `[n, C, H, W]`, f32.
    ///
    /// Errors where an index is not below [`Part::len`].
    pub fn images(&self, indices: Option<&[usize]>, device: &Device) -> Result<Tensor> {
        let [channels, height, width] = self.shape;
        let image = channels * height * width;
        let count = indices.map_or(self.len(), <[usize]>::len);
        let mut values = Vec::with_capacity(count * image);
        for position in 0..count {
            let index = self.at(indices, position)?;
            self.normalise(&self.pixels[index * image..(index + 1) * image], &mut values);
        }
        Tensor::from_vec(values, (count, channels, height, width), device)
    }

    /// The bytes `[C, H, W]` of one image.
    ///
    /// Errors where the index is not below [`Part::len`].
    pub fn pixels(&self, index: usize) -> Result<&[u8]> {
        let image: usize = self.shape.iter().product();
        let index = self.at(Some(&[index]), 0)?;
        Ok(&self.pixels[index * image..(index + 1) * image])
    }

    /// Appends the normalised values of an image's bytes `[C, H, W]`.
    pub fn normalise(&self, pixels: &[u8], values: &mut Vec<f32>) {
        let plane = self.shape[1] * self.shape[2];
        for (pixels, table) in pixels.chunks_exact(plane.max(1)).zip(self.table.iter()) {
            values.extend(pixels.iter().map(|&pixel| table[usize::from(pixel)]));
        }
    }

    /// The bytes of all images, `[N, C, H, W]`, and the normalised values of the 256 values of a byte, `[C, 256]`.
    pub fn raw(&self, device: &Device) -> Result<(Tensor, Tensor)> {
        let [channels, height, width] = self.shape;
        let shape = (self.len(), channels, height, width);
        let pixels = Tensor::from_slice(self.pixels.as_ref(), shape, device)?;
        let table: Vec<f32> = self.table.iter().flatten().copied().collect();
        Ok((pixels, Tensor::from_vec(table, (channels, 256), device)?))
    }

    /// The labels of `indices` (all where `None`), in that order: `[n]`, u32.
    ///
    /// Errors where an index is not below [`Part::len`].
    pub fn labels_tensor(&self, indices: Option<&[usize]>, device: &Device) -> Result<Tensor> {
        let count = indices.map_or(self.len(), <[usize]>::len);
        let labels: Result<Vec<u32>> = (0..count)
            .map(|position| Ok(self.labels[self.at(indices, position)?]))
            .collect();
        Tensor::from_vec(labels?, count, device)
    }

    fn at(&self, indices: Option<&[usize]>, position: usize) -> Result<usize> {
        let index = indices.map_or(position, |indices| indices[position]);
        if index < self.len() {
            Ok(index)
        } else {
            Err(Error::Msg(format!(
                "image {index} was asked for, but there are only {}",
                self.len()
            )))
        }
    }
}

/// A data set: a training and a test part of one shape.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// Its name in [`super::NAMES`], or its path.
    pub name: String,
    /// Number of classes; labels lie below it.
    pub classes: usize,
    /// `[C, H, W]` of every image.
    pub shape: [usize; 3],
    /// What base models and fusions learn from.
    pub train: Part,
    /// What models are measured on.
    pub test: Part,
    /// blake3 (hex) of the decoded content and of how it is cut and normalised; equal to what [`super::check`] returns.
    pub hash: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Part {
        let normalisation = Normalisation {
            scale: 10.0,
            mean: vec![0.5, 0.0],
            std: vec![0.5, 2.0],
        };
        Part::new(
            [2, 1, 2],
            vec![0, 10, 0, 10, 5, 5, 5, 5],
            vec![3, 1],
            &normalisation,
        )
        .expect("consistent")
    }

    #[test]
    fn images_are_normalised_per_channel_and_picked_in_order() {
        let images = part().images(Some(&[1, 0, 1]), &Device::Cpu).expect("in range");
        assert_eq!(images.dims(), [3, 2, 1, 2]);
        let values: Vec<f32> = images.flatten_all().and_then(|t| t.to_vec1()).expect("f32");
        assert_eq!(values[..8], [0.0, 0.0, 0.25, 0.25, -1.0, 1.0, 0.0, 0.5]);
        let labels = part()
            .labels_tensor(Some(&[1, 0]), &Device::Cpu)
            .expect("in range");
        assert_eq!(labels.to_vec1::<u32>().expect("u32"), [1, 3]);
    }

    #[test]
    fn an_index_out_of_range_or_a_wrong_length_is_an_error() {
        assert!(part().images(Some(&[2]), &Device::Cpu).is_err());
        assert!(part().labels_tensor(Some(&[0, 2]), &Device::Cpu).is_err());
        let normalisation = Normalisation {
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
        };
        assert!(Part::new([1, 2, 2], vec![0; 7], vec![0, 1], &normalisation).is_err());
        assert!(Part::new([2, 2, 1], vec![0; 8], vec![0, 1], &normalisation).is_err());
    }
}
