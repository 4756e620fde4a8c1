//! `runner compare`: what differs between two sets of results.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::CliError;
use super::args::{CompareArgs, Global, StepFormat};
use super::output::{self, Out};
use super::revision::{check_out, is_revision};
use super::setup;
use crate::report::{Comparison, Difference, Metric, Results, bootstrap, compare, fixed, load, mcnemar};
use crate::result::Store;

/// Resampled test sets behind an interval.
const RESAMPLES: usize = 1000;

/// Runs the command.
pub fn run(args: &CompareArgs, global: &Global) -> Result<(), CliError> {
    let scratch = tempfile::tempdir()?;
    let open = |name: &str, side: &str| open(name, &scratch.path().join(side), global);
    let (first, second) = (open(&args.first, "first")?, open(&args.second, "second")?);
    let comparison = compare(&first.1, &second.1);
    let mut out = output::out();
    match args.format {
        StepFormat::Json => out.json(&json!(comparison))?,
        StepFormat::Human => show(&mut out, &comparison, (&first.0, &second.0))?,
    }
    Ok(())
}

/// A folder of results, the name of an experiment, or `REV:path`.
fn open(name: &str, scratch: &Path, global: &Global) -> Result<(Store, Results), CliError> {
    let store = match name.split_once(':') {
        _ if Path::new(name).join("index.json").is_file() => Store::at(name),
        Some((revision, path)) => {
            check_out(revision, path, scratch)?;
            Store::at(scratch)
        }
        None => setup::store_of(name, global).map_err(|error| match is_revision(name) {
            true => CliError::usage(
                format!("`{name}` is a revision of git, and not a set of results"),
                format!("name the folder, too: `{name}:results/NAME`"),
            ),
            false => error,
        })?,
    };
    let results = load(&store)?;
    Ok((store, results))
}

fn show(out: &mut Out<impl Write>, comparison: &Comparison, stores: (&Store, &Store)) -> std::io::Result<()> {
    for difference in &comparison.differing {
        writeln!(out, "{}", difference.first)?;
        if difference.second != difference.first {
            writeln!(out, "  now {}", difference.second)?;
        }
        if let Some((before, after)) = difference.status {
            writeln!(out, "  status: {} -> {}", before.as_str(), after.as_str())?;
        }
        for (metric, values) in &difference.metrics {
            writeln!(out, "  {}: {}", metric.title(), change(*metric, *values))?;
        }
        if difference.confusion && difference.metrics.is_empty() {
            writeln!(out, "  the confusion matrix is another, with the same metrics")?;
        }
        if let Some(text) = examples(difference, stores) {
            writeln!(out, "  {text}")?;
        }
        for line in &difference.changed {
            writeln!(out, "  changed: {line}")?;
        }
    }
    for (jobs, side) in [
        (&comparison.only_first, "first"),
        (&comparison.only_second, "second"),
    ] {
        for job in jobs {
            writeln!(out, "only in the {side}: {job}")?;
        }
    }
    writeln!(
        out,
        "{} equal, {} differ, {} only in the first, {} only in the second",
        comparison.equal,
        comparison.differing.len(),
        comparison.only_first.len(),
        comparison.only_second.len()
    )
}

fn change(metric: Metric, (before, after): (Option<f64>, Option<f64>)) -> String {
    let text = |value: Option<f64>| value.map_or("--".to_string(), |value| metric.format(value, None));
    match (before, after) {
        (Some(a), Some(b)) => {
            let difference = (b - a) * metric.scale();
            // Differences of the last bits show as what they are.
            let difference = if difference.abs() < 1e-4 {
                format!("{difference:+.1e}")
            } else {
                let sign = if difference > 0.0 { "+" } else { "" };
                format!("{sign}{}", fixed(difference, 4))
            };
            format!("{} -> {} ({difference})", text(before), text(after))
        }
        _ => format!("{} -> {}", text(before), text(after)),
    }
}

/// What the predictions on the test examples say, where both jobs have stored them.
fn examples(difference: &Difference, stores: (&Store, &Store)) -> Option<String> {
    let first = stores.0.load_predictions(&difference.first)?;
    let second = stores.1.load_predictions(&difference.second)?;
    if first.labels != second.labels {
        return None;
    }
    let (before, after) = (first.correct(), second.correct());
    let test = mcnemar(&after, &before)?;
    let interval = bootstrap(&after, &before, RESAMPLES)?;
    Some(format!(
        "of {} test examples {} became right and {} wrong: p = {:.2e} (McNemar), difference {:+.2} [{:+.2}, {:+.2}] points (95 %, bootstrap)",
        after.len(),
        test.only_first,
        test.only_second,
        test.p,
        interval.difference * 100.0,
        interval.low * 100.0,
        interval.high * 100.0
    ))
}
