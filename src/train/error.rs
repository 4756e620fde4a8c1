//! Why a training ended early.

/// Training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The caller said so.
    #[error("training was stopped")]
    Stopped,
    /// The loss, a weight or a logit is not a number any more.
    #[error(
        "the training has diverged: its loss, weights or logits are not finite in epoch {epoch}, step {step}: a smaller \
         learning rate may help"
    )]
    Diverged {
        /// From 0.
        epoch: usize,
        /// The epoch's batch, from 0.
        step: usize,
    },
    /// A snapshot of another training.
    #[error("the saved training is of another network: {0}")]
    Snapshot(String),
    /// The system gives no thread.
    #[error("starting a thread")]
    Thread(#[source] std::io::Error),
    /// Candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
