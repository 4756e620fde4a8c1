//! Samples of a data set as training takes them.

use candle_core::{Device, Result, Tensor};

use crate::data::{Augmenter, Mix, MixPart, Part};
use crate::gpu;
use crate::seed;
use crate::train::{Batch, Source};

/// Some images of a part of a data set, varied or as they are.
pub(super) struct Samples<'a> {
    part: &'a Part,
    /// `None` for all.
    indices: Option<&'a [usize]>,
    device: &'a Device,
    vary: Option<Variation>,
    /// Where the device is a GPU: the part there.
    resident: Option<&'a Resident>,
}

/// The images of a part of a data set on a GPU, as bytes.
pub(super) struct Resident {
    pixels: Tensor,
    table: Tensor,
}

impl Resident {
    /// The part on this device, if that is a GPU.
    pub fn of(part: &Part, device: &Device) -> Result<Option<Self>> {
        if !device.is_cuda() {
            return Ok(None);
        }
        let (pixels, table) = part.raw(device)?;
        Ok(Some(Self { pixels, table }))
    }
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

impl Variation {
    /// Draws for one sample at a position of the epoch, or for the batch that begins there.
    fn generator(&self, whole_batch: bool, epoch: usize, at: usize) -> rand_chacha::ChaCha8Rng {
        let extra = [self.stream, u64::from(whole_batch), epoch as u64, at as u64];
        seed::generator(self.seed, self.purpose, &extra)
    }
}

impl<'a> Samples<'a> {
    /// As they are.
    pub fn plain(part: &'a Part, indices: Option<&'a [usize]>, device: &'a Device) -> Self {
        Self {
            part,
            indices,
            device,
            vary: None,
            resident: None,
        }
    }

    /// The same, made where the part is.
    pub fn at(self, resident: Option<&'a Resident>) -> Self {
        Self { resident, ..self }
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
        let mut values = Vec::with_capacity(indices.len() * image);
        for (i, &index) in indices.iter().enumerate() {
            let mut rng = vary.generator(false, epoch, first + i);
            let pixels = vary.augmenter.bytes(shape, self.part.pixels(index)?, &mut rng);
            self.part.normalise(&pixels, &mut values);
            vary.augmenter.values(shape, &mut values[i * image..], &mut rng);
        }
        let mut rng = vary.generator(true, epoch, first);
        let mix = vary.augmenter.batch(shape, &mut values, &mut rng);
        let [channels, height, width] = shape;
        let images = Tensor::from_vec(values, (indices.len(), channels, height, width), self.device)?;
        Ok((images, mix))
    }
}

/// On a GPU: crops, flips and mixtures by kernels, from the same draws as on the CPU and with the same bits.
impl Samples<'_> {
    /// Normalised images `[n, C, H, W]`, and how they were mixed; `None` where images are varied in ways of the CPU.
    fn on_gpu(
        &self,
        resident: &Resident,
        (epoch, first): (usize, usize),
        indices: &[usize],
    ) -> Result<Option<(Tensor, Option<Mix>)>> {
        let border = match &self.vary {
            None => Some(0),
            Some(vary) => vary.augmenter.moves_only(),
        };
        let Some(border) = border else { return Ok(None) };
        let draws: Vec<gpu::Draw> = (0..indices.len())
            .map(|i| {
                let (top, left, flip) = match &self.vary {
                    None => (0, 0, false),
                    Some(vary) => vary.augmenter.moves(&mut vary.generator(false, epoch, first + i)),
                };
                gpu::Draw {
                    top: top as u32,
                    left: left as u32,
                    flip,
                }
            })
            .collect();
        let chosen: Vec<u32> = indices.iter().map(|&index| index as u32).collect();
        let images = gpu::augment(&resident.pixels, &resident.table, &chosen, &draws, border)?;
        let mix = self.vary.as_ref().and_then(|vary| {
            let mut rng = vary.generator(true, epoch, first);
            vary.augmenter.mix(self.part.shape(), indices.len(), &mut rng)
        });
        let Some(mix) = mix else {
            return Ok(Some((images, None)));
        };
        let partners: Vec<u32> = mix.partners.iter().map(|&partner| partner as u32).collect();
        let images = match &mix.part {
            MixPart::Window(window) => {
                gpu::cutmix(&images, &partners, window.rows.clone(), window.columns.clone())
            }
            MixPart::Shares(own, other) => gpu::mixup(&images, &partners, *own, *other),
        }?;
        Ok(Some((images, Some(mix))))
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
        let made = match self.resident {
            Some(resident) => self.on_gpu(resident, (epoch, first), &indices)?,
            None => None,
        };
        let (images, mix) = match (made, &self.vary) {
            (Some(made), _) => made,
            (None, Some(vary)) => self.varied_images(vary, (epoch, first), &indices)?,
            (None, None) => (self.part.images(Some(&indices), self.device)?, None),
        };
        let mixed = mix.map(|Mix { partners, share, .. }| {
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
