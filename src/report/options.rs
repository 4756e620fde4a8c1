//! What can be asked of a table.

use std::str::FromStr;

use super::error::nearest;
use super::escape::is_hidden;
use super::{Metric, ReportError};
use crate::result::TableRequest;

/// What a table shows, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct TableOptions {
    /// Name of the template.
    pub template: String,
    /// Name of the layout, see [`super::LAYOUTS`].
    pub layout: String,
    /// The number in each cell.
    pub metric: Metric,
    /// Further numbers, a column each beside every column.
    pub columns: Vec<Metric>,
    /// Decimals of results, significant digits of seconds and memory; the metric's own without.
    pub precision: Option<usize>,
    /// The row that others are compared with, by its label, its method, or method and importance as in
    /// `kf-gradient/uniform`.
    pub baseline: Option<String>,
    /// How they are compared.
    pub test: Test,
    /// The axis of an ablation.
    pub axis: Option<String>,
    /// What chose the results, for the command that makes the table again.
    pub filters: Vec<String>,
}

/// A test across seeds, or across test examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Test {
    /// The paired t-test.
    #[default]
    T,
    /// Wilcoxon's signed-rank test.
    Wilcoxon,
    /// McNemar's exact test over the test examples of a single run.
    McNemar,
}

/// The largest number of decimals: an f64 has no more.
const MOST_DECIMALS: usize = 17;

impl TableOptions {
    /// One metric by numbers of models.
    pub fn new(metric: Metric) -> Self {
        Self {
            template: "methods-by-split".to_string(),
            layout: "methods-by-split".to_string(),
            metric,
            columns: Vec::new(),
            precision: None,
            baseline: None,
            test: Test::default(),
            axis: None,
            filters: Vec::new(),
        }
    }

    /// What a `[[report]]` of the manifest asks for, of one of its metrics.
    pub fn requested(request: &TableRequest, metric: &str, layout: String) -> Result<Self, ReportError> {
        let metric: Metric = metric.parse()?;
        let mut columns: Vec<Metric> = Vec::new();
        for name in &request.columns {
            let column = name.parse()?;
            // Nothing stands in a table twice.
            if column != metric && !columns.contains(&column) {
                columns.push(column);
            }
        }
        Ok(Self {
            template: request.template.clone(),
            layout,
            columns,
            precision: request.precision.map(|digits| digits.min(MOST_DECIMALS)),
            baseline: request.baseline.clone(),
            test: request.test.as_deref().map_or(Ok(Test::default()), str::parse)?,
            axis: request.axis.clone(),
            ..Self::new(metric)
        })
    }

    /// What has `runner table` make this table, along `axis` where it is an ablation.
    pub(super) fn command(&self, experiment: &str, axis: Option<&str>) -> String {
        let mut words = vec!["runner".to_string(), "table".to_string(), word(experiment)];
        let mut add = |option: &str, value: &str| words.extend([option.to_string(), word(value)]);
        add("--template", &self.template);
        add("--metric", self.metric.as_str());
        if !self.columns.is_empty() {
            let names: Vec<&str> = self.columns.iter().map(|column| column.as_str()).collect();
            add("--columns", &names.join(","));
        }
        if let Some(precision) = self.precision {
            add("--precision", &precision.to_string());
        }
        if let Some(baseline) = &self.baseline {
            add("--baseline", baseline);
            add("--test", self.test.as_str());
        }
        if let Some(axis) = axis {
            add("--axis", axis);
        }
        for filter in &self.filters {
            add("-E", filter);
        }
        words.join(" ")
    }
}

/// A word as a shell takes it, on one line.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_string();
    }
    if !text.contains(is_hidden) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let quoted = |c: char| match c {
        '\'' | '\\' => format!("\\{c}"),
        c if is_hidden(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("$'{}'", text.chars().map(quoted).collect::<String>())
}

impl Test {
    /// What it is called in manifests and options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::T => "t",
            Self::Wilcoxon => "wilcoxon",
            Self::McNemar => "mcnemar",
        }
    }

    /// Its name in captions.
    pub fn title(self) -> &'static str {
        match self {
            Self::T => "paired t-test",
            Self::Wilcoxon => "Wilcoxon signed-rank test",
            Self::McNemar => "McNemar's exact test over the test examples",
        }
    }
}

impl FromStr for Test {
    type Err = ReportError;

    fn from_str(name: &str) -> Result<Self, ReportError> {
        match name {
            "t" => Ok(Self::T),
            "wilcoxon" => Ok(Self::Wilcoxon),
            "mcnemar" => Ok(Self::McNemar),
            _ => Err(ReportError::UnknownTest {
                name: name.to_string(),
                nearest: nearest(name, ["t", "wilcoxon", "mcnemar"]),
            }),
        }
    }
}
