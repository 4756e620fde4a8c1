//! What one epoch gave.

use serde::{Deserialize, Serialize};

/// What one epoch gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Epoch {
    /// From 0.
    pub epoch: usize,
    /// Mean training loss over the epoch's batches, weighted by their size.
    pub train_loss: f64,
    /// Accuracy on the held-out samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
    /// Accuracy on the test samples, where it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
}
