//! Running: `exec`, `verify`, `worker` and what looks at a manifest.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::format::{Format, StepFormat};

/// A manifest and changes to it.
#[derive(Debug, Args)]
pub struct ManifestArgs {
    /// The manifest, a TOML file
    pub manifest: PathBuf,
    /// Changes to the manifest: `base.epochs=3`, or `split.parts=2,4` for an axis
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// The same as a trailing `KEY=VALUE`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Take a key away, such as `base.optimizer` with all its keys, before others are set
    #[arg(long, value_name = "KEY")]
    pub unset: Vec<String>,
    /// Device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: StepFormat,
}

/// Which jobs.
#[derive(Debug, Args)]
pub struct SelectArgs {
    /// Only jobs that pass the filter, such as `method=hf-*,parts=2`; several filters add up
    #[arg(short = 'E', long = "filter", value_name = "FILTER")]
    pub filters: Vec<String>,
    /// Only a share of the jobs: `slice:1/4` is every fourth, starting with the first
    #[arg(long, value_name = "slice:M/N")]
    pub partition: Option<String>,
}

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Which jobs.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Where jobs run: here, or on the nodes of a Slurm cluster; then `exec` submits them and ends
    #[arg(long, value_name = "WHERE", default_value = "local")]
    pub executor: Where,
    /// Show what would run and why; write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Jobs at a time [default: number of cores; on a GPU one]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Where jobs run: threads of this process, which share what they load, or a process each, which can be ended [default:
    /// threads; processes where `resources.memory` sets a limit]
    #[arg(long, value_name = "KIND")]
    pub workers: Option<WorkerKind>,
    /// Run only jobs that failed before, and those skipped because of them
    #[arg(long, value_name = "WHICH")]
    pub rerun: Option<Rerun>,
    /// Run jobs although they are up to date: all, or those that pass the filter
    #[arg(short, long, value_name = "FILTER", num_args = 0..=1, default_missing_value = "*", require_equals = true)]
    pub force: Option<String>,
    /// Start nothing new after the first failure
    #[arg(long, conflicts_with = "max_fail")]
    pub fail_fast: bool,
    /// Start nothing new after N failures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_fail: Option<u32>,
    /// Try a failed job again, up to N times: after a second, and after twice as long each further time
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: usize,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: Format,
    /// Wait for another `exec` of the same jobs instead of refusing
    #[arg(long)]
    pub wait: bool,
}

/// Where jobs run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Where {
    /// On this machine.
    #[default]
    Local,
    /// On the nodes of a Slurm cluster.
    Slurm,
}

/// What a job runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WorkerKind {
    /// Threads of this process.
    Threads,
    /// A process for each job.
    Processes,
}

/// Which jobs run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rerun {
    /// Those that failed.
    Failed,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Which jobs.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: Format,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Write out every default
    #[arg(long)]
    pub resolve: bool,
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The reference of all keys as Markdown instead (the source of docs/manifest.md)
    #[arg(long)]
    pub markdown: bool,
}

/// Arguments of `methods`.
#[derive(Debug, Args)]
pub struct MethodsArgs {
    /// A method, for its parameters with defaults and ranges
    pub name: Option<String>,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// A manifest, or the name of an experiment with results
    pub experiment: String,
    /// Go on showing it as it changes: the same as `runner watch`
    #[arg(short, long, conflicts_with = "format")]
    pub follow: bool,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: Format,
}

/// Arguments of `cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// A manifest, or the name of an experiment with results
    pub experiment: String,
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// A manifest, or the name of an experiment with results
    pub experiment: String,
}

/// Arguments of `gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// A manifest, or the name of an experiment with results; all experiments by default
    pub experiment: Option<String>,
    /// Say what would go; remove nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: StepFormat,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// A job's name, or a part of it that no other job has
    pub job: String,
    /// Go on as the job writes
    #[arg(short, long)]
    pub follow: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: ManifestArgs,
    /// Only N jobs, spread over the plan, and what they need
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: Option<u32>,
    /// Go on although the manifest or a record is not committed as it is
    #[arg(long)]
    pub allow_dirty: bool,
    /// Largest difference of a metric where another kind of device made the results; on the same kind there is none
    #[arg(long, value_name = "X", default_value_t = 1e-3, value_parser = tolerance, allow_negative_numbers = true)]
    pub tolerance: f64,
    /// Jobs at a time [default: number of cores; on a GPU one]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: StepFormat,
}

/// Arguments of `task`.
#[derive(Debug, Args)]
pub struct TaskArgs {
    /// The folder of a submission
    pub folder: PathBuf,
    /// Which of its arrays
    pub array: usize,
    /// Which task of it; by default what Slurm says
    #[arg(env = "SLURM_ARRAY_TASK_ID")]
    pub task: usize,
}

/// Arguments of `ended`.
#[derive(Debug, Args)]
pub struct EndedArgs {
    /// The folder of a submission
    pub folder: PathBuf,
}

/// Arguments of `worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// A serialised job, or `-` for an order on standard input, with `--ordered`
    pub job: PathBuf,
    /// Name of the experiment
    #[arg(long, required_unless_present = "ordered")]
    pub experiment: Option<String>,
    /// Whether the order says where results are
    #[arg(long, hide = true)]
    pub ordered: bool,
    /// Device to compute on
    #[arg(long, default_value = "auto")]
    pub device: String,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "a number is wanted".to_string())?;
    match value >= 0.0 && value.is_finite() {
        true => Ok(value),
        false => Err("a number of at least 0 is wanted".to_string()),
    }
}
