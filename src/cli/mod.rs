//! The command line: one file per command. The only part that prints, and that reads the environment.

mod args;
mod cancel;
mod check;
mod clock;
mod compare;
mod config;
mod ended;
mod error;
mod evaluate;
mod exec;
mod export;
mod faults;
mod fetch;
mod finetune;
mod fuse;
mod gc;
mod import;
mod importance;
mod inspect;
mod interpolate;
mod kept;
mod limits;
mod list;
mod logging;
mod logs;
mod methods;
mod notify;
mod outfile;
mod output;
mod planned;
mod plot;
mod pool;
mod progress;
mod provenance;
mod report;
mod revision;
mod schema;
mod setup;
mod slurm;
mod status;
mod step;
mod stop;
mod summary;
mod table;
mod task;
mod threads;
mod train;
mod verify;
mod warnings;
mod watch;
mod worker;

use std::process::ExitCode;

use clap::Parser;

pub use args::Cli;
use args::Command;
use error::CliError;
use pool::Pool;

use crate::manifest::{Problem, ResourceSettings};

/// How the jobs of a manifest share the machine. What is wrong with the manifest is reported later.
fn pool_of(manifest: &args::ManifestArgs, jobs: Option<u16>) -> Pool {
    let limits = setup::layers(manifest).ok().and_then(|layers| layers.resources());
    Pool::new(jobs, &limits.unwrap_or_default(), false)
}

/// Runs the command of the command line and turns its outcome into an exit code. A panic is an internal error.
pub fn main() -> ExitCode {
    std::panic::catch_unwind(run).unwrap_or_else(|_| {
        let error = CliError::Internal("the program panicked, as said above: please report it".into());
        error.print();
        ExitCode::from(error.code())
    })
}

/// Parses the command line and runs the command:
///
/// | code | meaning |
/// | --- | --- |
/// | 0 | all is well |
/// | 1 | internal error |
/// | 2 | usage, manifest or data; the system refuses threads, memory or room for the output |
/// | 4 | nothing selected |
/// | 100 | some jobs failed, or `verify` found differences |
/// | 130 | interrupted |
fn run() -> ExitCode {
    crate::guard::silence();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    // The parent of a worker puts its last words into a record.
    if !matches!(&cli.command, Command::Worker(args) if args.ordered) {
        output::init(cli.global.log_format);
    }
    match &cli.command {
        Command::Exec(args) if !args.dry_run => threads::set(pool_of(&args.manifest, args.jobs).cores),
        Command::Verify(args) => threads::set(pool_of(&args.manifest, args.jobs).cores),
        // One job: all cores.
        Command::Worker(_)
        | Command::Train(_)
        | Command::Fuse(_)
        | Command::Finetune(_)
        | Command::Evaluate(_)
        | Command::Importance(_)
        | Command::Interpolate(_) => {
            threads::set(Pool::new(Some(1), &ResourceSettings::default(), false).cores);
        }
        _ => {}
    }
    logging::init(&cli.global);
    let result = faults::init()
        .and_then(|()| limits::init(&cli.command))
        .and_then(|()| dispatched(&cli));
    // What is left of an unfinished line.
    let flushed = output::out().flush();
    match result.and_then(|()| Ok(flushed?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            ExitCode::from(error.code())
        }
    }
}

fn dispatched(cli: &Cli) -> Result<(), CliError> {
    match &cli.command {
        Command::Exec(args) => exec::run(args, &cli.global),
        Command::Check(args) => check::run(args, &cli.global),
        Command::List(args) => list::run(args, &cli.global),
        Command::Config(args) => config::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Methods(args) => methods::run(args),
        Command::Fetch(args) => fetch::run(args, &cli.global),
        Command::Train(args) => train::run(args, &cli.global),
        Command::Fuse(args) => fuse::run(args, &cli.global),
        Command::Finetune(args) => finetune::run(args, &cli.global),
        Command::Evaluate(args) => evaluate::run(args, &cli.global),
        Command::Importance(args) => importance::run(args, &cli.global),
        Command::Interpolate(args) => interpolate::run(args, &cli.global),
        Command::Status(args) => status::run(args, &cli.global),
        Command::Cancel(args) => cancel::run(args, &cli.global),
        Command::Watch(args) => watch::run(&args.experiment, &cli.global),
        Command::Logs(args) => logs::run(args, &cli.global),
        Command::Table(args) => table::run(args, &cli.global),
        Command::Plot(args) => plot::run(args, &cli.global),
        Command::Report(args) => report::run(args, &cli.global),
        Command::Compare(args) => compare::run(args, &cli.global),
        Command::Verify(args) => verify::run(args, &cli.global),
        Command::Gc(args) => gc::run(args, &cli.global),
        Command::Inspect(args) => inspect::run(args, &cli.global),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args),
        Command::Task(args) => task::run(args),
        Command::Ended(args) => ended::run(args),
        Command::Worker(args) => worker::run(args, &cli.global),
    }
}

/// What clap says: help and version on standard output, mistakes as an error of the form that they ask for.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && asks_for_json() {
        output::init(args::LogFormat::Json);
        let text = error.to_string();
        let (message, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let mut problem = Problem::new(message.trim_start_matches("error: "));
        problem.hint = Some(rest.trim().to_string()).filter(|hint| !hint.is_empty());
        output::problems(output::Level::Error, &[problem]);
    } else if error.use_stderr() && output::is_hostile(&error.to_string()) {
        output::plain(&error.to_string());
    } else {
        // A stream that is closed is no mistake, one that is full is.
        if let Err(problem @ CliError::User(_)) = error.print().map_err(CliError::from) {
            problem.print();
            return ExitCode::from(problem.code());
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Whether a command line that is not understood has JSON as the form of messages.
fn asks_for_json() -> bool {
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let given = words.iter().enumerate().rev().find_map(|(at, word)| {
        let value = word.strip_prefix("--log-format")?;
        match value.strip_prefix('=') {
            Some(value) => Some(value.to_string()),
            None if value.is_empty() => words.get(at + 1).cloned(),
            None => None,
        }
    });
    given
        .or_else(|| std::env::var("RUNNER_LOG_FORMAT").ok())
        .as_deref()
        == Some("json")
}
