//! Importance scores: how much each neuron of a layer or level matters for the true class' logit.
//!
//! | score | per sample and neuron | file |
//! | --- | --- | --- |
//! | uniform | 1 | `uniform` |
//! | conductance | integral from the zero input to x of the logit's change through the neuron | `conductance` |
//! | DeepLIFT | multiplier times the neuron's difference from the zero input | `deeplift` |
//! | feature ablation | logit minus the logit with the neuron's output set to 0 | `ablation` |
//!
//! A neuron's score is the mean over samples of the absolute values (summed over positions), plus 1e-8, so that none
//! is zero: means weighted by scores are always defined. The passes through an MLP are in f64: in f32 a pre-activation
//! within rounding of 0 may fall on the other side of a ReLU than in the reference, which changes a neuron's
//! conductance by some 1e-4. With convolutions a neuron's score is a sum over many positions and f32 is within 2e-5 of
//! the reference, at half the time; sums over positions and samples are in f64 everywhere.
//!
//! To add a score: write its file, with a type that implements [`Score`], and put its name into the list in `list.rs`.
//! Manifests, schema, help, labels of tables and keys follow from it.

mod ablation;
mod conductance;
mod deeplift;
mod list;
mod preparation;
mod probe;
mod score;
mod uniform;

use ablation::FeatureAblation;
use conductance::Conductance;
use deeplift::Deeplift;
use uniform::Uniform;

pub use list::Importance;
pub use preparation::{Preparation, normalise};
pub use probe::Place;
pub use score::{Score, ScoreInfo};
