//! `runner interpolate`: the loss on the straight line between two models from files.

use std::path::Path;

use super::args::{AlignArg, Global, InterpolateArgs, StepFormat};
use super::step::{Step, key};
use super::{CliError, output, plot};
use crate::job::interpolation;
use crate::report::{Metric, fixed};
use crate::result::{Findings, Interpolation, Study};

/// Runs the command.
pub fn run(args: &InterpolateArgs, global: &Global) -> Result<(), CliError> {
    // Files, and no patterns.
    let models = [literal(&args.first)?, literal(&args.second)?].join("\n");
    let method = match args.align {
        AlignArg::GitRebasin => "git-rebasin",
        AlignArg::None => "vanilla-averaging",
    };
    let mut keys = vec![key("fusion.0.", &format!("method={method}"), "--align: ")?];
    for text in &args.parameters {
        keys.push(key("fusion.0.", text, "--param ")?);
    }
    if let Some(samples) = args.samples {
        keys.push(key("fusion-set.", &format!("samples={samples}"), "--")?);
    }
    let mut step = Step::new(&args.step, Some(&models), keys, global)?;
    step.fusion()?;
    let files = plot::StudyFiles::check(
        &step.outputs(args.output.force),
        args.out.as_deref(),
        args.plot.as_deref(),
    )?;
    step.make()?;
    let (job, models, points) = (step.fusion()?.clone(), step.studied(), args.points.into());
    let study =
        step.study(move |resources, on_event| interpolation(&job, models, points, resources, on_event))?;
    let study = files.write(study)?;
    match (args.step.format, &study.found) {
        (StepFormat::Json, _) => output::out().json(&serde_json::json!(study))?,
        (StepFormat::Human, Findings::Interpolation(found)) => show(&study, found)?,
        (StepFormat::Human, Findings::Neurons(_)) => {}
    }
    Ok(())
}

/// The pattern that matches the file alone.
fn literal(path: &Path) -> Result<String, CliError> {
    let text = path.to_str().filter(|_| path.is_file()).ok_or_else(|| {
        let message = format!("there is no file `{}`", path.display());
        CliError::usage(
            message,
            "give the files of two models: `runner interpolate A.pt B.pt --dataset NAME`",
        )
    })?;
    Ok(glob::Pattern::escape(text))
}

/// A line per place, and the barriers.
fn show(study: &Study, found: &Interpolation) -> std::io::Result<()> {
    let mut out = output::out();
    let name = |alignment: &Option<String>| match alignment {
        None => "not aligned".to_string(),
        Some(alignment) => format!("aligned ({alignment})"),
    };
    let shown = [Metric::Loss, Metric::Accuracy];
    write!(out, "alpha")?;
    for line in &found.lines {
        for metric in shown {
            write!(
                out,
                "  {:>24}",
                format!("{} {}", name(&line.alignment), metric.short())
            )?;
        }
    }
    writeln!(out)?;
    for (at, alpha) in found.alpha.iter().enumerate() {
        write!(out, "{alpha:5.3}")?;
        for line in &found.lines {
            for metric in shown {
                let value = line
                    .metrics
                    .get(at)
                    .and_then(|metrics| metric.of_metrics(metrics));
                let text = value.map_or("--".to_string(), |value| metric.format(value, None));
                write!(out, "  {text:>24}")?;
            }
        }
        writeln!(out)?;
    }
    for line in &found.lines {
        let (dataset, name) = (&study.dataset, name(&line.alignment));
        match line.barrier > 0.0 {
            true => writeln!(
                out,
                "loss barrier on {dataset}, {name}: {} at alpha {:.3}",
                fixed(line.barrier, 4),
                line.barrier_at
            )?,
            false => writeln!(out, "no loss barrier on {dataset}, {name}")?,
        }
    }
    writeln!(
        out,
        "(largest excess of the test loss over the straight line between the losses of both ends; Entezari et al. 2022)"
    )
}
