//! What a pickle builds: values in an arena, referring to each other by handle.

use super::classes::Class;
use super::error::PickleProblem;
use super::tensor::{Layout, Storage};

/// A value's place in its [`Arena`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Handle(u32);

/// One value. Text is borrowed from the pickle.
#[derive(Debug)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    List(Vec<Handle>),
    Tuple(Vec<Handle>),
    Set(Vec<Handle>),
    /// In the order of insertion; of equal keys the last one counts, at the place of the first.
    Dict(Vec<(Handle, Handle)>),
    Class(Class<'a>),
    /// An instance of `module.name` and its attributes.
    Object {
        class: (&'a str, &'a str),
        state: Option<Handle>,
    },
    Storage(Storage<&'a str>),
    Tensor(Box<Layout<&'a str>>),
    /// Something allowed but of no use here: bytes, devices, integers beyond 64 bits.
    Opaque,
}

impl Node<'_> {
    /// For messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Set(_) => "set",
            Self::Dict(_) => "dict",
            Self::Class(_) => "class or function",
            Self::Object { .. } => "module",
            Self::Storage(_) => "storage",
            Self::Tensor(_) => "tensor",
            Self::Opaque => "value of another kind",
        }
    }
}

/// All values of one pickle. Nothing is removed before the whole arena is, so a handle stays valid, and dropping it
/// is one loop however deep the values nest.
#[derive(Debug)]
pub(super) struct Arena<'a> {
    nodes: Vec<Node<'a>>,
    copied: usize,
    limit: usize,
}

impl<'a> Arena<'a> {
    pub(super) const NONE: Handle = Handle(0);
    pub(super) const FALSE: Handle = Handle(1);
    pub(super) const TRUE: Handle = Handle(2);

    /// An arena for at most `limit` values.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            nodes: vec![Node::None, Node::Bool(false), Node::Bool(true)],
            copied: 0,
            limit: limit.min(u32::MAX as usize - 4),
        }
    }

    /// All values, in the order in which they were made.
    pub(super) fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    pub(super) fn push(&mut self, node: Node<'a>) -> Result<Handle, PickleProblem> {
        self.charge(0)?;
        let handle = Handle(self.nodes.len() as u32);
        self.nodes.push(node);
        Ok(handle)
    }

    /// Counts `elements` that are about to be copied from one collection to another as if they were values:
    /// otherwise a short loop over a long list is free to fill the memory.
    pub(super) fn charge(&mut self, elements: usize) -> Result<(), PickleProblem> {
        self.copied = self.copied.saturating_add(elements);
        if self.nodes.len().saturating_add(self.copied) >= self.limit.saturating_add(3) {
            return Err(PickleProblem::Objects(self.limit));
        }
        Ok(())
    }

    pub(super) fn get(&self, handle: Handle) -> &Node<'a> {
        &self.nodes[handle.0 as usize]
    }

    pub(super) fn get_mut(&mut self, handle: Handle) -> &mut Node<'a> {
        &mut self.nodes[handle.0 as usize]
    }

    /// The elements of a list, tuple or set.
    pub(super) fn elements(&self, handle: Handle) -> Option<&[Handle]> {
        match self.get(handle) {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn text(&self, handle: Handle) -> Option<&'a str> {
        match self.get(handle) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A non-negative integer.
    pub(super) fn unsigned(&self, handle: Handle) -> Option<u64> {
        match self.get(handle) {
            Node::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }
}
