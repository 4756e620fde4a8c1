//! `runner check`: everything that can be wrong before a job runs, and nothing written.

use std::collections::BTreeMap;

use super::CliError;
use super::args::{Global, ManifestArgs};
use super::{output, setup};
use crate::data::{DatasetSettings, known};
use crate::manifest::Resolved;
use crate::report::{Metric, lacking};

/// Runs the command.
pub fn run(args: &ManifestArgs, global: &Global) -> Result<(), CliError> {
    let experiment = setup::experiment(args, global)?;
    let manifest = &experiment.manifest;
    untested(manifest, global).iter().for_each(output::warning);
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
