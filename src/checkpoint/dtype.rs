//! The types of elements that checkpoints hold, and their names in each format.

use candle_core::DType;

/// The type of a tensor's elements, as the file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
    /// 16-bit floating point.
    F16,
    /// 16-bit floating point with the range of [`Dtype::F32`].
    BF16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// 8-bit integer.
    I8,
    /// 8-bit integer without sign.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

/// Each type with its name here, in `torch.NAMEStorage`, and in safetensors.
const NAMES: [(Dtype, &str, &str, &str); 10] = [
    (Dtype::F32, "f32", "Float", "F32"),
    (Dtype::F64, "f64", "Double", "F64"),
    (Dtype::F16, "f16", "Half", "F16"),
    (Dtype::BF16, "bf16", "BFloat16", "BF16"),
    (Dtype::I64, "i64", "Long", "I64"),
    (Dtype::I32, "i32", "Int", "I32"),
    (Dtype::I16, "i16", "Short", "I16"),
    (Dtype::I8, "i8", "Char", "I8"),
    (Dtype::U8, "u8", "Byte", "U8"),
    (Dtype::Bool, "bool", "Bool", "BOOL"),
];

impl Dtype {
    /// Bytes of one element in a file.
    pub const fn size(self) -> u64 {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// For people: `f32`, `bool`, ...
    pub fn name(self) -> &'static str {
        self.names().1
    }

    /// The type it gets as a tensor. Candle has no 8-bit signed integers: they become 16-bit ones, and `bool`
    /// becomes `u8`.
    pub const fn candle(self) -> DType {
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

    /// The type that a tensor of candle's is written as; `None` for those that PyTorch cannot read.
    pub(super) const fn of(dtype: DType) -> Option<Self> {
        Some(match dtype {
            DType::F32 => Self::F32,
            DType::F64 => Self::F64,
            DType::F16 => Self::F16,
            DType::BF16 => Self::BF16,
            DType::I64 => Self::I64,
            DType::I32 => Self::I32,
            DType::I16 => Self::I16,
            DType::U8 => Self::U8,
            _ => return None,
        })
    }

    /// `Float` for `torch.FloatStorage`.
    pub(super) fn torch(self) -> &'static str {
        self.names().2
    }

    /// `F32`.
    pub(super) fn safetensors(self) -> &'static str {
        self.names().3
    }

    /// The type whose storages are called `name` with `Storage` after it.
    pub(super) fn from_torch(name: &str) -> Option<Self> {
        NAMES.iter().find(|names| names.2 == name).map(|names| names.0)
    }

    /// The type that safetensors calls `name`.
    pub(super) fn from_safetensors(name: &str) -> Option<Self> {
        NAMES.iter().find(|names| names.3 == name).map(|names| names.0)
    }

    fn names(self) -> (Self, &'static str, &'static str, &'static str) {
        // Every type has its row; the first stands in where one is forgotten, which a test would find.
        NAMES
            .into_iter()
            .find(|names| names.0 == self)
            .unwrap_or(NAMES[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_belong_together() {
        for (dtype, name, torch, safetensors) in NAMES {
            assert_eq!((dtype.name(), dtype.torch()), (name, torch));
            assert_eq!(Dtype::from_torch(torch), Some(dtype));
            assert_eq!(Dtype::from_safetensors(safetensors), Some(dtype));
            if !matches!(dtype, Dtype::I8 | Dtype::Bool) {
                assert_eq!(Dtype::of(dtype.candle()), Some(dtype));
                assert_eq!(dtype.candle().size_in_bytes() as u64, dtype.size());
            }
        }
        assert_eq!(Dtype::of(DType::U32), None);
    }
}
