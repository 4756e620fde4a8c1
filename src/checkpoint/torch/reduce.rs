//! The few functions that a pickle may call, re-implemented.

use super::classes::Class;
use super::error::PickleProblem;
use super::machine::Machine;
use super::tensor::{Layout, MAX_DIMENSIONS, Storage};
use super::value::{Handle, Node};
use crate::checkpoint::Dtype;

impl<'a> Machine<'a, '_> {
    /// `function(*arguments)`.
    pub(super) fn call(&mut self, function: Handle, arguments: Handle) -> Result<Handle, PickleProblem> {
        let class = match *self.arena.get(function) {
            Node::Class(class) => class,
            ref other => return Err(kind("call", other)),
        };
        let Node::Tuple(items) = self.arena.get(arguments) else {
            return Err(kind("pass as arguments", self.arena.get(arguments)));
        };
        let first = items.first().copied();
        match class {
            Class::Dict => {
                let pairs = first.map_or(Ok(Vec::new()), |pairs| self.pairs(pairs))?;
                self.arena.push(Node::Dict(pairs))
            }
            Class::List => {
                let items = self.copy(first)?;
                self.arena.push(Node::List(items))
            }
            Class::Tuple => {
                let items = self.copy(first)?;
                self.arena.push(Node::Tuple(items))
            }
            Class::Set => {
                let items = self.copy(first)?;
                self.arena.push(Node::Set(items))
            }
            Class::Size => first
                .filter(|&tuple| matches!(self.arena.get(tuple), Node::Tuple(_)))
                .ok_or(PickleProblem::Arguments("torch.Size")),
            Class::RebuildParameter => first
                .filter(|&tensor| matches!(self.arena.get(tensor), Node::Tensor(_)))
                .ok_or(PickleProblem::Arguments("torch._utils._rebuild_parameter")),
            Class::RebuildTensor => {
                let tensor = self.tensor(arguments)?;
                self.arena.push(Node::Tensor(Box::new(tensor)))
            }
            Class::Opaque => self.arena.push(Node::Opaque),
            Class::Module(..) | Class::Storage(_) => Err(kind("call", self.arena.get(function))),
        }
    }

    /// A persistent id is PyTorch's way to name what is not in the pickle itself:
    ///
    /// - `("storage", torch.FloatStorage, key, device, elements)`, and in the old format one more: `None`, or the view
    ///   `(its key, first element, elements)`, of which the key is of no use here;
    /// - `("module", class, file, source)` around the class of a module, in the old format only.
    ///
    /// The device is where the tensor was, `cpu` or `cuda:0`; here all are on the CPU.
    pub(super) fn persistent(&mut self, id: Handle) -> Result<Handle, PickleProblem> {
        let malformed = PickleProblem::Arguments("persistent id");
        let Some(&[tag, class, ref rest @ ..]) = self.arena.elements(id) else {
            return Err(malformed);
        };
        let storage = match (self.arena.text(tag), self.arena.get(class)) {
            (Some("module"), Node::Class(Class::Module(..))) => return Ok(class),
            (Some("storage"), &Node::Class(Class::Storage(dtype))) => self.storage(dtype, rest),
            _ => None,
        };
        self.arena.push(Node::Storage(storage.ok_or(malformed)?))
    }

    fn storage(&self, dtype: Dtype, rest: &[Handle]) -> Option<Storage<&'a str>> {
        let (&[key, _device, elements], view) = rest.split_first_chunk()?;
        let elements = self.arena.unsigned(elements)?;
        let view = match *view {
            [] => (0, elements),
            [view] if matches!(self.arena.get(view), Node::None) => (0, elements),
            [view] => match *self.arena.elements(view)? {
                [_key, first, length] => (self.arena.unsigned(first)?, self.arena.unsigned(length)?),
                _ => return None,
            },
            _ => return None,
        };
        Some(Storage {
            key: self.arena.text(key)?,
            dtype,
            elements,
            view,
        })
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks, metadata=None)`.
    fn tensor(&mut self, arguments: Handle) -> Result<Layout<&'a str>, PickleProblem> {
        let malformed = PickleProblem::Arguments("torch._utils._rebuild_tensor_v2");
        let Some(&[storage, offset, size, stride, ..]) = self.arena.elements(arguments) else {
            return Err(malformed);
        };
        let (&Node::Storage(storage), Some(offset)) = (self.arena.get(storage), self.arena.unsigned(offset))
        else {
            return Err(malformed);
        };
        let (Some(size), Some(stride)) = (self.dimensions(size), self.dimensions(stride)) else {
            return Err(malformed);
        };
        // Its sizes and strides are copied: four values weigh about as much.
        self.arena.charge(4 + size.len())?;
        Ok(Layout::new(storage, offset, size, stride)?)
    }

    fn dimensions(&self, handle: Handle) -> Option<Vec<u64>> {
        let items = self
            .arena
            .elements(handle)
            .filter(|items| items.len() <= MAX_DIMENSIONS)?;
        items.iter().map(|&item| self.arena.unsigned(item)).collect()
    }

    /// The elements of a collection, for another one.
    fn copy(&mut self, from: Option<Handle>) -> Result<Vec<Handle>, PickleProblem> {
        let Some(from) = from else {
            return Ok(Vec::new());
        };
        let length = self.arena.elements(from).map(<[_]>::len);
        let length = length.ok_or_else(|| kind("iterate over", self.arena.get(from)))?;
        self.arena.charge(length)?;
        Ok(self.arena.elements(from).unwrap_or_default().to_vec())
    }

    /// The items of a dictionary, or a list of pairs.
    fn pairs(&mut self, from: Handle) -> Result<Vec<(Handle, Handle)>, PickleProblem> {
        if let Node::Dict(items) = self.arena.get(from) {
            let length = items.len();
            self.arena.charge(length)?;
            let Node::Dict(items) = self.arena.get(from) else {
                return Ok(Vec::new());
            };
            return Ok(items.clone());
        }
        let items = self.copy(Some(from))?;
        let pair = |&item| match self.arena.elements(item) {
            Some(&[key, value]) => Ok((key, value)),
            _ => Err(PickleProblem::Arguments("OrderedDict")),
        };
        items.iter().map(pair).collect()
    }
}

fn kind(action: &'static str, node: &Node<'_>) -> PickleProblem {
    PickleProblem::Kind {
        action,
        found: node.kind(),
    }
}
