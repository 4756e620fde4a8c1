//! From the object tree to a state dict: which tensors there are, under which names, in which order.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::attribute::Attribute;
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
}

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
        Node::Dict(_) => walk.state_dict(tree.root)?,
        Node::Object {
            class: (module, name),
            ..
        } => {
            walk.plan.class = Some(format!("{module}.{name}"));
            walk.attributes(tree.root)?;
            walk.module(tree.root, 0)?;
        }
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

    fn state_dict(&mut self, root: Handle) -> Result<(), LayoutProblem> {
        for (name, value) in self.items(root)?.unwrap_or_default() {
            self.tensor(name, value)?;
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
