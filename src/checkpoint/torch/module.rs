//! From the object tree to a state dict: which tensors there are, under which names, in which order.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::attribute::Attribute;
use super::classes::is_wrapper;
use super::error::LayoutProblem;
use super::limits::Limits;
use super::pickle::Tree;
use super::value::{Arena, Handle, Node};

/// The longest name a tensor may have. Real ones stay below 100 bytes.
pub(in crate::checkpoint) const MAX_NAME: usize = 1024;

/// What to take from a tree.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) class: Option<String>,
    /// Names and the tensors' nodes.
    pub(super) tensors: Vec<(String, Handle)>,
    pub(super) attributes: BTreeMap<String, Attribute>,
    /// Where a training loop has put the weights, such as `model_state_dict`; empty where they are the whole file.
    pub(super) under: String,
    /// A whole module's normalisations, by name, and the `eps` of each.
    pub(super) norms: BTreeMap<String, f64>,
}

/// Names under which training loops put a model's weights.
const USUAL: [&str; 9] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
];

/// Modules of PyTorch with normalisations.
const NORMS: [&str; 3] = [
    "torch.nn.modules.batchnorm",
    "torch.nn.modules.normalization",
    "torch.nn.modules.instancenorm",
];

/// Walks the tree. Costs are bounded by the limits even where the tree is not one: a module below itself runs into
/// the depth, modules that share submodules into the number of entries.
pub(super) fn plan(tree: &Tree<'_>, limits: &Limits) -> Result<Plan, LayoutProblem> {
    let mut walk = Walk {
        arena: &tree.arena,
        limits,
        visited: 0,
        prefix: String::new(),
        plan: Plan::default(),
    };
    match tree.arena.get(tree.root) {
        Node::Dict(_) | Node::Object { .. } => walk.weights(tree.root, 0)?,
        other => return Err(LayoutProblem::Root(other.kind())),
    }
    Ok(walk.plan)
}

struct Walk<'t, 'a> {
    arena: &'t Arena<'a>,
    limits: &'t Limits,
    visited: usize,
    /// The name of the module at hand, with a dot after it unless it is the root's.
    prefix: String,
    plan: Plan,
}

