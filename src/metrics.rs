//! Test-set metrics: one definition each, for every model, fusion and ensemble.
//!
//! | metric | definition |
//! | --- | --- |
//! | loss | mean of `-ln p` of the true class, in nats |
//! | accuracy | share of samples whose largest score is that of the true class; among equal scores the first class wins |
//! | macro F1 | mean of `2 TP / (2 TP + FP + FN)` over the classes that occur among labels or predictions |
//! | ROC AUC | per class, the probability that a sample of the class has a larger `p` than one of another (equal: 1/2); mean weighted by the classes' sizes |
//! | confusion matrix | `[true][predicted]` counts |
//!
//! `p` is the softmax of logits, or the given probabilities. All sums are in f64, whose softmax tells apart saturated
//! scores that f32 ties. The definitions are scikit-learn's (`f1_score(average="macro", zero_division=0)`,
//! `roc_auc_score(multi_class="ovr", average="weighted")`). Cost: `O(C N log N)` for N samples and C classes.

use crate::result::{Confusion, Metrics};

/// Raised when a definition or its arithmetic changes, so that models are evaluated anew.
pub const VERSION: u32 = 1;

/// Probabilities below this count as this in an ensemble's loss: the smallest normal f32, so that a true class to
/// which every model gives 0 costs 87.3 nats instead of infinity, and nothing else changes.
pub const PROBABILITY_FLOOR: f64 = f32::MIN_POSITIVE as f64;

/// How far a row of probabilities may be from summing to 1, and one of them from `[0, 1]`.
const SLACK: f64 = 1e-3;

/// Scores that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// No sample, no class, or lengths that disagree.
    #[error("{scores} scores do not fit {labels} labels of {classes} classes")]
    Shape {
        /// Number of scores.
        scores: usize,
        /// Number of labels.
        labels: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A label that is no class.
    #[error("sample {sample} has label {label}, but there are {classes} classes")]
    Label {
        /// Index of the sample.
        sample: usize,
        /// Its label.
        label: u32,
        /// Number of classes.
        classes: usize,
    },
    /// The model diverged, or overflowed.
    #[error("the score of sample {sample} for class {class} is {value}")]
    NonFinite {
        /// Index of the first such sample.
        sample: usize,
        /// Index of the class.
        class: usize,
        /// NaN or infinite.
        value: f32,
    },
    /// A row that is no probability distribution.
    #[error("the probabilities of sample {sample} are negative or sum to {sum} instead of 1")]
    NotProbabilities {
        /// Index of the first such sample.
        sample: usize,
        /// Sum over the classes.
        sum: f64,
    },
}

/// Metrics of a model from its logits `[N, classes]` (row-major) and the N true classes.
pub fn evaluate_logits(logits: &[f32], labels: &[u32], classes: usize) -> Result<Metrics, MetricError> {
    check(logits, labels, classes)?;
    let mut probabilities = Vec::with_capacity(logits.len());
    let mut loss = 0.0;
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
        loss += sum.ln() + largest - f64::from(row[label as usize]);
        probabilities.extend(row.iter().map(|&logit| (f64::from(logit) - largest).exp() / sum));
    }
    Ok(assemble(loss, logits, &probabilities, labels, classes))
}

/// Metrics of an ensemble from its probabilities `[N, classes]` (row-major) and the N true classes.
///
/// The loss is that of the probabilities, floored at [`PROBABILITY_FLOOR`]. With `reference`, loss and ROC AUC are
/// computed as the reference implementation does, as if the probabilities were logits; all else is the same. Rows then
/// need not sum to 1: the reference does not renormalise the class-weighted mean.
pub fn evaluate_probabilities(
    probabilities: &[f32],
    labels: &[u32],
    classes: usize,
    reference: bool,
) -> Result<Metrics, MetricError> {
    check(probabilities, labels, classes)?;
    if reference {
        return evaluate_logits(probabilities, labels, classes);
    }
    for (sample, row) in probabilities.chunks_exact(classes).enumerate() {
        let sum: f64 = row.iter().map(|&p| f64::from(p)).sum();
        if (sum - 1.0).abs() > SLACK || row.iter().any(|&p| f64::from(p) < -SLACK) {
            return Err(MetricError::NotProbabilities { sample, sum });
        }
    }
    let rows = probabilities.chunks_exact(classes).zip(labels);
    let loss = rows
        .map(|(row, &label)| -f64::from(row[label as usize]).max(PROBABILITY_FLOOR).ln())
        .sum();
    let scores: Vec<f64> = probabilities.iter().copied().map(f64::from).collect();
    Ok(assemble(loss, probabilities, &scores, labels, classes))
}

