//! One step without a manifest: `fuse`, `importance`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::StepFormat;

/// Models and data of a command that needs no manifest.
#[derive(Debug, Args)]
pub struct StepArgs {
    /// Files of the models, as a pattern in quotes: 'dir/model_*.pt'. PyTorch files or safetensors of any origin
    #[arg(long, value_name = "PATTERN")]
    pub models: String,
    /// Name of the data set
    #[arg(long, value_name = "NAME")]
    pub dataset: String,
    /// Size of the fusion set, drawn from what model 0 was trained on
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Seed of the fusion set
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Any key of a manifest; those of `model` are needed only where the files do not tell the architecture
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: StepFormat,
}

/// Arguments of `fuse`.
#[derive(Debug, Args)]
pub struct FuseArgs {
    /// Fusion method; `runner methods` lists them
    #[arg(long, value_name = "NAME")]
    pub method: String,
    /// Parameter of the method, such as `importance=conductance`; `runner methods NAME` lists them
    #[arg(long = "param", value_name = "KEY=VALUE")]
    pub parameters: Vec<String>,
    /// Seed of the method's own randomness
    #[arg(long, value_name = "N")]
    pub method_seed: Option<u64>,
    /// Where to write the fused model, a safetensors file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Models and data.
    #[command(flatten)]
    pub step: StepArgs,
}

/// Arguments of `importance`.
#[derive(Debug, Args)]
pub struct ImportanceArgs {
    /// Score: uniform, conductance, deeplift or feature-ablation
    #[arg(long, value_name = "NAME")]
    pub kind: String,
    /// Whose outputs are scored
    #[arg(long, value_name = "PLACE", default_value = "level")]
    pub place: PlaceArg,
    /// Scale the scores of each layer or level to sum 1
    #[arg(long)]
    pub normalize: bool,
    /// Map the scores of each layer or level linearly onto [R, 1], before they are normalised
    #[arg(long, value_name = "R")]
    pub rescale: Option<f64>,
    /// Models and data.
    #[command(flatten)]
    pub step: StepArgs,
}

/// Whose outputs are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlaceArg {
    /// Those of the linear maps, before the nonlinearity.
    Layer,
    /// Those of the levels, which may include the nonlinearity.
    Level,
}
