//! Files: `fetch`, `inspect`, `export`, `import`.

use std::path::PathBuf;

use clap::Args;

use super::format::Format;
use super::step::OutputArgs;

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    #[arg(required = true, value_name = "NAME", help = downloadable())]
    pub names: Vec<String>,
    /// Another server with the same paths below this URL
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// Height and width of images, for data sets that are published in several sizes
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<usize>,
}

/// The data sets that can be downloaded, for the help.
fn downloadable() -> String {
    format!("Data sets: {}", crate::data::fetch::names().join(", "))
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Checkpoints; their content tells the format, not their names
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Data set whose classes are counted among the samples that each model was trained on
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: Format,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Any file that `inspect` reads
    pub checkpoint: PathBuf,
    /// What to write: `.pt` for a PyTorch state dict, or `.safetensors`
    pub out: PathBuf,
    /// Whether files are replaced.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Any file that `inspect` reads
    pub file: PathBuf,
    /// What to write, a `.safetensors` file
    pub out: PathBuf,
    /// Whether files are replaced.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Heads of a vision transformer, for files that do not tell them
    #[arg(long, value_name = "N")]
    pub heads: Option<usize>,
}
