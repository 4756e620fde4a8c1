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
mod inputs;
mod kf_gradient;
mod kf_linear;
mod layers;
mod level;
mod line;
mod list;
mod logit_kd;
mod member;
mod method;
mod on_device;
mod otfusion;
mod pull;
mod report;
mod run;
mod targets;

pub use average::VanillaAveraging;
pub use compare::{Difference, Needs};
pub use ensemble::{Ensemble, head_weights};
pub use error::FusionError;
pub use git_rebasin::GitRebasin;
pub use hf_linear::HfLinear;
pub use inputs::{Fused, Inputs};
pub use kf_gradient::{KfGradient, Start};
pub use kf_linear::KfLinear;
pub use level::LevelSettings;
pub use line::{barrier, interpolate};
pub use list::{METHODS, Method, ParameterReader, info, parameters};
pub use logit_kd::LogitKd;
pub use method::{Arity, Compat, FusionMethod, MethodInfo};
pub use otfusion::{GroundCost, OtFusion, TransportReport};
pub use report::{LayerReport, LevelTraining, errors};
pub use run::fuse;
pub use targets::{LevelTarget, weighted_means};
