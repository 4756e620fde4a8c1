//! Manifests: layers, axes, selectors, keys, and the text of every problem.

use std::path::Path;

use runner::data::Sets;
use runner::job::inputs::gather;
use runner::manifest::{Layers, ManifestError, Override, Resolved, in_order, resolve, resolve_partly};
use runner::plan::{Inputs, JobSpec, Plan, build};
use tempfile::TempDir;

mod adjust;
mod axes;
mod circles;
mod files;
mod groups;
mod keys;
mod layers;
mod limits;
mod plans;
mod problems;
mod seams;
mod sequential;
mod sizes;
mod training;
mod values;
mod warnings;

/// The start of most manifests here; what is under test begins at line 5.
const DIGITS: &str = "name = \"t\"\n\n[dataset]\nname = \"digits\"\n";

/// A folder with the manifest `m.toml`.
fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    write(folder.path(), "m.toml", text);
    folder
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    runner::result::write_atomic(&folder.join(name), text.as_ref()).expect("written");
}

/// Everything that is checked before the first job, as `runner check` does it.
fn check(
    folder: &Path,
    overrides: Vec<Override>,
    data_dir: Option<&Path>,
) -> Result<Resolved, ManifestError> {
    let layers = Layers::read(&folder.join("m.toml"), overrides)?;
    let sets = Sets::new(data_dir, None);
    let (resolved, mut problems) = resolve_partly(&layers, &sets);
    if let Some(resolved) = &resolved
        && let Err(error) = gather(&layers, resolved, &sets)
    {
        problems.extend(error.problems);
    }
    match resolved {
        Some(resolved) if problems.is_empty() => Ok(resolved),
        _ => Err(ManifestError {
            problems: in_order(problems),
        }),
    }
}

/// The report of all problems, without the folder's name.
fn report_in(folder: &Path, overrides: Vec<Override>, data_dir: Option<&Path>) -> String {
    let error = check(folder, overrides, data_dir).expect_err("a manifest with a problem");
    let real = folder.canonicalize().expect("the folder is there");
    let text = error.to_string().replace(&format!("{}/", real.display()), "");
    text.replace(&format!("{}/", folder.display()), "")
        .replace(&folder.display().to_string(), "FOLDER")
}

fn report(text: &str) -> String {
    report_in(folder(text).path(), Vec::new(), None)
}

/// The report of a manifest on the digits.
fn digits(rest: &str) -> String {
    report(&format!("{DIGITS}{rest}"))
}

fn set(text: &str) -> Override {
    Override::parse(text, "--set ").expect("key=value")
}

fn resolved(text: &str, overrides: &[&str]) -> Resolved {
    let folder = folder(text);
    let overrides = overrides.iter().map(|text| set(text)).collect();
    resolve(&Layers::read(&folder.path().join("m.toml"), overrides).expect("readable")).expect("no problems")
}

/// The plan of a manifest, with made-up input hashes.
fn plan(text: &str, overrides: &[&str]) -> Plan {
    let resolved = resolved(text, overrides);
    let ids = resolved.points.iter().map(|point| point.settings.dataset.id());
    let inputs = Inputs {
        datasets: ids.map(|id| (id, "d1".into())).collect(),
        ..Inputs::default()
    };
    build(&resolved, &inputs, "cpu").expect("no name twice")
}

/// Names of jobs without their hashes.
fn stems(plan: &Plan) -> Vec<&str> {
    plan.jobs.iter().map(|job| stem(job)).collect()
}

fn stem(job: &JobSpec) -> &str {
    job.name.rsplit_once('-').expect("a hash").0
}
