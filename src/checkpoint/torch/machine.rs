//! The stack machine's state and what its instructions do to it.

use std::collections::HashMap;

use super::classes;
use super::error::PickleProblem;
use super::limits::Limits;
use super::reader::Reader;
use super::value::{Arena, Handle, Node};

/// The machine's whole state. Nothing in it holds a value: the stack and the memo hold handles.
pub(super) struct Machine<'a, 'l> {
    pub(super) arena: Arena<'a>,
    pub(super) reader: Reader<'a>,
    stack: Vec<Handle>,
    marks: Vec<usize>,
    pub(super) memo: HashMap<u32, Handle>,
    limits: &'l Limits,
}

impl<'a, 'l> Machine<'a, 'l> {
    pub(super) fn new(bytes: &'a [u8], limits: &'l Limits) -> Self {
        Self {
            arena: Arena::new(limits.objects),
            reader: Reader::new(bytes),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            limits,
        }
    }

    pub(super) fn push(&mut self, handle: Handle) -> Result<(), PickleProblem> {
        if self.stack.len() >= self.limits.stack {
            return Err(PickleProblem::Stack(self.limits.stack));
        }
        self.stack.push(handle);
        Ok(())
    }

    pub(super) fn create(&mut self, node: Node<'a>) -> Result<(), PickleProblem> {
        let handle = self.arena.push(node)?;
        self.push(handle)
    }

    /// The top of the stack, above the last mark.
    pub(super) fn top(&self) -> Result<Handle, PickleProblem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack[floor..]
            .last()
            .copied()
            .ok_or(PickleProblem::Underflow)
    }

    pub(super) fn pop(&mut self) -> Result<Handle, PickleProblem> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    pub(super) fn mark(&mut self) -> Result<(), PickleProblem> {
        if self.marks.len() >= self.limits.depth {
            return Err(PickleProblem::Nesting(self.limits.depth));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<Handle>, PickleProblem> {
        let mark = self.marks.pop().ok_or(PickleProblem::Underflow)?;
        Ok(self.stack.drain(mark..).collect())
    }

    pub(super) fn stop(&mut self) -> Result<Handle, PickleProblem> {
        match *self.stack.as_slice() {
            [root] if self.marks.is_empty() => Ok(root),
            [] => Err(PickleProblem::Underflow),
            ref values => Err(PickleProblem::Leftover(values.len())),
        }
    }

    pub(super) fn memoize(&mut self, key: u32) -> Result<(), PickleProblem> {
        let top = self.top()?;
        if self.memo.len() >= self.limits.memo && !self.memo.contains_key(&key) {
            return Err(PickleProblem::Memo(self.limits.memo));
        }
        self.memo.insert(key, top);
        Ok(())
    }

    pub(super) fn recall(&mut self, key: u32) -> Result<(), PickleProblem> {
        let handle = self.memo.get(&key).copied().ok_or(PickleProblem::Unset(key))?;
        self.push(handle)
    }

    pub(super) fn extend(&mut self, items: &[Handle]) -> Result<(), PickleProblem> {
        let target = self.top()?;
        match self.arena.get_mut(target) {
            Node::List(list) | Node::Set(list) => list.extend_from_slice(items),
            Node::Opaque => {}
            other => {
                return Err(PickleProblem::Kind {
                    action: "append to",
                    found: other.kind(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, items: &[Handle]) -> Result<(), PickleProblem> {
        let target = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match self.arena.get_mut(target) {
            Node::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            Node::Dict(_) => return Err(PickleProblem::Arguments("SETITEMS")),
            Node::Opaque => {}
            other => {
                return Err(PickleProblem::Kind {
                    action: "set an item of",
                    found: other.kind(),
                });
            }
        }
        Ok(())
    }

    /// Gives an object its attributes. Those of an `OrderedDict` (a state dict's metadata) are left out.
    pub(super) fn build(&mut self) -> Result<(), PickleProblem> {
        let attributes = self.pop()?;
        let target = self.top()?;
        match self.arena.get_mut(target) {
            Node::Object {
                state: state @ None, ..
            } => *state = Some(attributes),
            Node::Dict(_) | Node::Opaque => {}
            other => {
                return Err(PickleProblem::Kind {
                    action: "set the attributes of",
                    found: other.kind(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn global(&mut self, module: &'a str, name: &'a str) -> Result<(), PickleProblem> {
        let Some(class) = classes::resolve(module, name) else {
            let shown = module
                .chars()
                .take(100)
                .chain(['.'])
                .chain(name.chars().take(100));
            return Err(PickleProblem::Forbidden(shown.collect()));
        };
        self.create(Node::Class(class))
    }

    pub(super) fn number(&mut self, opcode: u8) -> Result<(), PickleProblem> {
        let node = match opcode {
            b'J' => Node::Int(i64::from(self.reader.i32()?)),
            b'K' => Node::Int(i64::from(self.reader.u8()?)),
            b'M' => Node::Int(i64::from(self.reader.u16()?)),
            b'G' => Node::Float(self.reader.f64()?),
            _ => {
                let count = if opcode == 0x8a {
                    u32::from(self.reader.u8()?)
                } else {
                    self.reader.u32()?
                };
                self.reader
                    .long(u64::from(count))?
                    .map_or(Node::Opaque, Node::Int)
            }
        };
        self.create(node)
    }

    /// Text and bytes, each with a length field of one, four or eight bytes.
    pub(super) fn string(&mut self, opcode: u8) -> Result<(), PickleProblem> {
        let count = match opcode {
            0x8c | b'C' => u64::from(self.reader.u8()?),
            b'X' | b'B' => u64::from(self.reader.u32()?),
            _ => self.reader.u64()?,
        };
        let node = match opcode {
            0x8c | b'X' | 0x8d => Node::Text(self.reader.text(count)?),
            _ => {
                self.reader.take(count)?;
                Node::Opaque
            }
        };
        self.create(node)
    }
}
