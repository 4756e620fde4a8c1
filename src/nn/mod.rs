//! Operations of networks with kernels for the CPU that are fast, deterministic and differentiable.
//!
//! Each file has one operation: its formula, shapes, the kernel in both directions, and the same in candle's own
//! operations, which runs on other devices and for other types than f32 and f64. A result does not depend on the number
//! of threads: work is cut into blocks whose sizes follow from the shapes alone, and sums over blocks run in their
//! order.

mod attention;
mod checks;
mod gelu;
mod layer_norm;
mod linear;
mod real;
mod values;

pub use attention::{attention, multi_head_attention};
pub use gelu::gelu;
pub use layer_norm::layer_norm;
pub use linear::linear;
