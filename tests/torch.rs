//! Reading PyTorch checkpoints: hand-assembled ones for every rule and bound, and the reference's own.

mod archives;
mod bounds;
pub mod builder;
mod legacy;
mod modules;
mod pickles;
mod random;
mod reference;
mod tensors;
