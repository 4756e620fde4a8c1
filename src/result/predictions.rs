//! What a job answered on each test example, kept in the cache for tests that need more than counts.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, View, serialize};
use serde::{Deserialize, Serialize};

/// The metadata entry.
const ENTRY: &str = "runner-predictions";
/// Version of the format. Files of the one before have no entry but `key`, and no checksum.
const SCHEMA: u32 = 2;

/// What the file says about itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    schema: u32,
    /// The job's.
    key: String,
    /// Of both tensors, the predicted classes first.
    blake3: String,
}

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

    fn head(&self, key: &str) -> Head {
        let classes = self.predicted.iter().chain(&self.labels);
        let bytes: Vec<u8> = classes.flat_map(|class| class.to_le_bytes()).collect();
        Head {
            schema: SCHEMA,
            key: key.to_string(),
            blake3: blake3::hash(&bytes).to_hex().to_string(),
        }
    }

    /// As a safetensors file: `predicted` and `labels`, U16 `[N]`; the metadata says which job they are of.
    pub(super) fn to_bytes(&self, key: &str) -> Result<Vec<u8>, SafeTensorError> {
        let tensors = [
            ("labels", Classes::of(&self.labels)),
            ("predicted", Classes::of(&self.predicted)),
        ];
        let head =
            serde_json::to_string(&self.head(key)).map_err(|error| SafeTensorError::IoError(error.into()))?;
        serialize(tensors, Some(HashMap::from([(ENTRY.to_string(), head)])))
    }

    /// The reverse; nothing where it is not such a file, is damaged, or of another job.
    pub(super) fn from_bytes(bytes: &[u8], key: &str) -> Option<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
        let metadata = metadata.metadata().as_ref()?;
        let head = match metadata.get(ENTRY) {
            Some(text) => Some(serde_json::from_str::<Head>(text).ok()?),
            None if metadata.get("key")? == key => None,
            None => return None,
        };
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
        let sound = head.is_none_or(|head| head == found.head(key));
        (sound && found.predicted.len() == found.labels.len()).then_some(found)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_files_of_the_same_job_are_read_and_no_other() {
        let predictions = Predictions {
            predicted: vec![3, 1, 2],
            labels: vec![3, 1, 1],
        };
        let bytes = predictions.to_bytes("job").expect("serialised");
        assert_eq!(Predictions::from_bytes(&bytes, "job"), Some(predictions.clone()));
        assert_eq!(Predictions::from_bytes(&bytes, "other"), None);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                // White space after the header may change; nothing that is read may.
                let found = Predictions::from_bytes(&changed, "job");
                assert!(found.is_none_or(|found| found == predictions), "{at}");
            }
        }
    }

    #[test]
    fn files_of_the_first_version_are_read() {
        let tensors = [
            ("labels", Classes::of(&[1, 2])),
            ("predicted", Classes::of(&[1, 1])),
        ];
        let metadata = HashMap::from([("key".to_string(), "job".to_string())]);
        let bytes = serialize(tensors, Some(metadata)).expect("serialised");
        assert_eq!(
            Predictions::from_bytes(&bytes, "job").expect("read").predicted,
            [1, 1]
        );
        assert_eq!(Predictions::from_bytes(&bytes, "other"), None);
    }
}
