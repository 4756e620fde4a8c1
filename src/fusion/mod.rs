//! Fusion methods: several trained networks in, one network (or an ensemble) out.
//!
//! One file per method, with its parameters, formula and departures from the reference. [`Method`] is the closed set of
//! them, made from the one list in `list.rs`. To add a method: write its file, with a parameter struct that implements
//! [`FusionMethod`], and put its name into the list.

mod activations;
mod average;
mod compare;
mod ensemble;
mod error;
mod git_rebasin;
mod hf_linear;
mod kf_gradient;
mod kf_linear;
mod layers;
mod level;
mod line;
mod list;
mod logit_kd;
mod method;
mod on_device;
mod otfusion;
mod pull;
mod report;
mod targets;

pub use average::VanillaAveraging;
pub use compare::{Difference, Needs};
pub use ensemble::{Ensemble, head_weights};
pub use error::FusionError;
pub use git_rebasin::GitRebasin;
pub use hf_linear::HfLinear;
pub use kf_gradient::{KfGradient, Start};
pub use kf_linear::KfLinear;
pub use level::LevelSettings;
pub use line::{barrier, interpolate};
pub use list::{METHODS, Method, ParameterReader, info, parameters};
pub use logit_kd::LogitKd;
pub use method::{Arity, Compat, FusionMethod, MethodInfo};
pub use otfusion::{GroundCost, OtFusion, TransportReport};
pub use report::{LayerReport, LevelTraining, errors};
pub use targets::{LevelTarget, weighted_means};

use crate::arch::Network;
use crate::gpu;
use crate::tick::{Stopped, Tick};
use candle_core::Tensor;

/// What a method works on.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The models, of equal architecture and on one device.
    pub models: &'a [Network],
    /// Fusion set `[N, C, H, W]`, for methods with [`Method::uses_fusion_set`].
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

/// Runs a method. `on_tick` is called between layers, and within them between blocks of samples, steps of training, rows
/// of an assignment and pivots of a transport; it says whether to go on.
pub fn fuse(method: &Method, inputs: &Inputs, on_tick: &mut Tick) -> Result<Fused, FusionError> {
    let info = method.info();
    let found = inputs.models.len();
    match info.arity {
        Arity::Pair if found != 2 => {
            return Err(FusionError::Arity {
                method: info.name,
                found,
            });
        }
        Arity::Any if found == 0 => {
            return Err(FusionError::Missing {
                method: info.name,
                what: "at least one model",
            });
        }
        _ => {}
    }
    if inputs
        .models
        .iter()
        .flat_map(|model| &model.tensors)
        .any(gpu::active)
    {
        method.steps_on_host().iter().copied().for_each(gpu::note);
    }
    let mut stopped = false;
    let on_tick: &mut Tick = &mut || {
        let answer = on_tick();
        stopped |= answer.is_break();
        answer
    };
    let fused = method.run(inputs, on_tick);
    // Passes and scores know no other error than candle's.
    if stopped {
        return Err(Stopped.into());
    }
    let fused = fused?;
    if let Fused::Network { network, .. } = &fused {
        network.require_finite()?;
    }
    Ok(fused)
}
