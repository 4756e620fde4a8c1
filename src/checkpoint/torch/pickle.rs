//! A stack machine for pickles: protocol 2 as PyTorch writes it, and what protocols 3 to 5 add to it cheaply.

use super::classes::Class;
use super::error::PickleProblem;
use super::limits::Limits;
use super::machine::Machine;
use super::value::{Arena, Handle, Node};

/// A value and everything it refers to.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub(super) arena: Arena<'a>,
    pub(super) root: Handle,
    /// How many bytes the pickle took.
    pub(super) length: usize,
}

/// What went wrong, at which byte.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) problem: PickleProblem,
}

/// Runs the pickle at the start of `bytes` to its end.
pub(super) fn load<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Tree<'a>, Fault> {
    let mut machine = Machine::new(bytes, limits);
    loop {
        let offset = machine.reader.position();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => {
                return Ok(Tree {
                    length: machine.reader.position(),
                    arena: machine.arena,
                    root,
                });
            }
            Err(problem) => return Err(Fault { offset, problem }),
        }
    }
}

impl Machine<'_, '_> {
    /// One instruction; the result once there is one.
    fn step(&mut self) -> Result<Option<Handle>, PickleProblem> {
        match self.reader.u8()? {
            0x80 => match self.reader.u8()? {
                0..=5 => {}
                protocol => return Err(PickleProblem::Protocol(protocol)),
            },
            // FRAME: the length of what follows, of use to a buffering reader only.
            0x95 => drop(self.reader.u64()?),
            b'.' => return self.stop().map(Some),
            b'(' => self.mark()?,
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.push(top)?;
            }
            b'N' => self.push(Arena::NONE)?,
            0x88 => self.push(Arena::TRUE)?,
            0x89 => self.push(Arena::FALSE)?,
            opcode @ (b'J' | b'K' | b'M' | 0x8a | 0x8b | b'G') => self.number(opcode)?,
            opcode @ (b'X' | 0x8c | 0x8d | b'C' | b'B' | 0x8e | 0x96) => self.string(opcode)?,
            b']' => self.create(Node::List(Vec::new()))?,
            b')' => self.create(Node::Tuple(Vec::new()))?,
            b'}' => self.create(Node::Dict(Vec::new()))?,
            0x8f => self.create(Node::Set(Vec::new()))?,
            0x91 => {
                let items = self.pop_to_mark()?;
                self.create(Node::Set(items))?;
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.create(Node::Tuple(items))?;
            }
            count @ 0x85..=0x87 => {
                let mut items = Vec::with_capacity(3);
                for _ in 0x85..=count {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.create(Node::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.extend(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.insert(&items)?;
            }
            opcode => self.reference(opcode)?,
        }
        Ok(None)
    }

    /// Instructions about names, the memo and objects.
    fn reference(&mut self, opcode: u8) -> Result<(), PickleProblem> {
        match opcode {
            b'c' => {
                let module = self.reader.line()?;
                let name = self.reader.line()?;
                self.global(module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.arena.text(module), self.arena.text(name)) {
                    (Some(module), Some(name)) => self.global(module, name),
                    _ => Err(PickleProblem::Arguments("STACK_GLOBAL")),
                }
            }
            b'q' => {
                let key = self.reader.u8()?;
                self.memoize(u32::from(key))
            }
            b'r' => {
                let key = self.reader.u32()?;
                self.memoize(key)
            }
            0x94 => self.memoize(self.memo.len() as u32),
            b'h' => {
                let key = self.reader.u8()?;
                self.recall(u32::from(key))
            }
            b'j' => {
                let key = self.reader.u32()?;
                self.recall(key)
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let value = self.call(function, arguments)?;
                self.push(value)
            }
            0x81 | 0x92 => {
                if opcode == 0x92 {
                    self.pop()?;
                }
                let (_arguments, class) = (self.pop()?, self.pop()?);
                match *self.arena.get(class) {
                    Node::Class(Class::Module(module, name)) => self.create(Node::Object {
                        class: (module, name),
                        state: None,
                    }),
                    Node::Class(Class::Opaque) => self.create(Node::Opaque),
                    ref other => Err(PickleProblem::Kind {
                        action: "make an instance of",
                        found: other.kind(),
                    }),
                }
            }
            b'b' => self.build(),
            b'Q' => {
                let id = self.pop()?;
                let value = self.persistent(id)?;
                self.push(value)
            }
            opcode => Err(PickleProblem::Opcode(opcode)),
        }
    }
}
