//! `runner check`: everything that can be wrong before a job runs, and nothing written.

use std::io::Write;

use serde_json::json;

use super::CliError;
use super::args::{CheckArgs, Global, StepFormat};
use super::setup;
use super::warnings::{self, document};

/// Runs the command.
pub fn run(args: &CheckArgs, global: &Global) -> Result<(), CliError> {
    let checked = setup::experiment(&args.manifest, global);
    if args.format == StepFormat::Json {
        let found = match &checked {
            Ok(experiment) => json!({
                "experiment": experiment.manifest.name,
                "points": experiment.manifest.points.len(),
                "jobs": experiment.plan.jobs.len(),
                "device": experiment.device_name,
                "problems": [],
                "warnings": document(&experiment.manifest.warnings),
            }),
            Err(CliError::User(error)) => json!({ "problems": document(&error.problems), "warnings": [] }),
            Err(_) => return checked.map(drop),
        };
        writeln!(std::io::stdout(), "{found:#}")?;
        return checked.map(drop);
    }
    let experiment = checked?;
    let manifest = &experiment.manifest;
    warnings::show(&manifest.warnings);
    let outcome = match manifest.warnings.len() {
        0 => "no problems".to_string(),
        1 => "no problems, 1 warning".to_string(),
        more => format!("no problems, {more} warnings"),
    };
    writeln!(
        std::io::stdout(),
        "{}: {} points, {} jobs on {}, {outcome}",
        manifest.name,
        manifest.points.len(),
        experiment.plan.jobs.len(),
        experiment.device_name
    )?;
    Ok(())
}
