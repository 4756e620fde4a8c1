//! What a job found out.

use serde_json::{Value, json};

use crate::result::Metrics;

/// What a job found out.
#[derive(Debug)]
pub(super) struct Outcome {
    pub metrics: Metrics,
    pub models: Vec<String>,
    pub diagnostics: Value,
}

/// What `diagnostics` says about a written checkpoint.
pub(super) fn checkpoint_entry(hash: &str) -> Value {
    json!({ "blake3": hash })
}
