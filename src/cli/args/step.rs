//! One step without a manifest: `train`, `fuse`, `finetune`, `evaluate`, `importance`, `interpolate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::format::StepFormat;

/// What every command that needs no manifest takes.
#[derive(Debug, Args)]
pub struct StepArgs {
    /// Name of the data set
    #[arg(long, value_name = "NAME")]
    pub dataset: String,
    /// Seed of splits, fusion sets, initialisation and batches
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

/// What a command does where a file is already there.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// Replace files that are there: inputs of the command, other models, files of other programs
    #[arg(short, long)]
    pub force: bool,
}

/// Models of a command that needs no manifest.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Files of the models, or patterns in quotes: 'dir/model_*.pt'. PyTorch files or safetensors of any origin
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub models: Vec<String>,
}

impl ModelArgs {
    /// All patterns, one a line, as `base.models` has them.
    pub fn patterns(&self) -> String {
        self.models.join("\n")
    }
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// How the training set is divided: full, non-iid, sharded, stratified or random
    #[arg(long, value_name = "KIND", default_value = "full")]
    pub split: String,
    /// Number of parts, one model each
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub parts: usize,
    /// Epochs of training
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Folder for the models, `model_0.safetensors` and so on; made if need be
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Whether files are replaced.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Data and settings.
    #[command(flatten)]
    pub step: StepArgs,
}

/// Arguments of `finetune`.
#[derive(Debug, Args)]
pub struct FinetuneArgs {
    /// Learning rates to try, separated by commas
    #[arg(long, value_name = "LR", value_delimiter = ',')]
    pub lr: Vec<f64>,
    /// Numbers of epochs to try, separated by commas; of all pairs the best one on validation samples counts
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub epochs: Vec<usize>,
    /// Folder for the models, safetensors with the names of the original files; made if need be
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Whether files are replaced.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Which models.
    #[command(flatten)]
    pub models: ModelArgs,
    /// Data and settings.
    #[command(flatten)]
    pub step: StepArgs,
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Which models.
    #[command(flatten)]
    pub models: ModelArgs,
    /// Data and settings.
    #[command(flatten)]
    pub step: StepArgs,
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
    /// Where to write the fused model: `.safetensors`, or `.pt` for a PyTorch state dict
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Whether files are replaced.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Where to draw the models' and the fused one's metrics as bars: an .svg, .png or .tex (pgfplots) file
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Size of the fusion set, drawn from what model 0 was trained on
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Which models.
    #[command(flatten)]
    pub models: ModelArgs,
    /// Data and settings.
    #[command(flatten)]
    pub step: StepArgs,
}

/// Arguments of `importance`.
#[derive(Debug, Args)]
pub struct ImportanceArgs {
    /// Scores: uniform, conductance, deeplift, feature-ablation; several are joined by `,`
    #[arg(long, value_name = "NAME", required = true, value_delimiter = ',')]
    pub kind: Vec<String>,
    /// Whose outputs are scored
    #[arg(long, value_name = "PLACE", default_value = "level")]
    pub place: PlaceArg,
    /// Scale the scores of each layer or level to sum 1
    #[arg(long)]
    pub normalize: bool,
    /// Map the scores of each layer or level linearly onto [R, 1], before they are normalised
    #[arg(long, value_name = "R")]
    pub rescale: Option<f64>,
    /// Where to draw the neurons of a level in the plane of two test images' activations, their score as size, their
    /// cluster as colour: an .svg, .png or .tex (pgfplots) file
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Where to write what that figure shows, a .json file; `runner plot FILE` draws it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Whether files are replaced.
    #[command(flatten)]
    pub output: OutputArgs,
    /// The level of that figure, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub level: usize,
    /// The two test images of that figure, by number
    #[arg(long, value_name = "I,J", default_value = "0,1", value_parser = pair)]
    pub images: [usize; 2],
    /// Size of the fusion set, drawn from what model 0 was trained on
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Which models.
    #[command(flatten)]
    pub models: ModelArgs,
    /// Data and settings.
    #[command(flatten)]
    pub step: StepArgs,
}

/// Arguments of `interpolate`.
#[derive(Debug, Args)]
pub struct InterpolateArgs {
    /// A model's file: PyTorch or safetensors of any origin
    pub first: PathBuf,
    /// Another one of the same architecture
    pub second: PathBuf,
    /// How the second model's neurons are put into the order of the first's, for a second curve
    #[arg(long, value_name = "HOW", default_value = "git-rebasin")]
    pub align: AlignArg,
    /// Parameter of the alignment, such as `importance=conductance`; `runner methods git-rebasin` lists them
    #[arg(long = "param", value_name = "KEY=VALUE")]
    pub parameters: Vec<String>,
    /// Networks on the line, both models among them
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u16).range(3..=1000))]
    pub points: u16,
    /// Where to write the result, a .json file; `runner plot FILE` draws it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Whether files are replaced.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Where to draw the curves: an .svg, .png or .tex (pgfplots) file
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Size of the fusion set, drawn from what the first model was trained on
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Data and settings.
    #[command(flatten)]
    pub step: StepArgs,
}

/// How a model is aligned to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AlignArg {
    /// By activation matching on the fusion set.
    GitRebasin,
    /// Not at all: one curve. For networks that layer-wise methods cannot follow, such as transformers.
    None,
}

/// Reads `3,7`.
fn pair(text: &str) -> Result<[usize; 2], String> {
    let number = |text: &str| text.trim().parse().map_err(|_| format!("`{text}` is no number"));
    match text.split_once(',') {
        Some((first, second)) => Ok([number(first)?, number(second)?]),
        None => Err("two numbers are needed, as in `3,7`".to_string()),
    }
}

/// Whose outputs are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlaceArg {
    /// Those of the linear maps, before the nonlinearity.
    Layer,
    /// Those of the levels, which may include the nonlinearity.
    Level,
}
