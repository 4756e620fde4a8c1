//! The whole way from a path to tensors.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;

use super::attribute::Attribute;
use super::content::Content;
use super::error::{TensorProblem, TorchError};
use super::limits::Limits;
use super::source::Source;
use super::tensor::Layout;
use crate::checkpoint::input::Input;
use crate::checkpoint::{Raw, TensorInfo};

/// The content of a checkpoint.
#[derive(Debug)]
pub struct TorchFile {
    /// The class of the root module, such as `models.mlp.MLPNet`; `None` for a plain state dict.
    pub class: Option<String>,
    /// Names and values on the CPU, in the order of `state_dict()`. The types are those of the file, except that
    /// `bool` becomes `u8` and `i8` becomes `i16`.
    pub tensors: Vec<(String, Tensor)>,
    /// The root module's attributes whose names do not start with `_`; empty for a plain state dict.
    pub attributes: BTreeMap<String, Attribute>,
}

/// Reads a whole module or a state dict that `torch.save` wrote, in either format, under the default [`Limits`].
pub fn read(path: &Path) -> Result<TorchFile, TorchError> {
    read_with(path, &Limits::default())
}

/// Like [`read`], with other bounds.
pub fn read_with(path: &Path, limits: &Limits) -> Result<TorchFile, TorchError> {
    let input = Input::open(path).map_err(|source| TorchError::io(path, source))?;
    let mut opened = Opened::new(path, input, limits)?;
    let tensors = opened.load(limits)?;
    Ok(TorchFile {
        class: opened.content.class,
        tensors,
        attributes: opened.content.attributes,
    })
}

/// A file of which only the storages have not been read.
///
/// A storage is kept only until its last tensor is read, so one that is shared is read once.
pub(in crate::checkpoint) struct Opened {
    path: PathBuf,
    source: Source,
    content: Content,
    /// How many names still wait for a storage.
    uses: HashMap<Arc<str>, usize>,
    storages: HashMap<Arc<str>, Vec<u8>>,
}

impl Opened {
    pub(in crate::checkpoint) fn new(path: &Path, input: Input, limits: &Limits) -> Result<Self, TorchError> {
        let (source, content) = Source::open(path, input, limits)?;
        let mut uses = HashMap::new();
        for (_, place) in &content.names {
            let key = &content.layouts[*place].storage.key;
            *uses.entry(Arc::clone(key)).or_default() += 1;
        }
        Ok(Self {
            path: path.to_path_buf(),
            source,
            content,
            uses,
            storages: HashMap::new(),
        })
    }

    pub(in crate::checkpoint) const fn is_zip(&self) -> bool {
        matches!(self.source, Source::Zip(_))
    }

    pub(in crate::checkpoint) fn class(&self) -> Option<&str> {
        self.content.class.as_deref()
    }

    pub(in crate::checkpoint) const fn attributes(&self) -> &BTreeMap<String, Attribute> {
        &self.content.attributes
    }

    /// Where a training loop has put the weights.
    pub(in crate::checkpoint) fn under(&self) -> Option<&str> {
        Some(self.content.under.as_str()).filter(|under| !under.is_empty())
    }

    pub(in crate::checkpoint) const fn norms(&self) -> &BTreeMap<String, f64> {
        &self.content.norms
    }

    pub(in crate::checkpoint) fn infos(&self) -> Vec<TensorInfo> {
        let info = |(name, place): &(String, usize)| {
            let layout = &self.content.layouts[*place];
            TensorInfo {
                name: name.clone(),
                dtype: layout.storage.dtype,
                shape: layout.shape(),
            }
        };
        self.content.names.iter().map(info).collect()
    }

    /// Refuses what takes too much memory when it is read name by name: tied tensors count with each name.
    pub(in crate::checkpoint) fn check_names(&self, limits: &Limits) -> Result<(), TorchError> {
        let layouts = &self.content.layouts;
        let bytes = self.content.names.iter();
        self.check_bytes(limits, bytes.map(|(_, place)| layouts[*place].bytes()))
    }

    fn check_bytes(&self, limits: &Limits, bytes: impl Iterator<Item = u64>) -> Result<(), TorchError> {
        let bytes = bytes.fold(0, u64::saturating_add);
        let length = self.source.length();
        let limit = length.saturating_mul(16).saturating_add(1 << 20);
        let limit = limit.min(limits.tensor_bytes);
        if bytes > limit {
            return Err(TorchError::TensorBytes {
                path: self.path.clone(),
                bytes,
                limit,
            });
        }
        Ok(())
    }

    /// The tensor of one name. Every name is to be read once, in any order.
    pub(in crate::checkpoint) fn raw(&mut self, index: usize) -> Result<Raw<'static>, TorchError> {
        self.with_raw(index, |raw| {
            Ok(Raw {
                dtype: raw.dtype,
                shape: raw.shape,
                bytes: raw.bytes.into_owned().into(),
            })
        })
    }

    /// All of them; tied names get the same tensor.
    pub(in crate::checkpoint) fn load(
        &mut self,
        limits: &Limits,
    ) -> Result<Vec<(String, Tensor)>, TorchError> {
        self.check_bytes(limits, self.content.layouts.iter().map(Layout::bytes))?;
        let mut built: HashMap<usize, Tensor> = HashMap::new();
        let mut tensors = Vec::with_capacity(self.content.names.len());
        for index in 0..self.content.names.len() {
            let place = self.content.names[index].1;
            let tensor = if let Some(tensor) = built.get(&place) {
                let key = Arc::clone(&self.content.layouts[place].storage.key);
                self.release(&key);
                tensor.clone()
            } else {
                let build = |raw: Raw<'_>| raw.tensor().map_err(|e| TensorProblem::Candle(e.to_string()));
                let tensor = self.with_raw(index, build)?;
                built.insert(place, tensor.clone());
                tensor
            };
            tensors.push((self.content.names[index].0.clone(), tensor));
        }
        Ok(tensors)
    }

    fn with_raw<T>(
        &mut self,
        index: usize,
        make: impl FnOnce(Raw<'_>) -> Result<T, TensorProblem>,
    ) -> Result<T, TorchError> {
        let (name, place) = &self.content.names[index];
        let layout = &self.content.layouts[*place];
        let key = Arc::clone(&layout.storage.key);
        let bytes = match self.storages.remove(&key) {
            Some(bytes) => bytes,
            None => self.source.storage(&key)?,
        };
        let made = layout.raw(&bytes).and_then(make);
        let made = made.map_err(|problem| TorchError::Tensor {
            path: self.path.clone(),
            name: name.clone(),
            problem,
        })?;
        self.storages.insert(Arc::clone(&key), bytes);
        self.release(&key);
        Ok(made)
    }

    /// One name less waits for the storage.
    fn release(&mut self, key: &Arc<str>) {
        if let Some(left) = self.uses.get_mut(key) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.storages.remove(key);
            }
        }
    }
}