impl<'a> Walk<'_, 'a> {
    fn visit(&mut self, entries: usize) -> Result<(), LayoutProblem> {
        self.visited = self.visited.saturating_add(entries);
        if self.visited > self.limits.objects {
            return Err(LayoutProblem::Entries(self.limits.objects));
        }
        Ok(())
    }

    fn module_name(&self) -> String {
        self.prefix.trim_end_matches('.').to_owned()
    }

    /// A module, a state dict, or a dictionary with one of them somewhere in it.
    fn weights(&mut self, root: Handle, depth: usize) -> Result<(), LayoutProblem> {
        if depth >= self.limits.depth {
            return Err(LayoutProblem::Depth(self.limits.depth));
        }
        let arena = self.arena;
        if let Node::Object { class, .. } = arena.get(root) {
            if is_wrapper(*class)
                && let Some(inner) = self.wrapped(root)?
            {
                return self.weights(inner, depth + 1);
            }
            self.plan.class = Some(format!("{}.{}", class.0, class.1));
            self.attributes(root)?;
            return self.module(root, 0);
        }
        let items = self.items(root)?.unwrap_or_default();
        let is_tensor = |value: Handle| matches!(arena.get(value), Node::Tensor(_));
        let (tensors, others): (Vec<_>, Vec<_>) = items.iter().partition(|(_, value)| is_tensor(*value));
        if others.is_empty() {
            return tensors
                .into_iter()
                .try_for_each(|&(name, value)| self.tensor(name, value));
        }
        if let Some((name, model)) = self.model_of(&others)? {
            self.beside(&items)?;
            let dot = if self.plan.under.is_empty() { "" } else { "." };
            self.plan.under = format!("{}{dot}{name}", self.plan.under);
            if self.plan.under.len() > MAX_NAME {
                return Err(LayoutProblem::Name(MAX_NAME));
            }
            return self.weights(model, depth + 1);
        }
        // Numbers and text among the tensors, as a loop that adds the epoch to a state dict leaves them.
        let harmless = |value: Handle| {
            let node = arena.get(value);
            matches!(
                node,
                Node::None | Node::Bool(_) | Node::Int(_) | Node::Float(_) | Node::Text(_)
            )
        };
        let foreign = others
            .iter()
            .find(|(_, value)| tensors.is_empty() || !harmless(*value));
        if let Some((name, value)) = foreign {
            return Err(self.unexpected(name, arena.get(*value), "tensor"));
        }
        self.beside(&items)?;
        tensors
            .into_iter()
            .try_for_each(|&(name, value)| self.tensor(name, value))
    }

    /// The module in a wrapper.
    fn wrapped(&mut self, wrapper: Handle) -> Result<Option<Handle>, LayoutProblem> {
        let state = self.state(wrapper)?;
        let modules = state.iter().find(|(key, _)| *key == "_modules");
        let modules = self.table("_modules", modules.map(|(_, modules)| *modules))?;
        let inner = modules.iter().find(|(name, _)| *name == "module");
        Ok(inner.map(|(_, inner)| *inner))
    }

    /// The entry of a training loop's dictionary that holds the model: the only one with weights in it, the only one of
    /// a usual name, or else the only one with such an entry.
    fn model_of(&mut self, items: &[&(&'a str, Handle)]) -> Result<Option<(&'a str, Handle)>, LayoutProblem> {
        for depth in 0..=1 {
            let mut found = Vec::new();
            for &&(name, value) in items {
                if self.has_weights(value, depth)? {
                    found.push((name, value));
                }
            }
            if found.len() > 1 {
                let usual = found.iter().filter(|(name, _)| USUAL.contains(name));
                let usual: Vec<_> = usual.copied().collect();
                if usual.len() != 1 {
                    let short = |(name, _): &(&str, Handle)| name.chars().take(100).collect();
                    return Err(LayoutProblem::Several(found.iter().map(short).collect()));
                }
                found = usual;
            }
            if let [model] = *found {
                return Ok(Some(model));
            }
        }
        Ok(None)
    }

    /// Whether it is a module or a dictionary of tensors by name, or, further up, one with such an entry.
    fn has_weights(&mut self, value: Handle, depth: usize) -> Result<bool, LayoutProblem> {
        let arena = self.arena;
        let pairs = match arena.get(value) {
            Node::Object { .. } => return Ok(depth == 0),
            Node::Dict(pairs) => pairs,
            _ => return Ok(false),
        };
        self.visit(pairs.len().max(1))?;
        // An optimizer's state is by number.
        if !pairs.iter().all(|&(key, _)| arena.text(key).is_some()) {
            return Ok(false);
        }
        if depth == 0 {
            let is_tensor = |&(_, value): &(Handle, Handle)| matches!(arena.get(value), Node::Tensor(_));
            return Ok(pairs.iter().any(is_tensor));
        }
        for &(_, value) in pairs {
            if self.has_weights(value, depth - 1)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a training loop has put beside the weights, as attributes.
    fn beside(&mut self, items: &[(&'a str, Handle)]) -> Result<(), LayoutProblem> {
        for &(name, value) in items {
            self.visit(self.arena.elements(value).map_or(1, <[_]>::len))?;
            match Attribute::from_node(self.arena, value) {
                Attribute::Other => {}
                attribute => drop(self.plan.attributes.insert(name.to_owned(), attribute)),
            }
        }
        Ok(())
    }

    fn attributes(&mut self, root: Handle) -> Result<(), LayoutProblem> {
        for (name, value) in self.state(root)? {
            if !name.starts_with('_') {
                self.visit(self.arena.elements(value).map_or(1, <[_]>::len))?;
                let attribute = Attribute::from_node(self.arena, value);
                self.plan.attributes.insert(name.to_owned(), attribute);
            }
        }
        Ok(())
    }

    /// Adds the parameters, the persistent buffers and the submodules of a module.
    fn module(&mut self, module: Handle, depth: usize) -> Result<(), LayoutProblem> {
        if depth >= self.limits.depth {
            return Err(LayoutProblem::Depth(self.limits.depth));
        }
        let state = self.state(module)?;
        let field = |name| {
            state
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        };
        if let (Node::Object { class, .. }, Some(eps)) = (self.arena.get(module), field("eps"))
            && NORMS.contains(&class.0)
            && let Node::Float(eps) = *self.arena.get(eps)
        {
            self.plan.norms.insert(self.module_name(), eps);
        }
        for (name, value) in self.table("_parameters", field("_parameters"))? {
            self.tensor(name, value)?;
        }
        let transient = self.transient(field("_non_persistent_buffers_set"))?;
        for (name, value) in self.table("_buffers", field("_buffers"))? {
            if !transient.contains(name) {
                self.tensor(name, value)?;
            }
        }
        for (name, value) in self.table("_modules", field("_modules"))? {
            match self.arena.get(value) {
                Node::None => {}
                Node::Object { .. } => {
                    let length = self.prefix.len();
                    let prefix = self.name(name)?;
                    self.prefix = prefix + ".";
                    self.module(value, depth + 1)?;
                    self.prefix.truncate(length);
                }
                other => return Err(self.unexpected(name, other, "module")),
            }
        }
        Ok(())
    }

    /// A module's attributes.
    fn state(&mut self, module: Handle) -> Result<Vec<(&'a str, Handle)>, LayoutProblem> {
        let state = match self.arena.get(module) {
            Node::Object {
                state: Some(state), ..
            } => self.items(*state)?,
            _ => None,
        };
        state.ok_or_else(|| LayoutProblem::NoState(self.module_name()))
    }

    /// One of a module's tables.
    fn table(
        &mut self,
        field: &'static str,
        table: Option<Handle>,
    ) -> Result<Vec<(&'a str, Handle)>, LayoutProblem> {
        let items = table.map_or(Ok(None), |table| self.items(table))?;
        items.ok_or_else(|| LayoutProblem::Field {
            module: self.module_name(),
            field,
        })
    }

    /// The names of the buffers that a state dict leaves out; modules before torch 1.6 do not know them.
    fn transient(&mut self, names: Option<Handle>) -> Result<HashSet<&'a str>, LayoutProblem> {
        let field = "_non_persistent_buffers_set";
        let names = names.map_or(Some(&[][..]), |names| self.arena.elements(names));
        let names = names.ok_or_else(|| LayoutProblem::Field {
            module: self.module_name(),
            field,
        })?;
        self.visit(names.len())?;
        Ok(names.iter().filter_map(|&name| self.arena.text(name)).collect())
    }

    /// The items of a dictionary with text as keys; of equal keys the last value, at the place of the first.
    /// `None` if it is no dictionary.
    fn items(&mut self, dict: Handle) -> Result<Option<Vec<(&'a str, Handle)>>, LayoutProblem> {
        let Node::Dict(pairs) = self.arena.get(dict) else {
            return Ok(None);
        };
        self.visit(pairs.len().max(1))?;
        let mut items = Vec::with_capacity(pairs.len());
        let mut places = HashMap::with_capacity(pairs.len());
        for &(key, value) in pairs {
            let key = self
                .arena
                .text(key)
                .ok_or_else(|| LayoutProblem::Key(self.module_name()))?;
            let place = *places.entry(key).or_insert(items.len());
            match items.get_mut(place) {
                Some(item) => *item = (key, value),
                None => items.push((key, value)),
            }
        }
        Ok(Some(items))
    }

    fn tensor(&mut self, name: &str, value: Handle) -> Result<(), LayoutProblem> {
        match self.arena.get(value) {
            // A layer without bias has the entry but no tensor.
            Node::None if self.plan.class.is_some() => return Ok(()),
            Node::Tensor(_) => {}
            other => return Err(self.unexpected(name, other, "tensor")),
        }
        if self.plan.tensors.len() >= self.limits.tensors {
            return Err(LayoutProblem::Tensors(self.limits.tensors));
        }
        let name = self.name(name)?;
        self.plan.tensors.push((name, value));
        Ok(())
    }

    /// A full name.
    fn name(&self, last: &str) -> Result<String, LayoutProblem> {
        if self.prefix.len() + last.len() > MAX_NAME {
            return Err(LayoutProblem::Name(MAX_NAME));
        }
        Ok(format!("{}{last}", self.prefix))
    }

    fn unexpected(&self, name: &str, found: &Node<'_>, expected: &'static str) -> LayoutProblem {
        let name = self.prefix.chars().chain(name.chars().take(MAX_NAME)).collect();
        LayoutProblem::Unexpected {
            name,
            found: found.kind(),
            expected,
        }
    }
}
