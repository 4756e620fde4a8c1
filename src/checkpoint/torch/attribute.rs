//! A module's plain attributes.

use super::value::{Arena, Handle, Node};

/// What a module knows about itself besides its tensors.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(String),
    /// A list or tuple of non-negative integers, possibly empty.
    Indices(Vec<u64>),
    /// Anything else, tensors and arrays among it.
    Other,
}

impl Attribute {
    /// `handle` as an attribute. Its cost is at most `arena.elements(handle)`.
    pub(super) fn from_node(arena: &Arena<'_>, handle: Handle) -> Self {
        match arena.get(handle) {
            Node::None => Self::None,
            Node::Bool(value) => Self::Bool(*value),
            Node::Int(value) => Self::Int(*value),
            Node::Float(value) => Self::Float(*value),
            Node::Text(value) => Self::Text((*value).to_owned()),
            Node::List(items) | Node::Tuple(items) => {
                let indices: Option<Vec<u64>> = items.iter().map(|&item| arena.unsigned(item)).collect();
                indices.map_or(Self::Other, Self::Indices)
            }
            _ => Self::Other,
        }
    }
}
