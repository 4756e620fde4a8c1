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
    },
    /// No such template, or not for this format.
    #[error("unknown template `{name}`")]
    UnknownTemplate {
        /// As asked for, with the extension where only that is missing.
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
            Self::UnknownMetric {
                nearest: Some(nearest),
                ..
            } => Some(format!("did you mean `{nearest}`?")),
            Self::UnknownMetric { .. } => {
                Some("known are loss, accuracy, f1_macro (f1) and roc_auc (auc)".to_string())
            }
            Self::UnknownTemplate { nearest, known, .. } => {
                let known = known.join(", ");
                Some(match nearest {
                    Some(nearest) => format!("did you mean `{nearest}`? Known are: {known}"),
                    None => format!("known are: {known}"),
                })
            }
            Self::Empty { .. } => {
                Some("`runner status` says which jobs are missing or failed, and why".to_string())
            }
            Self::Duplicate { .. } => Some(
                "give the two `[[fusion]]` entries different labels, or make what differs an axis"
                    .to_string(),
            ),
            Self::Template { .. } | Self::Json { .. } => None,
        }
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
