//! The metrics a table can show.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::error::nearest;
use super::{ReportError, number};
use crate::result::{Kind, Metrics, Record};

/// A number of a record.
///
/// The first four are results and stand in `summary.json`. The others are costs, or relative to other records: they may
/// differ between two runs of the same manifest, and appear where they are asked for only.
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
    /// Accuracy over that of the best base model of the same seed and split.
    NormalisedAccuracy,
    /// Wall-clock seconds of the phase `fuse`; of `train` for base models and what is fine-tuned.
    FuseSeconds,
    /// Peak resident memory of the process until the job's end, in bytes.
    PeakMemory,
    /// Size of the fusion set.
    Samples,
}

impl Metric {
    /// The results, in the order of [`crate::result::Metrics`].
    pub const ALL: [Self; 4] = [Self::Loss, Self::Accuracy, Self::F1Macro, Self::RocAuc];

    /// Costs, and the accuracy relative to base models.
    pub const DERIVED: [Self; 4] = [
        Self::NormalisedAccuracy,
        Self::FuseSeconds,
        Self::PeakMemory,
        Self::Samples,
    ];

    /// The spelling in records and file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracy => "accuracy",
            Self::F1Macro => "f1_macro",
            Self::RocAuc => "roc_auc",
            Self::NormalisedAccuracy => "normalised_accuracy",
            Self::FuseSeconds => "fuse_seconds",
            Self::PeakMemory => "peak_memory",
            Self::Samples => "samples",
        }
    }

    /// All spellings, aliases included.
    pub fn names() -> Vec<&'static str> {
        let all = Self::ALL.into_iter().chain(Self::DERIVED).map(Self::as_str);
        all.chain(ALIASES.map(|(name, _)| name)).collect()
    }

    /// For captions, with the unit.
    pub fn title(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracy => "accuracy (%)",
            Self::F1Macro => "macro F1 (%)",
            Self::RocAuc => "ROC AUC (%)",
            Self::NormalisedAccuracy => "accuracy / best base model's (%)",
            Self::FuseSeconds => "fuse seconds",
            Self::PeakMemory => "peak memory of the process (MiB)",
            Self::Samples => "fusion samples",
        }
    }

    /// In a sentence, without the unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracy => "accuracy",
            Self::F1Macro => "macro F1",
            Self::RocAuc => "ROC AUC",
            Self::NormalisedAccuracy => "an accuracy relative to base models",
            Self::FuseSeconds => "seconds of fusing",
            Self::PeakMemory => "a peak memory",
            Self::Samples => "fusion samples",
        }
    }

    /// What a whole table is about, for its caption: results are those on the test set.
    pub fn caption(self) -> String {
        match self {
            Self::NormalisedAccuracy => "test accuracy relative to the best base model's (%)".to_string(),
            Self::FuseSeconds => "seconds of fusing, of training for base models".to_string(),
            Self::PeakMemory | Self::Samples => self.title().to_string(),
            _ => format!("test {}", self.title()),
        }
    }

    /// For the head of a narrow column, with the unit.
    pub fn short(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracy => "acc. (%)",
            Self::F1Macro => "F1 (%)",
            Self::RocAuc => "AUC (%)",
            Self::NormalisedAccuracy => "norm. acc. (%)",
            Self::FuseSeconds => "fuse (s)",
            Self::PeakMemory => "memory (MiB)",
            Self::Samples => "samples",
        }
    }

    /// The record's value, where it has one. [`Metric::NormalisedAccuracy`] depends on other records and is none.
    pub fn of(self, record: &Record) -> Option<f64> {
        let value = match self {
            Self::Loss | Self::Accuracy | Self::F1Macro | Self::RocAuc => record
                .metrics
                .as_ref()
                .and_then(|metrics| self.of_metrics(metrics)),
            Self::NormalisedAccuracy => None,
            Self::FuseSeconds => {
                // What is fused of fine-tuned models is not trained itself.
                let phases: &[&str] = if record.kind == Kind::Fuse {
                    &["fuse"]
                } else {
                    &["train", "fuse"]
                };
                phases
                    .iter()
                    .find_map(|phase| record.seconds.get(*phase))
                    .copied()
            }
            Self::PeakMemory => record.provenance.peak_memory.map(|bytes| bytes as f64),
            Self::Samples => record.diagnostics["fusion-samples"].as_f64(),
        };
        value.filter(|value| value.is_finite())
    }

    /// Why a network that was evaluated has no value, as its confusion matrix tells it.
    pub fn undefined(self, metrics: &Metrics) -> Option<String> {
        if self.of_metrics(metrics).is_some_and(f64::is_finite) {
            return None;
        }
        let samples: Vec<u64> = metrics
            .confusion_matrix
            .iter()
            .map(|row| row.iter().sum())
            .collect();
        Some(match self {
            Self::RocAuc if samples.len() == 1 => "there is one class alone".to_string(),
            Self::RocAuc => lacking(&samples).unwrap_or_else(|| "it was not computed".to_string()),
            _ => "it is not finite".to_string(),
        })
    }

    /// The value among the metrics of a network, where it is one of them.
    pub fn of_metrics(self, metrics: &Metrics) -> Option<f64> {
        match self {
            Self::Loss => Some(metrics.loss),
            Self::Accuracy => Some(metrics.accuracy),
            Self::F1Macro => Some(metrics.f1_macro),
            Self::RocAuc => metrics.roc_auc,
            _ => None,
        }
    }

    /// Whether it is one of the results that a job without a value lacks.
    pub fn is_result(self) -> bool {
        Self::ALL.contains(&self)
    }

    /// Whether a smaller value is a better one.
    pub fn lower_is_better(self) -> bool {
        !matches!(
            self,
            Self::Accuracy | Self::F1Macro | Self::RocAuc | Self::NormalisedAccuracy
        )
    }

    /// What a value is multiplied with to be in the unit of [`Metric::title`].
    pub fn scale(self) -> f64 {
        match self {
            Self::Loss | Self::FuseSeconds | Self::Samples => 1.0,
            Self::PeakMemory => 1.0 / f64::from(1 << 20),
            Self::Accuracy | Self::F1Macro | Self::RocAuc | Self::NormalisedAccuracy => 100.0,
        }
    }

    /// A value as tables print it, with `precision` decimals: by default four for the loss, two for what is in percent.
    /// Seconds and memory, which span powers of ten, have so many significant digits instead, by default three.
    ///
    /// A value that would need more room than a cell has, or that these decimals cannot tell from 0, is written with an
    /// exponent: `4.29e7`.
    pub fn format(self, value: f64, precision: Option<usize>) -> String {
        self.format_spread(value, value, precision)
    }

    /// The spread of a value, with as many decimals as the value has, or with an exponent where the value has one.
    pub fn format_spread(self, spread: f64, value: f64, precision: Option<usize>) -> String {
        let (spread, value) = (spread * self.scale(), value * self.scale());
        let decimals = match self {
            Self::Loss => precision.unwrap_or(4),
            // It is at most the size of the data set.
            Self::Samples => return format!("{spread:.0}"),
            Self::FuseSeconds | Self::PeakMemory => decimals(value, precision.unwrap_or(SIGNIFICANT)),
            _ => precision.unwrap_or(2),
        };
        let is_tiny = value != 0.0 && value.abs() < self.least(decimals);
        match is_tiny || number::is_large(value) || number::is_large(spread) {
            true => number::exponential(spread, precision.unwrap_or(2)),
            false => format!("{spread:.decimals$}"),
        }
    }

    /// The least value that is not written with an exponent. A share below its decimals is as good as none.
    fn least(self, decimals: usize) -> f64 {
        match self {
            Self::Loss => 0.5 * 10_f64.powi(-i32::try_from(decimals).unwrap_or(i32::MAX)),
            Self::FuseSeconds | Self::PeakMemory => 1e-5,
            _ => 0.0,
        }
    }
}

