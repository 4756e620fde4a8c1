//! Tensors: their place in a storage.

use std::borrow::Cow;

use super::error::TensorProblem;
use crate::checkpoint::{Dtype, Raw};

/// As in PyTorch.
pub(in crate::checkpoint) const MAX_DIMENSIONS: usize = 64;

/// A one-dimensional block of elements, such as the archive's entry `data/KEY`. The key is a slice of the pickle while
/// that is read, and owned afterwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<K> {
    pub(super) key: K,
    pub(super) dtype: Dtype,
    pub(super) elements: u64,
    /// The part of it that tensors see, as first element and number of elements: files from before torch 0.4 have
    /// storages that are views of others. Elsewhere it is all of it.
    pub(super) view: (u64, u64),
}

impl<K> Storage<K> {
    /// Its length in the file.
    pub(super) const fn bytes(&self) -> u64 {
        self.elements.saturating_mul(self.dtype.size())
    }
}

/// Where a tensor's elements lie: element `i` at `offset + sum(i[d] * stride[d])`, inside the storage.
#[derive(Debug)]
pub(super) struct Layout<K> {
    pub(super) storage: Storage<K>,
    offset: u64,
    size: Vec<u64>,
    stride: Vec<u64>,
    elements: u64,
}

impl<K> Layout<K> {
    /// Checked: all elements are inside the storage, and their number and their bytes fit.
    pub(super) fn new(
        storage: Storage<K>,
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
        let (start, length) = storage.view;
        match start.checked_add(length) {
            None => return Err(TensorProblem::Shape),
            Some(end) if end > storage.elements => {
                return Err(TensorProblem::Bounds {
                    last: end - 1,
                    length: storage.elements,
                });
            }
            Some(_) => {}
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
            Some(last) if elements > 0 && last >= length => {
                return Err(TensorProblem::Bounds { last, length });
            }
            Some(_) => {}
        }
        Ok(Self {
            storage,
            // Whatever it is where there are no elements, it is not used.
            offset: offset.saturating_add(start),
            size,
            stride,
            elements,
        })
    }

    /// The same with another key.
    pub(super) fn with_key<L>(&self, key: L) -> Layout<L> {
        Layout {
            storage: Storage {
                key,
                dtype: self.storage.dtype,
                elements: self.storage.elements,
                view: self.storage.view,
            },
            offset: self.offset,
            size: self.size.clone(),
            stride: self.stride.clone(),
            elements: self.elements,
        }
    }

    /// Sizes of the dimensions.
    pub(super) fn shape(&self) -> Vec<usize> {
        self.size.iter().map(|&n| n as usize).collect()
    }

    /// Bytes of the tensor that comes of it.
    pub(super) fn bytes(&self) -> u64 {
        self.elements
            .saturating_mul(self.storage.dtype.candle().size_in_bytes() as u64)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.size.iter().zip(&self.stride).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size;
            fits
        })
    }

    /// The tensor's bytes, from those of its storage.
    pub(super) fn raw<'s>(&self, storage: &'s [u8]) -> Result<Raw<'s>, TensorProblem>
    where
        K: AsRef<str>,
    {
        let (found, expected) = (storage.len() as u64, self.storage.bytes());
        if found != expected {
            let key = self.storage.key.as_ref().chars().take(100).collect();
            return Err(TensorProblem::StorageBytes { key, expected, found });
        }
        let width = self.storage.dtype.size() as usize;
        let bytes = if self.elements == 0 {
            Cow::Borrowed(&[][..])
        } else if self.is_contiguous() {
            let start = self.offset as usize * width;
            Cow::Borrowed(&storage[start..start + self.elements as usize * width])
        } else {
            Cow::Owned(self.gather(storage, width))
        };
        Ok(Raw {
            dtype: self.storage.dtype,
            shape: self.shape(),
            bytes,
        })
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
