//! The two element types of our kernels, and tensors as slices.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, WithDType, bail};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// `f32` or `f64`: what the kernels compute in.
pub trait Element: WithDType {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// 1/2.
    const HALF: Self;
    /// Less than every number.
    const LEAST: Self;

    /// Whether it is not a number.
    fn nan(self) -> bool;

    /// `out = a b`, or `out += a b` for [`Accum::Add`], on the calling thread. faer's product: its AVX-512 kernels are
    /// twice as fast as those of the `gemm` crate that candle uses.
    fn product(out: MatMut<'_, Self>, accum: Accum, a: MatRef<'_, Self>, b: MatRef<'_, Self>);
}

macro_rules! element {
    ($type:ty) => {
        impl Element for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const HALF: Self = 0.5;
            const LEAST: Self = Self::NEG_INFINITY;

            fn nan(self) -> bool {
                self.is_nan()
            }

            fn product(out: MatMut<'_, Self>, accum: Accum, a: MatRef<'_, Self>, b: MatRef<'_, Self>) {
                matmul(out, accum, a, b, Self::ONE, Par::Seq);
            }
        }
    };
}

element!(f32);
element!(f64);

/// Whether the kernels of this module take the tensor; the others are composed of candle's operations.
pub fn ours(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}

/// The elements of a contiguous tensor inside a `CustomOp`. Errors for another element type and for strides.
pub fn slice<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!(
            "the kernel needs contiguous tensors, not strides {:?}",
            layout.stride()
        );
    };
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

/// Calls `f` with the elements of a contiguous tensor on the CPU.
pub fn with_slice<T: Element, R>(x: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(storage, layout)?),
        _ => bail!("the kernel needs tensors on the CPU"),
    }
}

/// An expression with a type name that stands for `f32` or `f64`, by the element type; an error for any other.
macro_rules! by_dtype {
    ($dtype:expr, $type:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $type = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $type = f64;
                $body
            }
            other => candle_core::bail!("the kernel computes in f32 and f64, not in {other:?}"),
        }
    };
}
pub(super) use by_dtype;
