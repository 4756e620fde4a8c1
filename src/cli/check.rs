//! `runner check`: everything that can be wrong before a job runs, and nothing written.

use std::collections::BTreeMap;

use serde_json::json;

use super::CliError;
use super::args::{CheckArgs, Global, StepFormat};
use super::output;
use super::setup;
use super::warnings::{document, show};
use crate::data::{DatasetSettings, known};
use crate::manifest::{Problem, Resolved};
use crate::report::{Metric, lacking};

/// Runs the command.
pub fn run(args: &CheckArgs, global: &Global) -> Result<(), CliError> {
    let mode = setup::Mode {
        writes_nothing: true,
        ..setup::Mode::default()
    };
    let checked = setup::experiment_with(&args.manifest, global, mode);
    if args.format == StepFormat::Json {
        let found = match &checked {
            Ok(experiment) => json!({
                "experiment": experiment.manifest.name,
                "points": experiment.manifest.points.len(),
                "jobs": experiment.plan.jobs.len(),
                "device": experiment.device_name,
                "problems": [],
                "warnings": document(&warnings(&experiment.manifest, global)),
            }),
            Err(CliError::User(error)) => json!({ "problems": document(&error.problems), "warnings": [] }),
            Err(_) => return checked.map(drop),
        };
        output::out().json(&found)?;
        return checked.map(drop);
    }
    let experiment = checked?;
    let manifest = &experiment.manifest;
    let warnings = warnings(manifest, global);
    show(&warnings);
    let outcome = match warnings.len() {
        0 => "no problems".to_string(),
        1 => "no problems, 1 warning".to_string(),
        more => format!("no problems, {more} warnings"),
    };
    writeln!(
        output::out(),
        "{}: {} points, {} jobs on {}, {outcome}",
        manifest.name,
        manifest.points.len(),
        experiment.plan.jobs.len(),
        experiment.device_name
    )?;
    Ok(())
}

fn warnings(manifest: &Resolved, global: &Global) -> Vec<Problem> {
    let mut warnings = manifest.warnings.clone();
    warnings.extend(untested(manifest, global).into_iter().map(Problem::new));
    warnings
}

/// What test parts lack that metrics need. Sets that are known by their names lack nothing.
fn untested(manifest: &Resolved, global: &Global) -> Vec<String> {
    let settings = manifest.points.iter().map(|point| &point.settings.dataset);
    let distinct: BTreeMap<String, &DatasetSettings> =
        settings.map(|settings| (settings.id(), settings)).collect();
    let sets = setup::sets(global);
    let told_by_files =
        |settings: &&&DatasetSettings| known(&settings.name).map_or(true, |set| set.info.is_none());
    let warning = |settings: &&DatasetSettings| {
        // What cannot be loaded was reported as a problem.
        let set = sets.load(settings).ok()?;
        let mut examples = vec![0; set.classes];
        for &label in set.test.labels() {
            examples[label as usize] += 1;
        }
        let why = lacking(&examples)?;
        let metric = Metric::RocAuc.name();
        Some(format!(
            "`{}`: {why}, so there will be no {metric}; its cells will be `--`",
            settings.name
        ))
    };
    distinct
        .values()
        .filter(told_by_files)
        .filter_map(warning)
        .collect()
}
