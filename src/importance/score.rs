//! What an importance score is to the rest of the program.

use candle_core::{DType, Result, Tensor};

use super::Place;
use crate::arch::{LayerKind, Network};
use crate::gpu;
use crate::tick::Tick;

/// Added to every score, as in the reference.
pub(super) const EPSILON: f64 = 1e-8;

/// What the program says about a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoreInfo {
    /// Name in manifests.
    pub name: &'static str,
    /// Name in tables.
    pub label: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Version of its arithmetic. Raising it runs the jobs again that use it.
    pub version: u32,
}

/// An importance score: a file with a type that implements this, and its name in `importance/list.rs`.
pub trait Score {
    /// What the program says about it.
    const INFO: ScoreInfo;

    /// Sums over samples of the neurons' absolute values, `[place][neuron]`, for one batch: `images [N, C, H, W]` in the
    /// network's precision with `labels [N]` (u32).
    fn sums(
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        place: Place,
        on_tick: &mut Tick,
    ) -> Result<Vec<Vec<f64>>>;

    /// The scores: means of the [sums](Score::sums) over all samples, plus 1e-8, `[place][neuron]`.
    fn scores(
        network: &Network,
        images: &Tensor,
        labels: &Tensor,
        place: Place,
        on_tick: &mut Tick,
    ) -> Result<Vec<Vec<f64>>> {
        let samples = images.dim(0)?;
        let widths = place.widths(network);
        let dtype = precision(network);
        let network = &network.to_dtype(dtype)?;
        let mut totals: Vec<Vec<f64>> = widths.iter().map(|&width| vec![0.0; width]).collect();
        let batch = batch_size(network, images)?;
        for first in (0..samples).step_by(batch) {
            let count = batch.min(samples - first);
            let images = &images.narrow(0, first, count)?.to_dtype(dtype)?;
            let labels = &labels.narrow(0, first, count)?;
            let sums = Self::sums(network, images, labels, place, on_tick)?;
            for (total, sum) in totals.iter_mut().flatten().zip(sums.iter().flatten()) {
                *total += sum;
            }
        }
        for total in totals.iter_mut().flatten() {
            *total = *total / samples as f64 + EPSILON;
        }
        Ok(totals)
    }
}

/// f64 where the layers are linear maps only, f32 where convolutions or attention make the passes long.
fn precision(network: &Network) -> DType {
    let plan = &network.plan;
    if plan.chain && plan.layers.iter().all(|layer| layer.kind == LayerKind::Linear) {
        DType::F64
    } else {
        DType::F32
    }
}

/// Samples per pass: as many as keep the outputs of all levels below some hundred megabytes.
fn batch_size(network: &Network, images: &Tensor) -> Result<usize> {
    const VALUES: usize = 1 << 24;
    let outputs = network.level_outputs(&images.narrow(0, 0, 1)?.to_dtype(precision(network))?)?;
    let values: usize = outputs.iter().map(Tensor::elem_count).sum();
    Ok((gpu::chunk(VALUES) / values.max(1)).clamp(1, 1000))
}
