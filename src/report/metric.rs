//! The metrics a table can show.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::ReportError;
use super::error::nearest;
use crate::result::Metrics;

/// One of the numbers of [`Metrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean cross-entropy in nats; less is better.
    Loss,
    /// Share of correct predictions.
    Accuracy,
    /// Unweighted mean of the classes' F1 scores.
    F1Macro,
    /// One-vs-rest ROC AUC.
    RocAuc,
}

impl Metric {
    /// All of them, in the order of [`Metrics`].
    pub const ALL: [Self; 4] = [Self::Loss, Self::Accuracy, Self::F1Macro, Self::RocAuc];

    /// The spelling in records and file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracy => "accuracy",
            Self::F1Macro => "f1_macro",
            Self::RocAuc => "roc_auc",
        }
    }

    /// For captions, with the unit.
    pub fn title(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracy => "accuracy (%)",
            Self::F1Macro => "macro F1 (%)",
            Self::RocAuc => "ROC AUC (%)",
        }
    }

    /// The metric's value, where it is defined.
    pub fn of(self, metrics: &Metrics) -> Option<f64> {
        let value = match self {
            Self::Loss => Some(metrics.loss),
            Self::Accuracy => Some(metrics.accuracy),
            Self::F1Macro => Some(metrics.f1_macro),
            Self::RocAuc => metrics.roc_auc,
        };
        value.filter(|value| value.is_finite())
    }

    /// Whether a smaller value is a better one.
    pub fn lower_is_better(self) -> bool {
        self == Self::Loss
    }

    /// A value as tables print it: the loss with four decimals, the others in percent with two.
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Loss => format!("{value:.4}"),
            _ => format!("{:.2}", value * 100.0),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Metric {
    type Err = ReportError;

    /// Takes the names of the record and the aliases `f1` and `auc`.
    fn from_str(name: &str) -> Result<Self, ReportError> {
        match name {
            "f1" => return Ok(Self::F1Macro),
            "auc" => return Ok(Self::RocAuc),
            _ => {}
        }
        let known = Self::ALL.into_iter().find(|metric| metric.as_str() == name);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).into_iter().chain(["f1", "auc"]);
            ReportError::UnknownMetric {
                name: name.to_string(),
                nearest: nearest(name, names),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_aliases_and_suggestions() {
        assert_eq!("f1".parse::<Metric>().ok(), Some(Metric::F1Macro));
        assert_eq!("auc".parse::<Metric>().ok(), Some(Metric::RocAuc));
        for metric in Metric::ALL {
            assert_eq!(metric.as_str().parse::<Metric>().ok(), Some(metric));
            assert_eq!(
                serde_json::to_value(metric).ok(),
                Some(serde_json::Value::from(metric.as_str()))
            );
        }
        let error = "acuracy".parse::<Metric>().expect_err("unknown");
        assert_eq!(error.to_string(), "unknown metric `acuracy`");
        assert_eq!(error.hint().as_deref(), Some("did you mean `accuracy`?"));
    }

    #[test]
    fn numbers_are_printed_in_percent_but_the_loss() {
        assert_eq!(Metric::Accuracy.format(0.931_249), "93.12");
        assert_eq!(Metric::Loss.format(0.931_249), "0.9312");
    }
}
