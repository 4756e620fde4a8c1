//! The command line's grammar.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Declarative experiments in neural network model fusion.
#[derive(Debug, Parser)]
#[command(version, about, bin_name = "runner", propagate_version = true)]
pub struct Cli {
    /// Options of all commands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of all commands.
#[derive(Debug, Args)]
pub struct Global {
    /// Folder of results, one folder per experiment in it
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "results",
        env = "RUNNER_RESULTS"
    )]
    pub results: PathBuf,
    /// Folder of table templates; those compiled in are used where it has none
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "templates",
        env = "RUNNER_TEMPLATES"
    )]
    pub templates: PathBuf,
    /// Folder of data sets; wins over the manifest's `dataset.dir`
    #[arg(long, global = true, value_name = "DIR", env = "RUNNER_DATA")]
    pub data_dir: Option<PathBuf>,
    /// Say more on standard error (-v: info, -vv: debug)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Form of log lines on standard error and in job logs
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        default_value = "human",
        env = "RUNNER_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run what is missing of an experiment, then write and print its tables
    Exec(ExecArgs),
    /// Check a manifest and everything it refers to, without running anything
    Check(ManifestArgs),
    /// List the jobs of a manifest
    List(ListArgs),
    /// Show a manifest as it is understood
    Config(ConfigArgs),
    /// Print the JSON Schema of manifests, for editors
    Schema(SchemaArgs),
    /// List the fusion methods, or the parameters of one
    Methods(MethodsArgs),
    /// Show what is finished, failed or missing
    Status(StatusArgs),
    /// Show the log of a job
    Logs(LogsArgs),
    /// Render tables from results
    Table(TableArgs),
    /// Draw figures from results
    Plot(PlotArgs),
    /// Write one HTML page of an experiment: tables, figures, every job
    Report(ReportArgs),
    /// Show what differs between two sets of results
    Compare(CompareArgs),
    /// Run an experiment again, elsewhere, and compare with its results
    Verify(VerifyArgs),
    /// Download data sets into the data folder
    Fetch(FetchArgs),
    /// Fuse models from files, without a manifest
    Fuse(FuseArgs),
    /// Score the neurons of models from files, without a manifest
    Importance(ImportanceArgs),
    /// Show what is in checkpoints: safetensors, or PyTorch's of any age
    Inspect(InspectArgs),
    /// Convert a checkpoint for other programs
    Export(ExportArgs),
    /// Convert any checkpoint to one of this program
    Import(ImportArgs),
    /// Run one serialised job (used by executors)
    #[command(hide = true)]
    Worker(WorkerArgs),
}

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
    /// Device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
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
    /// Show what would run and why; write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Jobs at a time [default: number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
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
    /// Try a failed job again, up to N times
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: usize,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: Format,
    /// Wait for another `exec` on the same results instead of refusing
    #[arg(long)]
    pub wait: bool,
}

/// Which jobs run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rerun {
    /// Those that failed.
    Failed,
}

/// Form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON document.
    Json,
    /// One JSON object a line, as things happen.
    Jsonl,
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
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: Format,
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

/// Arguments of `table`.
#[derive(Debug, Args)]
pub struct TableArgs {
    /// A manifest, or the name of an experiment with results
    pub experiment: String,
    /// Template [default: those of the manifest]
    #[arg(long)]
    pub template: Option<String>,
    /// Metric: accuracy, f1, loss, `roc_auc`, or a cost, see --columns [default: those of the manifest]
    #[arg(long, value_delimiter = ',')]
    pub metric: Vec<String>,
    /// Further numbers beside each: metrics, `normalised_accuracy`, `fuse_seconds`, `peak_memory`, samples
    #[arg(long, value_name = "METRIC", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Decimals [default: 4 for the loss, 2 for what is in percent]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(..=15))]
    pub precision: Option<u8>,
    /// Row to test all others against, across seeds: its label, a method, or METHOD/IMPORTANCE
    #[arg(long, value_name = "ROW")]
    pub baseline: Option<String>,
    /// The test: t (paired), wilcoxon, or mcnemar over the test examples of a single run
    #[arg(long, value_name = "TEST", requires = "baseline")]
    pub test: Option<String>,
    /// Axis of the template `ablation` [default: the one that varies]
    #[arg(long, value_name = "KEY")]
    pub axis: Option<String>,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "markdown")]
    pub format: TableFormat,
}

/// Form of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For a terminal or a README.
    Markdown,
    /// For a paper.
    Latex,
    /// For a spreadsheet.
    Csv,
    /// For a program.
    Json,
    /// One LaTeX macro per cell, for running text.
    Macros,
}

/// Arguments of `plot`.
#[derive(Debug, Args)]
pub struct PlotArgs {
    /// A manifest, or the name of an experiment with results
    pub experiment: String,
    /// Figures: bars, models, confusion, classes, training, ablation [default: all that the results allow]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub figure: Vec<String>,
    /// Metric of the figures models and ablation
    #[arg(long, default_value = "accuracy")]
    pub metric: String,
    /// Axis of the figure ablation [default: the one that varies]
    #[arg(long, value_name = "KEY")]
    pub axis: Option<String>,
    /// Forms of the files: svg, png, tex (pgfplots)
    #[arg(
        long,
        value_name = "FORM",
        value_delimiter = ',',
        default_value = "svg,png,tex"
    )]
    pub format: Vec<PlotFormat>,
    /// Pixels of a PNG for each of the SVG
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    pub scale: f64,
    /// Where to write [default: plots/ in the experiment's results]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A manifest, or the name of an experiment with results
    pub experiment: String,
    /// Where to write [default: report.html in the experiment's results]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A folder of results, the name of an experiment, or REV:PATH of git
    pub first: String,
    /// The same
    pub second: String,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: StepFormat,
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
    /// Go on although the manifest is not committed as it is
    #[arg(long)]
    pub allow_dirty: bool,
    /// Largest difference of a metric where another kind of device made the results; on the same kind there is none
    #[arg(long, value_name = "X", default_value_t = 1e-3)]
    pub tolerance: f64,
    /// Jobs at a time [default: number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "human")]
    pub format: StepFormat,
}

/// Form of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlotFormat {
    /// For the web and for vector programs.
    Svg,
    /// For everything else.
    Png,
    /// For LaTeX: pgfplots.
    Tex,
}

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Data sets: mnist, fashion-mnist, cifar10, cifar100, tiny-imagenet or bloodmnist
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Another server with the same paths below this URL
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// Height and width of images, for data sets that are published in several sizes
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<usize>,
}

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

/// Form of a single result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StepFormat {
    /// For people.
    Human,
    /// One JSON document.
    Json,
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
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Any file that `inspect` reads
    pub file: PathBuf,
    /// What to write, a `.safetensors` file
    pub out: PathBuf,
    /// Heads of a vision transformer, for files that do not tell them
    #[arg(long, value_name = "N")]
    pub heads: Option<usize>,
}

/// Arguments of `worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// A serialised job
    pub job: PathBuf,
    /// Name of the experiment
    #[arg(long)]
    pub experiment: String,
    /// Device to compute on
    #[arg(long, default_value = "auto")]
    pub device: String,
}
