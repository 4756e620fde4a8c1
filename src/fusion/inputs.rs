//! What a method works on, and what comes of it.

use candle_core::Tensor;

use crate::arch::Network;

/// What a method works on.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The models, of equal architecture and on one device.
    pub models: &'a [Network],
    /// Fusion set `[N, C, H, W]`, for methods with [`Method::uses_fusion_set`](super::Method::uses_fusion_set).
    pub images: Option<&'a Tensor>,
    /// Labels of the fusion set `[N]` (u32), for importance scores other than uniform.
    pub labels: Option<&'a Tensor>,
    /// Seed of the method's own randomness.
    pub seed: u64,
    /// Class counts of the samples each model was trained on, `[model][class]`; needed for head weights.
    pub class_counts: Option<&'a [Vec<u64>]>,
}

/// The outcome.
#[derive(Debug)]
pub enum Fused {
    /// One network of the models' size.
    Network {
        /// The network.
        network: Network,
        /// What the method has to say about its way, for the record.
        diagnostics: serde_json::Value,
    },
    /// The models themselves, with a weight per model and class.
    Ensemble {
        /// `[model][class]`, columns sum to 1; `None` for equal weights.
        weights: Option<Vec<Vec<f64>>>,
    },
}
