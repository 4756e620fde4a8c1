//! Where an imported checkpoint came from: a metadata entry of safetensors files.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CheckpointError;
use super::native::LONGEST;
use super::torch::Attribute;

/// The metadata entry that holds it, as JSON.
pub(super) const KEY: &str = "runner-origin";

/// Reads the entry; says why it cannot be read.
pub(super) fn read(json: &str) -> Result<Origin, String> {
    match json.len() > LONGEST {
        true => Err(format!(
            "it has {} bytes, and at most {LONGEST} are read",
            json.len()
        )),
        false => serde_json::from_str(json).map_err(|error| error.to_string()),
    }
}

/// What is known of the file that a checkpoint was imported from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Origin {
    /// Its name, without folders.
    pub file: String,
    /// Its blake3.
    pub blake3: String,
    /// The model's Python class.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub class: Option<String>,
    /// The module's attributes, as far as JSON has them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub attributes: BTreeMap<String, Value>,
    /// The `eps` of normalisations by the module's name, where one is not PyTorch's default.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub norms: BTreeMap<String, f64>,
}

impl Origin {
    /// The attributes as they were read.
    pub(super) fn attributes(&self) -> BTreeMap<String, Attribute> {
        let parse = |(name, value): (&String, &Value)| (name.clone(), Attribute::from_json(value));
        self.attributes.iter().map(parse).collect()
    }
}

pub(super) fn hash(path: &Path) -> Result<String, CheckpointError> {
    let mut hasher = blake3::Hasher::new();
    crate::files::open(path)
        .and_then(|file| hasher.update_reader(file).map(|_| ()))
        .map_err(|error| CheckpointError::io(path, error))?;
    Ok(hasher.finalize().to_hex().to_string())
}