/// Which classes have no examples, by the numbers of examples; nothing where all have some.
pub fn lacking(samples: &[u64]) -> Option<String> {
    /// So many are named.
    const NAMED: usize = 5;
    let without: Vec<String> = samples
        .iter()
        .enumerate()
        .filter(|(_, samples)| **samples == 0)
        .map(|(class, _)| class.to_string())
        .collect();
    let named = without[..without.len().min(NAMED)].join(", ");
    match without.len() {
        0 => None,
        1 => Some(format!("the test set has no example of class {named}")),
        2..=NAMED => Some(format!("the test set has no example of the classes {named}")),
        more => Some(format!(
            "the test set has no example of {more} classes: {named}, ..."
        )),
    }
}

/// Significant digits of seconds and memory.
const SIGNIFICANT: usize = 3;

/// How many decimals show `digits` significant digits; whole numbers are never rounded.
fn decimals(value: f64, digits: usize) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    // What is nearly nothing is not worth more than one.
    let digits = if value.abs() < 0.001 {
        digits.min(1)
    } else {
        digits
    };
    let before = value.abs().log10().floor() as i32 + 1;
    usize::try_from(i32::try_from(digits).unwrap_or(i32::MAX).saturating_sub(before)).unwrap_or(0)
}

const ALIASES: [(&str, Metric); 6] = [
    ("f1", Metric::F1Macro),
    ("auc", Metric::RocAuc),
    ("normalized_accuracy", Metric::NormalisedAccuracy),
    ("normalised", Metric::NormalisedAccuracy),
    ("seconds", Metric::FuseSeconds),
    ("memory", Metric::PeakMemory),
];

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Metric {
    type Err = ReportError;

    /// Takes the names of [`Metric::as_str`] and short ones such as `f1` and `auc`.
    fn from_str(name: &str) -> Result<Self, ReportError> {
        let known = Self::ALL
            .into_iter()
            .chain(Self::DERIVED)
            .find(|metric| metric.as_str() == name);
        let alias = ALIASES
            .iter()
            .find(|(alias, _)| *alias == name)
            .map(|(_, metric)| *metric);
        known.or(alias).ok_or_else(|| ReportError::UnknownMetric {
            name: name.to_string(),
            nearest: nearest(name, Self::names()),
            known: Self::names(),
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
        for metric in Metric::ALL.into_iter().chain(Metric::DERIVED) {
            assert_eq!(metric.as_str().parse::<Metric>().ok(), Some(metric));
            assert_eq!(
                serde_json::to_value(metric).ok(),
                Some(serde_json::Value::from(metric.as_str()))
            );
        }
        let error = "acuracy".parse::<Metric>().expect_err("unknown");
        assert_eq!(error.to_string(), "unknown metric `acuracy`");
        let hint = error.hint().unwrap_or_default();
        assert!(
            hint.starts_with("did you mean `accuracy`? Known are: loss, accuracy,"),
            "{hint}"
        );
    }

    #[test]
    fn numbers_are_printed_in_percent_but_the_loss() {
        assert_eq!(Metric::Accuracy.format(0.931_249, None), "93.12");
        assert_eq!(Metric::Loss.format(0.931_249, None), "0.9312");
        assert_eq!(Metric::RocAuc.format(0.931_249, Some(1)), "93.1");
    }

    #[test]
    fn costs_have_significant_digits() {
        let seconds = |value, precision| Metric::FuseSeconds.format(value, precision);
        assert_eq!(
            [0.002_134, 0.14, 12.345, 4321.9].map(|value| seconds(value, None)),
            ["0.00213", "0.140", "12.3", "4322"]
        );
        assert_eq!(
            [
                seconds(0.002_134, Some(1)),
                seconds(0.000_015_8, None),
                seconds(0.0, None)
            ],
            ["0.002", "0.00002", "0"]
        );
        assert_eq!(Metric::FuseSeconds.format_spread(0.5, 12.345, None), "0.5");
        assert_eq!(Metric::PeakMemory.format(3.2e8, None), "305");
        assert_eq!(Metric::PeakMemory.format(3.2e6, Some(2)), "3.1");
        assert_eq!(Metric::Samples.format(400.0, Some(1)), "400");
        assert_eq!(seconds(3.2e-9, None), "3.20e-9");
    }

    #[test]
    fn a_metric_that_cannot_be_computed_says_why() {
        let metrics = |confusion_matrix: Vec<Vec<u64>>| Metrics {
            loss: 1.0,
            accuracy: 0.5,
            f1_macro: 0.5,
            roc_auc: None,
            confusion_matrix,
        };
        let why = |matrix| Metric::RocAuc.undefined(&metrics(matrix));
        assert_eq!(
            why(vec![vec![3, 1, 0], vec![0; 3], vec![0, 0, 2]]).as_deref(),
            Some("the test set has no example of class 1")
        );
        assert_eq!(
            why(vec![vec![0; 3], vec![0, 1, 1], vec![0; 3]]).as_deref(),
            Some("the test set has no example of the classes 0, 2")
        );
        assert_eq!(
            why(vec![vec![1, 0], vec![0, 1]]).as_deref(),
            Some("it was not computed")
        );
        assert_eq!(why(vec![vec![4]]).as_deref(), Some("there is one class alone"));
        assert_eq!(Metric::Loss.undefined(&metrics(Vec::new())), None);
        assert_eq!(
            lacking(&[0; 9]).as_deref(),
            Some("the test set has no example of 9 classes: 0, 1, 2, 3, 4, ...")
        );
    }

    /// A network that diverged, and one that is nearly sure.
    #[test]
    fn values_far_from_the_usual_have_exponents() {
        let loss = |value, precision| Metric::Loss.format(value, precision);
        assert_eq!(
            [
                loss(42_912_282.811, None),
                loss(1e40, Some(1)),
                loss(1.234e-7, None)
            ],
            ["4.29e7", "1.0e40", "1.23e-7"]
        );
        let spread = |spread, value| Metric::Loss.format_spread(spread, value, None);
        assert_eq!(
            [
                spread(60_682_182.85, 42_912_282.811),
                spread(3e-8, 1.2e-7),
                spread(0.0, 4e7)
            ],
            ["6.07e7", "3.00e-8", "0"]
        );
        assert_eq!([loss(0.0, None), spread(1e-9, 0.5)], ["0.0000", "0.0000"]);
        assert_eq!(Metric::Accuracy.format(1e-9, None), "0.00");
    }
}
