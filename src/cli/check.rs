//! `runner check`: everything that can be wrong before a job runs, and nothing written.

use super::CliError;
use super::args::{Global, ManifestArgs};
use super::{output, setup};

/// Runs the command.
pub fn run(args: &ManifestArgs, global: &Global) -> Result<(), CliError> {
    let experiment = setup::experiment(args, global)?;
    let manifest = &experiment.manifest;
    writeln!(
        output::out(),
        "{}: {} points, {} jobs on {}, no problems",
        manifest.name,
        manifest.points.len(),
        experiment.plan.jobs.len(),
        experiment.device_name
    )?;
    Ok(())
}
