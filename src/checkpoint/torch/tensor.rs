//! Tensors: their place in a storage, and their values as candle has them.

use candle_core::{DType, Device, Tensor};

use super::error::TensorProblem;

/// As in PyTorch.
pub(super) const MAX_DIMENSIONS: usize = 64;

/// What a storage holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    F32,
    F64,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Scalar {
    /// Bytes of one element in the file.
    pub(super) const fn size(self) -> u64 {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The type it gets here. Candle has no 8-bit signed integers: they become 16-bit ones.
    const fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
            Self::F16 => DType::F16,
            Self::BF16 => DType::BF16,
            Self::I64 => DType::I64,
            Self::I32 => DType::I32,
            Self::I16 | Self::I8 => DType::I16,
            Self::U8 | Self::Bool => DType::U8,
        }
    }
}

/// A one-dimensional block of elements, the archive's entry `data/KEY`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) scalar: Scalar,
    pub(super) elements: u64,
}

impl Storage<'_> {
    /// Its length in the archive.
    pub(super) const fn bytes(&self) -> u64 {
        self.elements.saturating_mul(self.scalar.size())
    }
}

/// Where a tensor's elements lie: element `i` at `offset + sum(i[d] * stride[d])`, inside the storage.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) storage: Storage<'a>,
    offset: u64,
    size: Vec<u64>,
    stride: Vec<u64>,
    elements: u64,
}

impl<'a> Layout<'a> {
    /// Checked: all elements are inside the storage, and their number and their bytes fit.
    pub(super) fn new(
        storage: Storage<'a>,
        offset: u64,
        size: Vec<u64>,
        stride: Vec<u64>,
    ) -> Result<Self, TensorProblem> {
        if size.len() != stride.len() || size.len() > MAX_DIMENSIONS {
            return Err(TensorProblem::Shape);
        }
        // Candle computes strides from all sizes, also where one of them is zero.
        let spread = size
            .iter()
            .try_fold(8, |product: u64, &n| product.checked_mul(n.max(1)));
        if spread.is_none_or(|spread| spread > i64::MAX as u64) {
            return Err(TensorProblem::Shape);
        }
        let elements = size.iter().product();
        let last = size
            .iter()
            .zip(&stride)
            .try_fold(offset, |last: u64, (&n, &stride)| {
                last.checked_add(n.saturating_sub(1).checked_mul(stride)?)
            });
        match last {
            None => return Err(TensorProblem::Shape),
            Some(last) if elements > 0 && last >= storage.elements => {
                return Err(TensorProblem::Bounds {
                    last,
                    length: storage.elements,
                });
            }
            Some(_) => {}
        }
        Ok(Self {
            storage,
            offset,
            size,
            stride,
            elements,
        })
    }

    /// Bytes of the tensor that [`Layout::build`] makes.
    pub(super) fn bytes(&self) -> u64 {
        self.elements
            .saturating_mul(self.storage.scalar.dtype().size_in_bytes() as u64)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.size.iter().zip(&self.stride).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size;
            fits
        })
    }

    /// The tensor, from the bytes of its storage.
    pub(super) fn build(&self, storage: &[u8]) -> Result<Tensor, TensorProblem> {
        let (found, expected) = (storage.len() as u64, self.storage.bytes());
        if found != expected {
            let key = self.storage.key.chars().take(100).collect();
            return Err(TensorProblem::StorageBytes { key, expected, found });
        }
        let width = self.storage.scalar.size() as usize;
        let gathered;
        let bytes = if self.elements == 0 {
            &[]
        } else if self.is_contiguous() {
            let start = self.offset as usize * width;
            &storage[start..start + self.elements as usize * width]
        } else {
            gathered = self.gather(storage, width);
            gathered.as_slice()
        };
        let converted: Vec<u8>;
        let bytes = match self.storage.scalar {
            Scalar::I8 => {
                converted = bytes
                    .iter()
                    .flat_map(|&b| i16::from(b.cast_signed()).to_le_bytes())
                    .collect();
                converted.as_slice()
            }
            Scalar::Bool => {
                converted = bytes.iter().map(|&b| u8::from(b != 0)).collect();
                converted.as_slice()
            }
            _ => bytes,
        };
        let shape: Vec<usize> = self.size.iter().map(|&n| n as usize).collect();
        Tensor::from_raw_buffer(bytes, self.storage.scalar.dtype(), &shape, &Device::Cpu)
            .map_err(|error| TensorProblem::Candle(error.to_string()))
    }

    /// The elements in order, wherever they lie. There is at least one.
    fn gather(&self, storage: &[u8], width: usize) -> Vec<u8> {
        let mut gathered = Vec::with_capacity(self.elements as usize * width);
        let mut index = vec![0; self.size.len()];
        let mut position = self.offset;
        for _ in 0..self.elements {
            let start = position as usize * width;
            gathered.extend_from_slice(&storage[start..start + width]);
            for dimension in (0..index.len()).rev() {
                index[dimension] += 1;
                position += self.stride[dimension];
                if index[dimension] < self.size[dimension] {
                    break;
                }
                // Past the end of this dimension: back to its start, and one further in the one before. The very
                // last step may leave `position` without meaning; it is not used any more.
                position -= self.stride[dimension] * index[dimension];
                index[dimension] = 0;
            }
        }
        gathered
    }
}
