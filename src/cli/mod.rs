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
mod list;
mod logging;
mod logs;
mod methods;
mod notify;
mod outfile;
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

use crate::manifest::ResourceSettings;

/// How the jobs of a manifest share the machine. What is wrong with the manifest is reported later.
fn pool_of(manifest: &args::ManifestArgs, jobs: Option<u16>) -> Pool {
    let limits = setup::layers(manifest).ok().and_then(|layers| layers.resources());
    Pool::new(jobs, &limits.unwrap_or_default(), false)
}

/// Parses the command line, runs the command, and turns its outcome into an exit code:
///
/// | code | meaning |
/// | --- | --- |
/// | 0 | all is well |
/// | 1 | internal error |
/// | 2 | usage, manifest or data |
/// | 4 | nothing selected |
/// | 100 | some jobs failed, or `verify` found differences |
/// | 130 | interrupted |
pub fn main() -> ExitCode {
    crate::guard::silence();
    let cli = Cli::parse();
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
    if let Err(error) = faults::init() {
        error.print();
        return ExitCode::from(error.code());
    }
    let result = match &cli.command {
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
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            ExitCode::from(error.code())
        }
    }
}
