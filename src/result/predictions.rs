//! What a job answered on each test example, kept in the cache for tests that need more than counts.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View, serialize};

/// Predicted and true classes, in the order of the test set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Predictions {
    /// Predicted classes.
    pub predicted: Vec<u16>,
    /// True classes.
    pub labels: Vec<u16>,
}

impl Predictions {
    /// Which examples it got right.
    pub fn correct(&self) -> Vec<bool> {
        self.predicted
            .iter()
            .zip(&self.labels)
            .map(|(a, b)| a == b)
            .collect()
    }

    /// As a safetensors file: `predicted` and `labels`, U16 `[N]`; `key` says which job they are of.
    pub(super) fn to_bytes(&self, key: &str) -> Result<Vec<u8>, SafeTensorError> {
        let tensors = [
            ("labels", Classes::of(&self.labels)),
            ("predicted", Classes::of(&self.predicted)),
        ];
        let metadata = HashMap::from([("key".to_string(), key.to_string())]);
        serialize(tensors, Some(metadata))
    }

    /// The reverse; nothing where it is not such a file, or of another job.
    pub(super) fn from_bytes(bytes: &[u8], key: &str) -> Option<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
        if metadata.metadata().as_ref()?.get("key")? != key {
            return None;
        }
        let tensors = SafeTensors::deserialize(bytes).ok()?;
        let classes = |name: &str| {
            let view = tensors
                .tensor(name)
                .ok()
                .filter(|view| view.dtype() == Dtype::U16)?;
            let (pairs, _) = view.data().as_chunks::<2>();
            Some(
                pairs
                    .iter()
                    .copied()
                    .map(u16::from_le_bytes)
                    .collect::<Vec<u16>>(),
            )
        };
        let found = Self {
            predicted: classes("predicted")?,
            labels: classes("labels")?,
        };
        (found.predicted.len() == found.labels.len()).then_some(found)
    }
}

struct Classes<'a>(&'a [u16], [usize; 1]);

impl<'a> Classes<'a> {
    fn of(classes: &'a [u16]) -> Self {
        Self(classes, [classes.len()])
    }
}

impl View for Classes<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::U16
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0
            .iter()
            .flat_map(|class| class.to_le_bytes())
            .collect::<Vec<u8>>()
            .into()
    }

    fn data_len(&self) -> usize {
        self.0.len() * 2
    }
}
