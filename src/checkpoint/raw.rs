//! A tensor's bytes as they lie in a file.

use std::borrow::Cow;

use candle_core::{Device, Tensor};

use super::Dtype;

/// Elements in row-major order, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Their type.
    pub dtype: Dtype,
    /// Sizes of the dimensions; empty for a single number.
    pub shape: Vec<usize>,
    /// `dtype.size()` bytes for each element.
    pub bytes: Cow<'a, [u8]>,
}

impl Raw<'_> {
    /// The tensor on the CPU, of type [`Dtype::candle`].
    pub fn tensor(&self) -> candle_core::Result<Tensor> {
        let bytes: Cow<'_, [u8]> = match self.dtype {
            Dtype::I8 => {
                let wide = self.bytes.iter().map(|&b| i16::from(b.cast_signed()));
                wide.flat_map(i16::to_le_bytes).collect()
            }
            Dtype::Bool => self.bytes.iter().map(|&b| u8::from(b != 0)).collect(),
            _ => Cow::Borrowed(&*self.bytes),
        };
        Tensor::from_raw_buffer(&bytes, self.dtype.candle(), &self.shape, &Device::Cpu)
    }
}

/// The type that a tensor is written as. Fails for those that PyTorch does not have.
pub(super) fn dtype(tensor: &Tensor) -> candle_core::Result<Dtype> {
    match Dtype::of(tensor.dtype()) {
        Some(dtype) => Ok(dtype),
        None => candle_core::bail!(
            "{:?} is no type of elements that checkpoints have",
            tensor.dtype()
        ),
    }
}

/// The bytes of a tensor on any device.
pub(super) fn from_tensor(tensor: &Tensor) -> candle_core::Result<Raw<'static>> {
    let dtype = dtype(tensor)?;
    let mut bytes = Vec::with_capacity(tensor.elem_count() * dtype.size() as usize);
    tensor.write_bytes(&mut bytes)?;
    Ok(Raw {
        dtype,
        shape: tensor.dims().to_vec(),
        bytes: bytes.into(),
    })
}
