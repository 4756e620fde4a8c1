//! `runner plot`: figures from results alone.

use std::io::Write;
use std::path::PathBuf;

use super::CliError;
use super::args::{Global, PlotArgs, PlotFormat};
use super::setup;
use crate::report::{FIGURES, FigureOptions, ReportError, Theme, figures, load};
use crate::result::{create_dir, write_atomic};

/// Runs the command. All figures are drawn before the first is written.
pub fn run(args: &PlotArgs, global: &Global) -> Result<(), CliError> {
    let store = setup::store_of(&args.experiment, global)?;
    let results = load(&store)?;
    let options = FigureOptions {
        metric: args.metric.parse()?,
        axis: args.axis.clone(),
    };
    let folder = args.out.clone().unwrap_or_else(|| store.plots());
    let asked = !args.figure.is_empty();
    let names: Vec<&str> = match asked {
        true => args.figure.iter().map(String::as_str).collect(),
        false => FIGURES.to_vec(),
    };
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for name in names {
        let made = match figures(&results, name, &options) {
            Ok(made) => made,
            // Asked for everything, one gets what there is.
            Err(ReportError::NoFigure { .. } | ReportError::NoAxis { .. }) if !asked => continue,
            Err(error) => return Err(error.into()),
        };
        for figure in made {
            for format in &args.format {
                let (ending, content) = match format {
                    PlotFormat::Svg => ("svg", figure.to_svg(Theme::File).into_bytes()),
                    PlotFormat::Png => ("png", figure.to_png(args.scale)?),
                    PlotFormat::Tex => ("tex", figure.to_pgf().into_bytes()),
                };
                files.push((folder.join(format!("{}.{ending}", figure.name)), content));
            }
        }
    }
    if files.is_empty() {
        let message = format!("`{}` has nothing to draw", results.index.experiment);
        return Err(CliError::usage(
            message,
            "`runner status` says which jobs are missing or failed, and why",
        ));
    }
    create_dir(&folder)?;
    let mut out = std::io::stdout().lock();
    for (path, content) in files {
        write_atomic(&path, &content)?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}
