//! A module's plain attributes.

use serde_json::Value;

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

    /// As JSON; nothing for [`Attribute::Other`] and for numbers that JSON does not have.
    pub fn to_json(&self) -> Option<Value> {
        match self {
            Self::None => Some(Value::Null),
            Self::Bool(value) => Some((*value).into()),
            Self::Int(value) => Some((*value).into()),
            Self::Float(value) => serde_json::Number::from_f64(*value).map(Value::Number),
            Self::Text(value) => Some(value.as_str().into()),
            Self::Indices(value) => Some(value.as_slice().into()),
            Self::Other => None,
        }
    }

    /// What [`Attribute::to_json`] wrote.
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(value), _) => Self::Int(value),
                (None, Some(value)) => Self::Float(value),
                (None, None) => Self::Other,
            },
            Value::String(value) => Self::Text(value.clone()),
            Value::Array(items) => {
                let indices: Option<Vec<u64>> = items.iter().map(Value::as_u64).collect();
                indices.map_or(Self::Other, Self::Indices)
            }
            Value::Object(_) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_what_it_can() {
        let kept = [
            Attribute::None,
            Attribute::Bool(true),
            Attribute::Int(-3),
            Attribute::Float(0.5),
            Attribute::Float(2.0),
            Attribute::Text("x".into()),
            Attribute::Indices(vec![0, u64::MAX]),
        ];
        for attribute in kept {
            let json = attribute.to_json().expect("it has a form").to_string();
            let value = serde_json::from_str(&json).expect("JSON");
            assert_eq!(Attribute::from_json(&value), attribute, "{json}");
        }
        assert_eq!(Attribute::Float(f64::NAN).to_json(), None);
        assert_eq!(Attribute::Other.to_json(), None);
    }
}
