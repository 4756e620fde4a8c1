//! The command line's grammar.

mod exec;
mod files;
mod format;
mod report;
mod step;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use exec::{
    CancelArgs, CheckArgs, ConfigArgs, EndedArgs, ExecArgs, GcArgs, ListArgs, LogsArgs, ManifestArgs,
    MethodsArgs, Rerun, SchemaArgs, SelectArgs, StatusArgs, TaskArgs, VerifyArgs, WatchArgs, Where,
    WorkerArgs, WorkerKind,
};
pub use files::{ExportArgs, FetchArgs, ImportArgs, InspectArgs};
pub use format::{Format, StepFormat};
pub use report::{CompareArgs, PlotArgs, PlotFormat, ReportArgs, TableArgs, TableFormat};
pub use step::{
    AlignArg, EvaluateArgs, FinetuneArgs, FuseArgs, ImportanceArgs, InterpolateArgs, OutputArgs, PlaceArg,
    StepArgs, TrainArgs,
};

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
    /// Form of everything on standard error, and of job logs
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        default_value = "human",
        env = "RUNNER_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
}

/// Form of messages and log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line: log lines, warnings, failures, errors, summaries; no progress bars.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run what is missing of an experiment, then write and print its tables
    Exec(ExecArgs),
    /// Check a manifest and everything it refers to, without running anything
    Check(CheckArgs),
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
    /// Take what is queued on Slurm out of the queue, and end what runs there
    Cancel(CancelArgs),
    /// Show how a running experiment comes along, whoever runs it
    Watch(WatchArgs),
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
    /// Remove results that belong to no job any more
    Gc(GcArgs),
    /// Download data sets into the data folder
    Fetch(FetchArgs),
    /// Train models, without a manifest
    Train(TrainArgs),
    /// Fuse models from files, without a manifest
    Fuse(FuseArgs),
    /// Train models from files further, without a manifest
    Finetune(FinetuneArgs),
    /// Evaluate models from files on the test set, without a manifest
    Evaluate(EvaluateArgs),
    /// Score the neurons of models from files, without a manifest
    Importance(ImportanceArgs),
    /// Follow the loss on the straight line between two models from files, aligned and not
    Interpolate(InterpolateArgs),
    /// Show what is in checkpoints: safetensors, or PyTorch's of any age
    Inspect(InspectArgs),
    /// Convert a checkpoint for other programs
    Export(ExportArgs),
    /// Convert any checkpoint to one of this program
    Import(ImportArgs),
    /// Run one task of a Slurm array (used by its script)
    #[command(hide = true)]
    Task(TaskArgs),
    /// Tell how a submission to Slurm has ended (used by its script)
    #[command(hide = true)]
    Ended(EndedArgs),
    /// Run one serialised job (used by executors)
    #[command(hide = true)]
    Worker(WorkerArgs),
}
