//! Operations of networks as free functions on candle tensors, differentiable unless they say otherwise.
//!
//! | function | what | own gradient |
//! | --- | --- | --- |
//! | [`conv2d`] | convolution; Winograd for 3x3 with stride 1, else products with columns | x, weight, bias |
//! | [`max_pool2d`], [`avg_pool2d`] | windows | x |
//! | [`relu`] | keeps NaN | x |
//! | [`batch_norm`], [`batch_norm_train`] | with given and with the batch's statistics | x, gamma, beta |
//! | [`linear`] | `x W^T + b` over the last dimension | x, weight, bias |
//! | [`layer_norm`] | over the last dimension | x, gamma, beta |
//! | [`gelu`] | the exact form | x |
//! | [`attention`] | softmax of scaled products, on heads or packed | q, k, v |
//! | [`unfold`] | windows as rows | none |
//!
//! On the CPU in f32 and f64 the kernels are ours, since candle 0.11's convolution is two to four times slower than
//! PyTorch's and its pooling and ReLU treat ties and NaN differently. They run on rayon's current pool, cut work by
//! shape alone and add partial sums in a fixed order: the same bits on any number of threads. On a GPU all of them but
//! `batch_norm` are kernels of [`crate::gpu`] around cuBLAS' products.

mod affine;
mod attention;
mod avg_pool2d;
mod batch_norm;
mod checks;
mod columns;
mod conv2d;
mod direct;
mod element;
mod gelu;
mod layer_norm;
mod linear;
mod max_pool2d;
mod real;
mod relu;
mod sum;
mod unfold;
mod values;
mod window;
mod winograd;

pub use attention::{attention, multi_head_attention};
pub use avg_pool2d::avg_pool2d;
pub use batch_norm::{batch_norm, batch_norm_train};
pub use conv2d::{conv2d, conv2d_in};
pub use gelu::gelu;
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_in};
pub use max_pool2d::max_pool2d;
pub use relu::relu;
pub use unfold::unfold;
pub(crate) use window::Window;

#[cfg(test)]
mod tests;
