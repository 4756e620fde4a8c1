//! CUDA: opening devices, and kernels of our own beside candle's.
//!
//! The sources in `kernels/` are part of the program and are compiled for the GPU at hand by NVRTC when the first of them
//! is launched (once per process, about a second): no compiler is needed where the program runs, and none but candle's
//! where it is built. Everything here compiles without the feature `cuda` too; without it no device can be opened.
//!
//! | file | what |
//! | --- | --- |
//! | `device` | `cuda:0` to a device, its name and memory; errors of drivers |
//! | `launch` | one launch: operands in, tensors out; the `unsafe` of kernels |
//! | `op` | a launch as an operation with a gradient |
//! | `images` | pooling, windows as rows and back, augmentation; `relu` |
//! | `winograd`, `windows` | convolutions |
//! | `transformer` | linear maps, layer normalisation, GELU, attention |
//! | `dropout` | dropout by the CPU's draws |
//! | `sums` | weighted squared errors, importance sums |
//! | `pairs` | costs of pairs of neurons, steps of k-means |
//! | `adam` | a step of Adam over all parameters in one launch |
//! | `product` | matrix products in TF32 and bf16 |
//! | `eigen` | eigenvectors of symmetric matrices by cuSOLVER |
//! | `memory` | chunks, and half of them for a second try |
//! | `notes` | which steps of a job ran on the host although its device is a GPU |
//! | `emulator` | tests: the kernels' sources compiled for the CPU, thread by thread |
//!
//! Each kernel has a twin: code on the CPU (named in its function's documentation), and a test that runs the kernel's source on
//! the emulator against it. Pooling, `relu`, `unfold`, augmentation, dropout, sums, pairs and Adam give the twin's bits;
//! convolutions and the parts of transformers add in another order. `benches/gpu` does the same on a GPU.
//!
//! *Determinism.* No kernel of ours adds floats by atomics, sums are cut by shape alone, and all work of a job is on one
//! stream: the same seed on the same device gives the same bits. cuBLAS promises that for one stream and one version of
//! the library; another GPU or another version may give others.

mod adam;
mod device;
mod dropout;
mod eigen;
mod images;
mod launch;
mod memory;
mod notes;
mod op;
mod pairs;
mod product;
mod sums;
mod transformer;
mod windows;
mod winograd;

#[cfg(test)]
pub(crate) mod emulator;
#[cfg(test)]
mod tests;

pub use adam::{Adam, Parameter, adam};
pub use device::{GpuError, Info, Memory, check_kernels, is_lost, is_out_of_memory, memory, open};
pub use dropout::dropout;
pub use eigen::eigen;
pub use images::{Cut, Draw, augment, avg_pool2d, cutmix, fold, max_pool2d, mixup, relu, unfold};
pub use memory::{chunk, give_back, halved};
pub use notes::{note, take};
pub use pairs::{Clusters, distances, nearest, pair_costs};
pub use product::{Precision, product};
pub use sums::{absolute_sums, conductance, weighted_error};
pub use transformer::{attention, gelu, layer_norm, linear, transpose};
pub use windows::convolve;
pub use winograd::{Tiling, winograd, winograd_weights};

use candle_core::Tensor;

/// Whether the kernels of this module take the tensor: whether it is on a GPU.
pub fn active(x: &Tensor) -> bool {
    #[cfg(test)]
    if emulator::on() {
        return true;
    }
    x.device().is_cuda()
}