fn check(scores: &[f32], labels: &[u32], classes: usize) -> Result<(), MetricError> {
    if labels.is_empty() || classes == 0 || labels.len().checked_mul(classes) != Some(scores.len()) {
        return Err(MetricError::Shape {
            scores: scores.len(),
            labels: labels.len(),
            classes,
        });
    }
    if let Some(sample) = labels.iter().position(|&label| label as usize >= classes) {
        let label = labels[sample];
        return Err(MetricError::Label {
            sample,
            label,
            classes,
        });
    }
    match scores.iter().position(|score| !score.is_finite()) {
        Some(index) => Err(MetricError::NonFinite {
            sample: index / classes,
            class: index % classes,
            value: scores[index],
        }),
        None => Ok(()),
    }
}

/// Predictions come from the scores as given, so that no rounding of a softmax can tie two of them.
fn assemble(loss: f64, scores: &[f32], probabilities: &[f64], labels: &[u32], classes: usize) -> Metrics {
    let mut confusion = vec![vec![0; classes]; classes];
    for (row, &label) in scores.chunks_exact(classes).zip(labels) {
        confusion[label as usize][first_largest(row)] += 1;
    }
    let samples = labels.len() as f64;
    let correct: u64 = (0..classes).map(|class| confusion[class][class]).sum();
    Metrics {
        loss: loss / samples,
        accuracy: correct as f64 / samples,
        f1_macro: f1_macro(&confusion),
        roc_auc: roc_auc(probabilities, labels, classes),
        confusion_matrix: confusion,
    }
}

/// The class with the largest score, the first among equal ones; 0 for no scores.
pub fn first_largest(row: &[f32]) -> usize {
    let mut best = 0;
    for (class, score) in row.iter().enumerate() {
        if *score > row[best] {
            best = class;
        }
    }
    best
}

/// `2 TP + FP + FN` of a class is its row sum plus its column sum; 0 where the class occurs nowhere.
fn f1_macro(confusion: &Confusion) -> f64 {
    let (mut sum, mut present) = (0.0, 0_u32);
    for (class, row) in confusion.iter().enumerate() {
        let occurrences: u64 = row.iter().chain(confusion.iter().map(|row| &row[class])).sum();
        if occurrences > 0 {
            sum += 2.0 * row[class] as f64 / occurrences as f64;
            present += 1;
        }
    }
    sum / f64::from(present.max(1))
}

/// `None` where a class has no sample, or where one class is all there is.
fn roc_auc(scores: &[f64], labels: &[u32], classes: usize) -> Option<f64> {
    let samples = labels.len();
    let (mut weighted, mut order) = (0.0, Vec::with_capacity(samples));
    for class in 0..classes {
        order.clear();
        let column = scores.iter().skip(class).step_by(classes);
        order.extend(
            column
                .zip(labels)
                .map(|(&score, &label)| (score, label as usize == class)),
        );
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let positives = order.iter().filter(|(_, positive)| *positive).count();
        let negatives = samples - positives;
        if positives == 0 || negatives == 0 {
            return None;
        }
        // Pairs won, counted in halves: a run of equal scores (in ascending order: each not
        // below the next) wins over all below it, and draws within itself.
        let (mut halves, mut below) = (0_u64, 0_u64);
        for run in order.chunk_by(|a, b| a.0 >= b.0) {
            let won = run.iter().filter(|(_, positive)| *positive).count() as u64;
            let lost = run.len() as u64 - won;
            halves += won * (2 * below + lost);
            below += lost;
        }
        // The class' weight is its share of the samples.
        weighted += halves as f64 / (2.0 * negatives as f64) / samples as f64;
    }
    Some(weighted)
}

#[cfg(test)]
mod tests;
