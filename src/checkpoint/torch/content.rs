//! What a checkpoint holds, without the values: it outlives the pickle.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::attribute::Attribute;
use super::error::LayoutProblem;
use super::limits::Limits;
use super::module::{self, Plan};
use super::pickle::Tree;
use super::tensor::Layout;
use super::value::{Handle, Node};

/// Names, layouts and attributes.
#[derive(Debug)]
pub(super) struct Content {
    /// The class of the root module; `None` for a state dict.
    pub(super) class: Option<String>,
    pub(super) attributes: BTreeMap<String, Attribute>,
    /// In the order of `state_dict()`: names, each with its place in `layouts`. Tied tensors share one.
    pub(super) names: Vec<(String, usize)>,
    pub(super) layouts: Vec<Layout<Arc<str>>>,
    /// Where a training loop has put the weights; empty where they are the whole file.
    pub(super) under: String,
    /// The `eps` of normalisations, by the module's name.
    pub(super) norms: BTreeMap<String, f64>,
}

impl Content {
    pub(super) fn new(tree: &Tree<'_>, limits: &Limits) -> Result<Self, LayoutProblem> {
        let Plan {
            class,
            tensors,
            attributes,
            under,
            norms,
        } = module::plan(tree, limits)?;
        let mut places: HashMap<Handle, usize> = HashMap::new();
        // Each key is copied once, so that all of them together are no longer than the pickle.
        let mut keys: HashMap<&str, Arc<str>> = HashMap::new();
        let mut names = Vec::with_capacity(tensors.len());
        let mut layouts = Vec::new();
        for (name, handle) in tensors {
            let Node::Tensor(layout) = tree.arena.get(handle) else {
                continue;
            };
            let place = *places.entry(handle).or_insert_with(|| {
                let key = layout.storage.key;
                let key = keys.entry(key).or_insert_with(|| Arc::from(key));
                layouts.push(layout.with_key(Arc::clone(key)));
                layouts.len() - 1
            });
            names.push((name, place));
        }
        Ok(Self {
            class,
            attributes,
            names,
            layouts,
            under,
            norms,
        })
    }
}
