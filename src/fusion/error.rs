//! Why a fusion stopped.

use crate::arch::ArchError;
use crate::linalg::LinalgError;
use crate::tick::Stopped;

/// Fusion failed.
#[derive(Debug, thiserror::Error)]
pub enum FusionError {
    /// The number of models does not fit.
    #[error("`{method}` fuses exactly two models, not {found}")]
    Arity {
        /// The method.
        method: &'static str,
        /// How many there are.
        found: usize,
    },
    /// The models differ where they must not.
    #[error("`{method}` needs {needs}, but {what} is {first} in model 0 and {other} in model {model}")]
    Mismatch {
        /// The method.
        method: &'static str,
        /// What it asks of the models.
        needs: &'static str,
        /// The layer, or what else differs.
        what: String,
        /// How it is in model 0.
        first: String,
        /// How it is in the other model.
        other: String,
        /// The other model's index.
        model: usize,
    },
    /// An input that the method needs is absent.
    #[error("`{method}` needs {what}")]
    Missing {
        /// The method.
        method: &'static str,
        /// What is absent.
        what: &'static str,
    },
    /// The network is no chain of linear maps.
    #[error(
        "`{method}` works on chains of linear maps and convolutions, which model {model}, of architecture `{architecture}`, is not"
    )]
    NoChain {
        /// The method.
        method: &'static str,
        /// The architecture.
        architecture: &'static str,
        /// Which model.
        model: usize,
    },
    /// A parameter names levels that the network does not have.
    #[error("`{method}`: {problem}")]
    Levels {
        /// The method.
        method: &'static str,
        /// Which parameter, and how.
        problem: String,
    },
    /// The k-means cannot start from the second model.
    #[error(
        "level `{level}` has {width} neurons, but model 1, from which the clustering starts, has {} there",
        found.map_or_else(|| "no such level".to_string(), |n| n.to_string())
    )]
    Start {
        /// The level's name.
        level: String,
        /// Width of the target.
        width: usize,
        /// Width of model 1's level.
        found: Option<usize>,
    },
    /// The training of a level diverged.
    #[error("the loss of level `{layer}` is not finite in epoch {epoch}: a smaller learning rate may help")]
    Diverged {
        /// The level's name.
        layer: String,
        /// From 0.
        epoch: usize,
    },
    /// The caller said so.
    #[error("the fusion was stopped")]
    Stopped(#[from] Stopped),
    /// Numbers that are not finite.
    #[error("layer `{layer}` of model {model} has {what} that are not finite")]
    NotFinite {
        /// Activations, or importance scores.
        what: &'static str,
        /// The layer's name.
        layer: String,
        /// Which model.
        model: usize,
    },
    /// The linear algebra failed.
    #[error("layer `{layer}` cannot be solved")]
    Linalg {
        /// The layer's name.
        layer: String,
        /// Why.
        source: LinalgError,
    },
    /// A network cannot be built.
    #[error(transparent)]
    Arch(#[from] ArchError),
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
