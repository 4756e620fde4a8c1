//! Errors of reports.

use crate::result::StoreError;

/// A report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Records, index or output could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such metric.
    #[error("unknown metric `{name}`")]
    UnknownMetric {
        /// As asked for.
        name: String,
        /// The most similar one there is.
        nearest: Option<String>,
        /// All there are.
        known: Vec<&'static str>,
    },
    /// A template makes other formats.
    #[error("the template `{name}` has no `.{ending}` file")]
    NoFormat {
        /// As asked for.
        name: String,
        /// What is lacking.
        ending: &'static str,
        /// What there is.
        has: &'static str,
    },
    /// No such template.
    #[error("unknown template `{name}`")]
    UnknownTemplate {
        /// As asked for.
        name: String,
        /// The most similar one there is.
        nearest: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// A template does not parse or cannot be filled in. Shows as `file:line:column`.
    #[error("{}: {reason}", at(file, *line, *column))]
    Template {
        /// The file, or `NAME (compiled in)`.
        file: String,
        /// Where in it, if known; 1 is the first line.
        line: Option<usize>,
        /// Where in the line, if known; 1 is the first character.
        column: Option<usize>,
        /// What the template engine says.
        reason: String,
    },
    /// No such axis.
    #[error("there is no axis `{name}` in these results")]
    UnknownAxis {
        /// As asked for.
        name: String,
        /// The most similar one there is.
        nearest: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// An ablation is along one axis.
    #[error("an ablation is along one axis, and {} here", varying(candidates))]
    NoAxis {
        /// Those that vary.
        candidates: Vec<String>,
    },
    /// An axis for a layout that is along none.
    #[error("the axis `{axis}` is for ablations, and this is a table of the layout `{layout}`")]
    AxisUnused {
        /// As asked for.
        axis: String,
        /// The table's.
        layout: String,
    },
    /// No row to compare with.
    #[error("the table has no row `{name}` to compare with")]
    UnknownBaseline {
        /// As asked for.
        name: String,
        /// The most similar one there is.
        nearest: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// No such test.
    #[error("unknown test `{name}`")]
    UnknownTest {
        /// As asked for.
        name: String,
        /// The most similar one there is.
        nearest: Option<String>,
    },
    /// Numbers on different data do not belong into one table.
    #[error("`{job}` is about the data set `{found}`, the other results are about `{expected}`")]
    MixedData {
        /// The job that differs.
        job: String,
        /// Its data set.
        found: String,
        /// The experiment's.
        expected: String,
    },
    /// A figure needs what the records do not hold.
    #[error("`{experiment}` has no {what}, which the figure `{figure}` shows")]
    NoFigure {
        /// Name of the experiment.
        experiment: String,
        /// Name of the figure.
        figure: String,
        /// What is lacking.
        what: String,
    },
    /// No such figure.
    #[error("unknown figure `{name}`")]
    UnknownFigure {
        /// As asked for.
        name: String,
        /// The most similar one there is.
        nearest: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// A picture could not be drawn or encoded.
    #[error("cannot draw `{figure}`: {reason}")]
    Draw {
        /// Name of the figure.
        figure: String,
        /// Why.
        reason: String,
    },
    /// There is nothing to put into a table.
    #[error("`{experiment}` has no {what}, so there is nothing to show")]
    Empty {
        /// Name of the experiment.
        experiment: String,
        /// What is lacking.
        what: String,
    },
    /// Two results claim to be the same observation: averaging them would count one twice.
    #[error("`{first}` and `{second}` are both the result of {group} for seed {seed}")]
    Duplicate {
        /// The group in words.
        group: String,
        /// The seed of both.
        seed: u64,
        /// One job.
        first: String,
        /// The other.
        second: String,
    },
    /// A value did not serialise.
    #[error("cannot write {what} as JSON")]
    Json {
        /// What was being written.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

impl ReportError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint().map(str::to_string),
            Self::UnknownMetric { nearest, known, .. } => {
                let known = known.join(", ");
                Some(match nearest {
                    Some(nearest) => format!("did you mean `{nearest}`? Known are: {known}"),
                    None => format!("known are: {known}"),
                })
            }
            Self::UnknownTemplate { nearest, known, .. }
            | Self::UnknownAxis { nearest, known, .. }
            | Self::UnknownBaseline { nearest, known, .. }
            | Self::UnknownFigure { nearest, known, .. } => {
                let known = known.join(", ");
                Some(match nearest {
                    Some(nearest) => format!("did you mean `{nearest}`? Known are: {known}"),
                    None => format!("known are: {known}"),
                })
            }
            Self::NoFormat { name, ending, has } => Some(format!(
                "ask for `--format {has}`, or write `{name}.{ending}` into the folder of templates"
            )),
            Self::AxisUnused { .. } => Some("use the template `ablation`, or leave the axis out".to_string()),
            Self::UnknownTest { nearest, .. } => Some(match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "known are t, wilcoxon and mcnemar".to_string(),
            }),
            Self::NoAxis { candidates } if candidates.is_empty() => {
                Some("use the template `methods-by-split`, or `--axis KEY`".to_string())
            }
            Self::NoAxis { .. } => Some("name one of them with `--axis KEY`".to_string()),
            Self::MixedData { .. } => Some(
                "make `dataset.name` an axis of the manifest, so that each data set has its columns"
                    .to_string(),
            ),
            Self::Empty { .. } | Self::NoFigure { .. } => {
                Some("`runner status` says which jobs are missing or failed, and why".to_string())
            }
            Self::Duplicate { .. } => Some(
                "give the two `[[fusion]]` entries different labels, or make what differs an axis"
                    .to_string(),
            ),
            Self::Template { .. } | Self::Json { .. } | Self::Draw { .. } => None,
        }
    }
}

/// Which axes vary, in words.
fn varying(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "none varies".to_string(),
        _ => format!("{} vary", quoted.join(", ")),
    }
}

fn at(file: &str, line: Option<usize>, column: Option<usize>) -> String {
    [line, column]
        .into_iter()
        .map_while(|number| number)
        .fold(file.to_string(), |text, number| format!("{text}:{number}"))
}

/// The most similar of the names, if one is similar at all.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    names
        .into_iter()
        .map(|known| (known, strsim::jaro_winkler(name, known)))
        .filter(|(_, similarity)| *similarity > 0.7)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(known, _)| known.to_string())
}
