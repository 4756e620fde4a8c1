//! Access to the numbers behind contiguous tensors on the CPU.

use std::ops::Deref;

use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, Tensor, bail};

use super::real::Real;

/// The elements of contiguous storage.
pub(super) fn elements<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!("this operation needs contiguous tensors"),
    }
}

/// A contiguous tensor's storage, locked for reading.
pub(super) struct Values<'a, S> {
    storage: S,
    layout: &'a Layout,
}

/// Locks a tensor's storage for reading.
pub(super) fn values(tensor: &Tensor) -> Values<'_, impl Deref<Target = Storage> + use<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    Values { storage, layout }
}

impl<S: Deref<Target = Storage>> Values<'_, S> {
    /// The elements.
    pub(super) fn get<T: Real>(&self) -> Result<&[T]> {
        match &*self.storage {
            Storage::Cpu(storage) => elements(storage, self.layout),
            _ => bail!("this operation runs on the CPU"),
        }
    }
}

/// A tensor of these elements, without a copy.
pub(super) fn tensor<T: Real>(values: Vec<T>, shape: &Shape) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// `function::<f32>(arguments)` or `function::<f64>(arguments)` by the [`DType`]; an error for others.
macro_rules! by_dtype {
    ($dtype:expr, $function:ident ( $($argument:expr),* )) => {
        match $dtype {
            candle_core::DType::F32 => $function::<f32>($($argument),*),
            candle_core::DType::F64 => $function::<f64>($($argument),*),
            other => candle_core::bail!("no kernel for {other:?}"),
        }
    };
}
pub(super) use by_dtype;

/// The type of some storage's elements.
pub(super) fn dtype(storage: &CpuStorage) -> DType {
    candle_core::backend::BackendStorage::dtype(storage)
}
