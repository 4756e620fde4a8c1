//! What an experiment's index will be, and whether the tables asked for fit it.

use std::path::{Component, Path, PathBuf};

use super::provenance::manifest_hash;
use crate::job::places;
use crate::manifest::{Layers, Problem, ReportSettings, Resolved};
use crate::plan::Plan;
use crate::report::{ReportError, Summary, TableOptions, Templates, check_request};
use crate::result::{Index, IndexEntry, SCHEMA, TableRequest};

/// What there should be, by the plan of the manifest at `path`, as seen from the results folder.
pub fn index(manifest: &Resolved, plan: &Plan, path: String) -> Index {
    Index {
        schema: SCHEMA,
        experiment: manifest.name.clone(),
        dataset: datasets(manifest),
        manifest: path,
        manifest_hash: manifest_hash(manifest),
        tables: manifest.reports.iter().map(request).collect(),
        jobs: plan
            .jobs
            .iter()
            .flat_map(|job| {
                places(job).into_iter().map(|place| IndexEntry {
                    job: job.name.clone(),
                    key: job.key.clone(),
                    kind: job.kind(),
                    place: Some(place),
                })
            })
            .collect(),
    }
}

/// A path as seen from a folder, so that both can be moved together; where either is not there, as it is.
pub fn relative(folder: &Path, path: &Path) -> String {
    let (Ok(from), Ok(to)) = (folder.canonicalize(), path.canonicalize()) else {
        return path.display().to_string();
    };
    let shared = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    let down = to.components().skip(shared);
    up.chain(down).collect::<PathBuf>().display().to_string()
}

fn request(report: &ReportSettings) -> TableRequest {
    TableRequest {
        template: report.template.clone(),
        metrics: report.metric.clone(),
        columns: report.columns.clone(),
        precision: report.precision,
        baseline: report.baseline.clone(),
        test: report.test.clone(),
        axis: report.axis.clone(),
    }
}

/// The names of all data sets.
fn datasets(manifest: &Resolved) -> String {
    let mut names: Vec<&str> = Vec::new();
    for point in &manifest.points {
        let name = point.settings.dataset.name.as_str();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

/// Baselines and axes of `[[report]]` that no table of these jobs will have.
pub fn table_problems(
    layers: &Layers,
    (manifest, plan): (&Resolved, &Plan),
    templates: &Templates,
) -> Vec<Problem> {
    let along = |report: &ReportSettings| {
        templates
            .layout(&report.template)
            .is_ok_and(|name| name == "ablation")
    };
    let asks = |report: &ReportSettings| report.baseline.is_some() || report.axis.is_some() || along(report);
    if !manifest.reports.iter().any(asks) {
        return Vec::new();
    }
    let summary = match Summary::from_records(&index(manifest, plan, String::new()), &[]) {
        Ok(summary) => summary,
        Err(error) => return vec![Problem::new(super::error::chain(&error))],
    };
    let mut problems = Vec::new();
    for (i, report) in manifest
        .reports
        .iter()
        .enumerate()
        .filter(|(_, report)| asks(report))
    {
        let request = request(report);
        let checked = request.metrics.iter().try_for_each(|metric| {
            let layout = templates.layout(&request.template)?;
            check_request(&summary, &TableOptions::requested(&request, metric, layout)?)
        });
        if let Err(error) = checked {
            let key = match error {
                ReportError::UnknownBaseline { .. } => "baseline",
                _ if report.axis.is_some() => "axis",
                _ => "template",
            };
            let at = ["report", &i.to_string(), key].map(String::from);
            let mut problem = layers.problem(&at, false, super::error::chain(&error));
            problem.hint = error.hint();
            problems.push(problem);
        }
    }
    problems
}
