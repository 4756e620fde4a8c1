//! `runner list`: the jobs of a manifest.

use serde_json::json;

use super::CliError;
use super::args::{Format, Global, ListArgs};
use super::{output, setup};
use crate::plan::JobSpec;

/// Runs the command.
pub fn run(args: &ListArgs, global: &Global) -> Result<(), CliError> {
    let experiment = setup::experiment(&args.manifest, global)?;
    let (filters, slice) = setup::selection(&args.select)?;
    let chosen: Vec<&JobSpec> = experiment
        .plan
        .jobs
        .iter()
        .map(AsRef::as_ref)
        .filter(|job| filters.is_empty() || filters.iter().any(|filter| filter.matches(job)))
        .enumerate()
        .filter(|(i, _)| slice.is_none_or(|slice| i % slice.of == slice.part - 1))
        .map(|(_, job)| job)
        .collect();
    if chosen.is_empty() {
        return Err(CliError::NothingSelected);
    }
    let json = |job: &JobSpec| {
        let needs: Vec<&str> = job.needs.iter().map(|need| need.job.as_str()).collect();
        json!({ "job": job.name, "key": job.key, "kind": job.kind(), "seed": job.seed, "axes": job.axes, "needs": needs })
    };
    let mut out = output::out();
    match args.format {
        Format::Json => out.json(&chosen.iter().map(|job| json(job)).collect())?,
        Format::Jsonl => {
            for job in chosen {
                out.json_line(&json(job))?;
            }
        }
        Format::Human => {
            for job in chosen {
                writeln!(out, "{}", job.name)?;
            }
        }
    }
    Ok(())
}
