//! Models that jobs have made, loaded once for all jobs of the process that need them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;

use super::JobError;
use crate::arch::Network;
use crate::checkpoint::{self, Meta};
use crate::plan::Dependency;
use crate::result::{Record, Store};

/// Bytes of models that are kept for jobs to come; those in use are kept by their users.
const BUDGET: usize = 512 << 20;
/// Models that are kept, however small: looking one up goes through the list.
const MOST: usize = 256;

/// A job's record and the network it made, checked against each other.
#[derive(Debug)]
pub(super) struct Model {
    pub record: Record,
    pub network: Network,
    pub meta: Meta,
}

/// A place for one model. Who wants it while another loads it waits for that one.
type Slot = Arc<Mutex<Option<Arc<Model>>>>;

/// The models loaded last.
#[derive(Debug, Default)]
pub(super) struct ModelCache {
    /// By key of the job, oldest first; with their sizes, 0 while they are loaded.
    slots: Mutex<VecDeque<(String, usize, Slot)>>,
}

impl ModelCache {
    /// The model that another job has made, whose data has so many classes.
    pub fn get(
        &self,
        need: &Dependency,
        classes: usize,
        from: (&Store, &Device),
    ) -> Result<Arc<Model>, JobError> {
        let slot = self.slot(&need.key);
        let mut place = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = &*place {
            return Ok(model.clone());
        }
        let model = Arc::new(load(need, classes, from)?);
        *place = Some(model.clone());
        drop(place);
        self.make_room(&need.key, size(&model));
        Ok(model)
    }

    fn slot(&self, key: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, slot)) = slots.iter().rev().find(|(known, _, _)| known == key) {
            return slot.clone();
        }
        let slot = Slot::default();
        slots.push_back((key.to_string(), 0, slot.clone()));
        slot
    }

    fn make_room(&self, key: &str, size: usize) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = slots.iter_mut().rev().find(|(known, _, _)| known == key) {
            entry.1 = size;
        }
        let mut total: usize = slots.iter().map(|(_, size, _)| size).sum();
        while slots.len() > MOST || (total > BUDGET && slots.len() > 1) {
            let Some((_, size, _)) = slots.pop_front() else {
                return;
            };
            total -= size;
        }
    }
}

fn size(model: &Model) -> usize {
    let tensors = model.network.state();
    let numbers: usize = tensors.iter().map(|(_, tensor)| tensor.elem_count()).sum();
    numbers * 4 + (model.meta.train_indices.len() + model.meta.val_indices.len()) * 8
}

fn load(need: &Dependency, classes: usize, (store, device): (&Store, &Device)) -> Result<Model, JobError> {
    let record = store.load(&need.job)?;
    // A name says little: the record may have been made anew, for other settings.
    if record.key != need.key {
        return Err(JobError::Changed {
            what: format!("the result of `{}`", need.job),
        });
    }
    let hash = record.diagnostics["checkpoint"]["blake3"].as_str();
    let hash = hash.ok_or_else(|| JobError::Dependency {
        job: need.job.clone(),
        what: "its checkpoint's hash",
    })?;
    let loaded = checkpoint::load(&store.checkpoint_path(&need.job), Some(hash))?;
    let meta = loaded.meta;
    let network = Network::from_state(&meta.architecture, &meta.image, classes, &loaded.state, device)?;
    Ok(Model {
        record,
        network,
        meta,
    })
}
