//! The whole way from a path to tensors.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use candle_core::Tensor;

use super::attribute::Attribute;
use super::container::Archive;
use super::error::{TensorProblem, TorchError};
use super::limits::Limits;
use super::module::{self, Plan};
use super::pickle::{self, Tree};
use super::tensor::Layout;
use super::value::{Handle, Node};

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

/// Reads a whole module or a state dict that `torch.save` (1.6 or later) wrote, under the default [`Limits`].
pub fn read(path: &Path) -> Result<TorchFile, TorchError> {
    read_with(path, &Limits::default())
}

/// Like [`read`], with other bounds.
pub fn read_with(path: &Path, limits: &Limits) -> Result<TorchFile, TorchError> {
    let mut archive = Archive::open(path)?;
    let bytes = archive.pickle(limits)?;
    let tree = pickle::load(&bytes, limits).map_err(|fault| TorchError::Pickle {
        path: path.to_path_buf(),
        offset: fault.offset,
        problem: fault.problem,
    })?;
    let plan = module::plan(&tree, limits).map_err(|problem| TorchError::Layout {
        path: path.to_path_buf(),
        problem,
    })?;
    let loader = Loader::new(path, &mut archive, &tree, &plan);
    loader.check_bytes(limits)?;
    let tensors = loader.load(&plan)?;
    Ok(TorchFile {
        class: plan.class,
        tensors,
        attributes: plan.attributes,
    })
}

/// Builds each tensor once, however many names it has, and keeps a storage only until its last tensor is built.
struct Loader<'t, 'a> {
    path: &'t Path,
    archive: &'t mut Archive,
    layouts: Vec<(Handle, &'t str, &'t Layout<'a>)>,
}

impl<'t, 'a> Loader<'t, 'a> {
    fn new(path: &'t Path, archive: &'t mut Archive, tree: &'t Tree<'a>, plan: &'t Plan) -> Self {
        let mut seen = HashSet::new();
        let mut layouts = Vec::new();
        for (name, handle) in &plan.tensors {
            if let Node::Tensor(layout) = tree.arena.get(*handle)
                && seen.insert(*handle)
            {
                layouts.push((*handle, name.as_str(), &**layout));
            }
        }
        Self {
            path,
            archive,
            layouts,
        }
    }

    fn check_bytes(&self, limits: &Limits) -> Result<(), TorchError> {
        let bytes = self
            .layouts
            .iter()
            .fold(0, |sum: u64, (_, _, layout)| sum.saturating_add(layout.bytes()));
        let limit = self
            .archive
            .length()
            .saturating_mul(16)
            .saturating_add(1 << 20)
            .min(limits.tensor_bytes);
        if bytes > limit {
            return Err(TorchError::TensorBytes {
                path: self.path.to_path_buf(),
                bytes,
                limit,
            });
        }
        Ok(())
    }

    fn load(self, plan: &Plan) -> Result<Vec<(String, Tensor)>, TorchError> {
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for (_, _, layout) in &self.layouts {
            *uses.entry(layout.storage.key).or_default() += 1;
        }
        let mut storages: HashMap<&str, Vec<u8>> = HashMap::new();
        let mut built = HashMap::new();
        for (handle, name, layout) in self.layouts {
            let key = layout.storage.key;
            let bytes = match storages.remove(key) {
                Some(bytes) => bytes,
                None => self.archive.storage(key)?,
            };
            let tensor = layout
                .build(&bytes)
                .map_err(|problem| error(self.path, name, problem))?;
            built.insert(handle, tensor);
            if let Some(left) = uses.get_mut(key) {
                *left -= 1;
                if *left > 0 {
                    storages.insert(key, bytes);
                }
            }
        }
        let named = |(name, handle): &(String, Handle)| Some((name.clone(), built.get(handle)?.clone()));
        Ok(plan.tensors.iter().filter_map(named).collect())
    }
}

fn error(path: &Path, name: &str, problem: TensorProblem) -> TorchError {
    TorchError::Tensor {
        path: path.to_path_buf(),
        name: name.to_owned(),
        problem,
    }
}
