//! Samples of a data set as training takes them.

use candle_core::{Device, Result, Tensor};

use crate::data::{Augmenter, Mix, Part};
use crate::seed;
use crate::train::{Batch, Source};

/// Some images of a part of a data set, varied or as they are.
pub(super) struct Samples<'a> {
    part: &'a Part,
    /// `None` for all.
    indices: Option<&'a [usize]>,
    device: &'a Device,
    vary: Option<Variation>,
}

/// How images are varied, and from which seed: the draws for a sample depend on this seed, the epoch and the sample's
/// position in the epoch, and on nothing else.
pub(super) struct Variation {
    /// The augmentations.
    pub augmenter: Augmenter,
    /// What the draws are for.
    pub purpose: &'static str,
    /// Seed of the job.
    pub seed: u64,
    /// What tells the model from others of the same seed.
    pub stream: u64,
}

impl<'a> Samples<'a> {
    /// As they are.
    pub fn plain(part: &'a Part, indices: Option<&'a [usize]>, device: &'a Device) -> Self {
        Self {
            part,
            indices,
            device,
            vary: None,
        }
    }

    /// Varied.
    pub fn varied(part: &'a Part, indices: &'a [usize], device: &'a Device, vary: Variation) -> Self {
        Self {
            vary: Some(vary).filter(|vary| !vary.augmenter.is_empty()),
            ..Self::plain(part, Some(indices), device)
        }
    }

    /// Normalised images `[n, C, H, W]`, and how they were mixed.
    fn varied_images(
        &self,
        vary: &Variation,
        (epoch, first): (usize, usize),
        indices: &[usize],
    ) -> Result<(Tensor, Option<Mix>)> {
        let shape = self.part.shape();
        let image: usize = shape.iter().product();
        let generator = |whole_batch: bool, at: usize| {
            let extra = [vary.stream, u64::from(whole_batch), epoch as u64, at as u64];
            seed::generator(vary.seed, vary.purpose, &extra)
        };
        let mut values = Vec::with_capacity(indices.len() * image);
        for (i, &index) in indices.iter().enumerate() {
            let mut rng = generator(false, first + i);
            let pixels = vary.augmenter.bytes(shape, self.part.pixels(index)?, &mut rng);
            self.part.normalise(&pixels, &mut values);
            vary.augmenter.values(shape, &mut values[i * image..], &mut rng);
        }
        let mut rng = generator(true, first);
        let mix = vary.augmenter.batch(shape, &mut values, &mut rng);
        let [channels, height, width] = shape;
        let images = Tensor::from_vec(values, (indices.len(), channels, height, width), self.device)?;
        Ok((images, mix))
    }
}

impl Source for Samples<'_> {
    fn len(&self) -> usize {
        self.indices.map_or(self.part.len(), <[usize]>::len)
    }

    fn batch(&self, epoch: usize, first: usize, chosen: &[u32]) -> Result<Batch> {
        let index = |&at: &u32| self.indices.map_or(at as usize, |indices| indices[at as usize]);
        let indices: Vec<usize> = chosen.iter().map(index).collect();
        let labels = self.part.labels_tensor(Some(&indices), self.device)?;
        let Some(vary) = &self.vary else {
            let images = self.part.images(Some(&indices), self.device)?;
            return Ok(Batch {
                images,
                labels,
                mixed: None,
            });
        };
        let (images, mix) = self.varied_images(vary, (epoch, first), &indices)?;
        let mixed = mix.map(|Mix { partners, share }| {
            let others: Vec<usize> = partners.iter().map(|&partner| indices[partner]).collect();
            let labels = self.part.labels_tensor(Some(&others), self.device)?;
            Ok::<_, candle_core::Error>((labels, share))
        });
        Ok(Batch {
            images,
            labels,
            mixed: mixed.transpose()?,
        })
    }
}
