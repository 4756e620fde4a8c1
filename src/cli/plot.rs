//! `runner plot`: figures from results alone.

use std::path::{Path, PathBuf};

use super::CliError;
use super::args::{Global, PlotArgs, PlotFormat};
use super::outfile::{self, Content, Output, Outputs};
use super::output;
use super::setup;
use crate::report::{FIGURES, Figure, FigureOptions, ReportError, Theme, figures, load, study_figure};
use crate::result::{Study, create_dir};

/// Pixels of a PNG for each of the SVG, where nobody says.
const SCALE: f64 = 2.0;

/// Runs the command. All figures are drawn before the first is written.
pub fn run(args: &PlotArgs, global: &Global) -> Result<(), CliError> {
    let options = FigureOptions {
        metric: args.metric.parse()?,
        axis: args.axis.clone(),
    };
    let file = Path::new(&args.experiment);
    let is_study = file.extension().is_some_and(|ending| ending == "json");
    let (folder, figures) = match is_study {
        true => of_study(file, args, &options)?,
        false => of_experiment(args, &options, global)?,
    };
    // Among an experiment's results.
    let own = !is_study && args.out.is_none();
    let folder = args.out.clone().unwrap_or(folder);
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for figure in figures {
        for format in &args.format {
            let path = folder.join(format!("{}.{}", figure.name, format.ending()));
            files.push((path, encoded(&figure, *format, args.scale)?));
        }
    }
    match &args.out {
        Some(out) => outfile::folder(out, "figures")?,
        None => create_dir(&folder)?,
    }
    let outputs = Outputs::new(args.output.force, Vec::new());
    let place = |path: &Path| match own {
        true => outfile::resolve(path),
        false => outputs.check("--out", path, Content::Picture),
    };
    let places = files
        .iter()
        .map(|(path, _)| place(path))
        .collect::<Result<Vec<_>, _>>()?;
    let mut out = output::out();
    for (place, (path, content)) in places.iter().zip(files) {
        place.write(&content)?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}

/// The figures asked for, or all that the results allow, and where they go.
fn of_experiment(
    args: &PlotArgs,
    options: &FigureOptions,
    global: &Global,
) -> Result<(PathBuf, Vec<Figure>), CliError> {
    let store = setup::store_of(&args.experiment, global)?;
    let results = load(&store)?;
    let asked = !args.figure.is_empty();
    if let (Some(axis), true) = (
        &args.axis,
        asked && !args.figure.iter().any(|name| name == "ablation"),
    ) {
        return Err(CliError::usage(
            format!("the axis `{axis}` is for the figure `ablation`, which is not asked for"),
            "add it to `--figure`, or leave `--axis` out",
        ));
    }
    let names: Vec<&str> = match asked {
        true => args.figure.iter().map(String::as_str).collect(),
        false => FIGURES.to_vec(),
    };
    let mut made = Vec::new();
    for name in names {
        match figures(&results, name, options) {
            Ok(figures) => made.extend(figures),
            // Asked for everything, one gets what there is.
            Err(ReportError::NoFigure { .. } | ReportError::NoAxis { .. }) if !asked => {}
            Err(error) => return Err(error.into()),
        }
    }
    if made.is_empty() {
        let message = format!("`{}` has nothing to draw", results.index.experiment);
        return Err(CliError::usage(
            message,
            "`runner status` says which jobs are missing or failed, and why",
        ));
    }
    Ok((store.plots(), made))
}

/// The figure of a study, under the name of its file, beside it.
fn of_study(
    file: &Path,
    args: &PlotArgs,
    options: &FigureOptions,
) -> Result<(PathBuf, Vec<Figure>), CliError> {
    let mut figure = study_figure(&Study::load(file)?, options);
    if let Some(other) = args.figure.iter().find(|name| **name != figure.name) {
        return Err(CliError::usage(
            format!(
                "`{}` holds the figure `{}`, not `{other}`",
                file.display(),
                figure.name
            ),
            "leave out `--figure`",
        ));
    }
    if let Some(stem) = file.file_stem() {
        figure.name = stem.to_string_lossy().into_owned();
    }
    let folder = file.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok((folder, vec![figure]))
}

/// Where a study and its figure go, as far as they are asked for.
pub struct StudyFiles {
    out: Option<Output>,
    picture: Option<Output>,
}

impl StudyFiles {
    /// Both, if they may be written.
    pub fn check(outputs: &Outputs, out: Option<&Path>, picture: Option<&Path>) -> Result<Self, CliError> {
        let out = out.map(|path| outputs.check("--out", path, Content::Study));
        let picture = picture.map(|path| outputs.check("--plot", path, Content::Picture));
        Ok(Self {
            out: out.transpose()?,
            picture: picture.transpose()?,
        })
    }

    /// Writes them.
    pub fn write(&self, study: Study) -> Result<Study, CliError> {
        if let Some(picture) = &self.picture {
            let figure = study_figure(&study, &FigureOptions::default());
            picture.write(&drawn(&figure, &picture.path)?)?;
        }
        match &self.out {
            Some(out) => Ok(study.save(&out.target)?),
            None => Ok(study),
        }
    }
}

/// The figure in the form that the path's ending names.
pub fn drawn(figure: &Figure, path: &Path) -> Result<Vec<u8>, CliError> {
    encoded(figure, outfile::format_of(path)?, SCALE)
}

fn encoded(figure: &Figure, format: PlotFormat, scale: f64) -> Result<Vec<u8>, CliError> {
    Ok(match format {
        PlotFormat::Svg => figure.to_svg(Theme::File).into_bytes(),
        PlotFormat::Png => figure.to_png(scale)?,
        PlotFormat::Tex => figure.to_pgf().into_bytes(),
    })
}
