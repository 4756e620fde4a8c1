//! Where batches come from, and their making ahead of the steps that use them.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, scope};

use candle_core::{Result, Tensor};

use super::TrainError;

/// Samples to train or to measure on. What a batch holds depends on the arguments alone, for several threads make
/// batches at the same time.
pub trait Source: Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples `chosen`, each below [`Source::len`]; they are those from position `first` on in the order of
    /// `epoch`.
    fn batch(&self, epoch: usize, first: usize, chosen: &[u32]) -> Result<Batch>;
}

/// Some samples.
#[derive(Debug)]
pub struct Batch {
    /// `[n, C, H, W]`.
    pub images: Tensor,
    /// `[n]`, u32.
    pub labels: Tensor,
    /// Where images are mixtures: labels of the other parts, and the share of the first.
    pub mixed: Option<(Tensor, f64)>,
}

/// Images and labels as they are.
impl Source for (Tensor, Tensor) {
    fn len(&self) -> usize {
        self.1.elem_count()
    }

    fn batch(&self, _epoch: usize, _first: usize, chosen: &[u32]) -> Result<Batch> {
        let index = Tensor::new(chosen, self.0.device())?;
        Ok(Batch {
            images: self.0.index_select(&index, 0)?,
            labels: self.1.index_select(&index, 0)?,
            mixed: None,
        })
    }
}

/// The order of one epoch, cut into batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut<'a> {
    /// From 0.
    pub epoch: usize,
    /// All samples.
    pub order: &'a [u32],
    /// Samples in a batch.
    pub size: usize,
    /// Batches to leave out, from the first.
    pub skip: usize,
}

impl Cut<'_> {
    fn get(&self, number: usize) -> Option<(usize, &[u32])> {
        let first = number * self.size;
        let last = self.order.len().min(first + self.size);
        (first < last).then(|| (first, &self.order[first..last]))
    }

    /// Number of batches in the epoch.
    pub fn len(&self) -> usize {
        self.order.len().div_ceil(self.size)
    }
}

/// Gives `use_batch` every batch in turn with its number, while up to `workers` threads make the next ones: each has
/// one ready and one in the making. Their number changes nothing but time.
pub(super) fn each_batch(
    source: &dyn Source,
    cut: Cut,
    workers: usize,
    mut use_batch: impl FnMut(usize, Batch) -> std::result::Result<(), TrainError>,
) -> std::result::Result<(), TrainError> {
    let workers = workers.min(cut.len().saturating_sub(cut.skip)).max(1);
    scope(|scope| {
        let mut ready: Vec<Receiver<Result<Batch>>> = Vec::with_capacity(workers);
        for worker in 0..workers {
            let (sender, receiver) = sync_channel(1);
            let work = move || {
                for number in (cut.skip + worker..).step_by(workers) {
                    let Some((first, chosen)) = cut.get(number) else {
                        break;
                    };
                    // Nobody listens any more: training has stopped.
                    if sender.send(source.batch(cut.epoch, first, chosen)).is_err() {
                        break;
                    }
                }
            };
            Builder::new()
                .name(format!("batches {worker}"))
                .spawn_scoped(scope, work)
                .map_err(TrainError::Thread)?;
            ready.push(receiver);
        }
        for number in cut.skip..cut.len() {
            let worker = (number - cut.skip) % workers;
            // A thread that is gone has panicked, and the scope passes that on.
            let Ok(batch) = ready[worker].recv() else { break };
            use_batch(number, batch?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn batches_come_in_order_from_any_number_of_threads() {
        let images = Tensor::arange(0f32, 23.0, &Device::Cpu).expect("tensor");
        let labels = Tensor::arange(0u32, 23, &Device::Cpu).expect("tensor");
        let source = (images, labels);
        let order: Vec<u32> = (0..23).rev().collect();
        for workers in [1, 2, 3, 50] {
            for skip in [0, 1, 5, 6] {
                let mut seen = Vec::new();
                let cut = Cut {
                    epoch: 0,
                    order: &order,
                    size: 4,
                    skip,
                };
                each_batch(&source, cut, workers, |number, batch| {
                    assert_eq!(number, skip + seen.len() / 4);
                    seen.extend(batch.labels.to_vec1::<u32>()?);
                    Ok(())
                })
                .expect("batches");
                assert_eq!(seen, order[(skip * 4).min(23)..]);
            }
        }
    }

    #[test]
    fn a_stop_in_the_middle_ends_the_threads() {
        let images = Tensor::zeros(100, candle_core::DType::F32, &Device::Cpu).expect("tensor");
        let labels = Tensor::zeros(100, candle_core::DType::U32, &Device::Cpu).expect("tensor");
        let order: Vec<u32> = (0..100).collect();
        let cut = Cut {
            epoch: 0,
            order: &order,
            size: 1,
            skip: 0,
        };
        let stopped = each_batch(&(images, labels), cut, 4, |number, _| match number {
            7 => Err(TrainError::Stopped),
            _ => Ok(()),
        });
        assert!(matches!(stopped, Err(TrainError::Stopped)));
    }
}
