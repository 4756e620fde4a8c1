use proptest::prelude::*;

use super::*;
use crate::testing::DOUBLE;

/// `sklearn.metrics` 1.9.1 on the f64 softmax of these logits: `log_loss(labels, p)`, `accuracy_score(labels, pred)`,
/// `f1_score(labels, pred, average="macro", zero_division=0)`,
/// `roc_auc_score(labels, p, multi_class="ovr", average="weighted")`, `confusion_matrix(labels, pred)`,
/// with `pred = logits.argmax(1)`.
#[test]
fn agrees_with_scikit_learn() {
    let labels = [0, 0, 0, 1, 1, 2, 2, 2, 1, 0];
    #[rustfmt::skip]
    let logits = [
        2.0, 1.0, 0.0,  1.0, 1.0, -0.25,  0.0, 3.0, 1.0,  0.0, 1.5, 0.0,  1.0, 0.25, 2.0,
        0.0, 0.0, 1.75,  1.0, 1.0, 1.0,  0.0, 0.75, 3.0,  -1.0, 2.0, 0.5,  1.0, 1.0, 1.0,
    ];
    let metrics = evaluate_logits(&logits, &labels, 3).expect("finite");
    DOUBLE.assert(metrics.loss, 0.983_739_700_659_879_1);
    DOUBLE.assert(metrics.accuracy, 0.7);
    DOUBLE.assert(metrics.f1_macro, 0.694_444_444_444_444_3);
    DOUBLE.assert(
        metrics.roc_auc.expect("every class is there"),
        0.772_619_047_619_047_5,
    );
    assert_eq!(metrics.confusion_matrix, [[3, 1, 0], [0, 2, 1], [1, 0, 2]]);
}

/// By hand: two classes, p of class 1 is .5 .5 .9 .2 with labels 0 1 1 0.
#[test]
fn probabilities_have_their_own_loss_and_auc() {
    let probabilities = [0.5, 0.5, 0.5, 0.5, 0.125, 0.875, 0.75, 0.25];
    let labels = [0, 1, 1, 0];
    let right = evaluate_probabilities(&probabilities, &labels, 2, false).expect("probabilities");
    let expected = -(0.5_f64.ln() * 2.0 + 0.875_f64.ln() + 0.75_f64.ln()) / 4.0;
    DOUBLE.assert(right.loss, expected);
    // Of 4 pairs, 3 are won and 1 drawn.
    DOUBLE.assert(right.roc_auc.expect("both classes"), 3.5 / 4.0);
    DOUBLE.assert(right.accuracy, 0.75);
    let reference = evaluate_probabilities(&probabilities, &labels, 2, true).expect("probabilities");
    let twice = |true_one: f64, other: f64| (1.0 + (other - true_one).exp()).ln();
    DOUBLE.assert(
        reference.loss,
        (2.0 * twice(0.5, 0.5) + twice(0.875, 0.125) + twice(0.75, 0.25)) / 4.0,
    );
    assert_eq!(reference.confusion_matrix, right.confusion_matrix);
}

#[test]
fn a_zero_probability_costs_the_floor() {
    let metrics = evaluate_probabilities(&[1.0, 0.0, 0.0, 1.0], &[1, 0], 2, false).expect("probabilities");
    DOUBLE.assert(metrics.loss, -PROBABILITY_FLOOR.ln());
    assert_eq!(
        (metrics.accuracy, metrics.f1_macro, metrics.roc_auc),
        (0.0, 0.0, Some(0.0))
    );
}

/// `f1_score([0, 0, 1, 1, 3], [0, 1, 1, 0, 0], average="macro", zero_division=0)` is 0.3 in scikit-learn 1.9.1:
/// class 2 occurs nowhere and does not count; class 3 is never predicted and counts as 0.
#[test]
fn a_missing_class_has_no_auc_and_does_not_count_in_f1() {
    let one_hot = |class: usize| (0..4).map(move |c| if c == class { 1.0 } else { 0.0 });
    let logits: Vec<f32> = [0, 1, 1, 0, 0].into_iter().flat_map(one_hot).collect();
    let metrics = evaluate_logits(&logits, &[0, 0, 1, 1, 3], 4).expect("finite");
    assert_eq!(metrics.roc_auc, None);
    DOUBLE.assert(metrics.f1_macro, 0.3);
}

#[test]
fn extreme_but_finite_logits_have_a_finite_loss() {
    let metrics = evaluate_logits(&[f32::MAX, f32::MIN, 0.0, 1.0], &[1, 0], 2).expect("finite");
    assert!(metrics.loss.is_finite());
    DOUBLE.assert(metrics.accuracy, 0.0);
}

#[test]
fn what_cannot_be_evaluated_is_named() {
    let value = f32::INFINITY;
    let found = evaluate_logits(&[0.0, 1.0, value, 0.0], &[0, 1], 2);
    assert_eq!(
        found,
        Err(MetricError::NonFinite {
            sample: 1,
            class: 0,
            value
        })
    );
    assert!(matches!(
        evaluate_probabilities(&[0.0, f32::NAN], &[0], 2, true),
        Err(MetricError::NonFinite {
            sample: 0,
            class: 1,
            ..
        })
    ));
    let found = evaluate_logits(&[0.0, 1.0], &[2], 2);
    assert_eq!(
        found,
        Err(MetricError::Label {
            sample: 0,
            label: 2,
            classes: 2
        })
    );
    for (scores, labels, classes) in [(3, 1, 2), (0, 0, 2), (0, 1, 0)] {
        let found = evaluate_logits(&vec![0.0; scores], &vec![0; labels], classes);
        assert!(matches!(found, Err(MetricError::Shape { .. })));
    }
    for row in [[0.5, 0.6], [1.5, -0.5]] {
        let found = evaluate_probabilities(&row, &[0], 2, false);
        assert!(matches!(
            found,
            Err(MetricError::NotProbabilities { sample: 0, .. })
        ));
    }
}

fn brute_force_auc(scores: &[f64], labels: &[u32], classes: usize) -> Option<f64> {
    let mut weighted = 0.0;
    for class in 0..classes {
        let of = |positive: bool| {
            let is = move |&i: &usize| (labels[i] as usize == class) == positive;
            (0..labels.len())
                .filter(is)
                .map(|i| scores[i * classes + class])
                .collect::<Vec<_>>()
        };
        let (positives, negatives) = (of(true), of(false));
        let pairs = positives
            .iter()
            .flat_map(|p| negatives.iter().map(move |n| (p, n)));
        let won: f64 = pairs
            .map(|(p, n)| f64::midpoint(f64::from(p > n), f64::from(p >= n)))
            .sum();
        if positives.is_empty() || negatives.is_empty() {
            return None;
        }
        weighted += won / negatives.len() as f64 / labels.len() as f64;
    }
    Some(weighted)
}

proptest! {
    #[test]
    fn auc_counts_pairs(
        rows in proptest::collection::vec((proptest::collection::vec(0_u8..5, 3), 0_u32..3), 1..40),
    ) {
        let scores: Vec<f64> = rows.iter().flat_map(|(row, _)| row).map(|&s| f64::from(s)).collect();
        let labels: Vec<u32> = rows.iter().map(|&(_, label)| label).collect();
        let (found, expected) = (roc_auc(&scores, &labels, 3), brute_force_auc(&scores, &labels, 3));
        prop_assert_eq!(found.is_some(), expected.is_some());
        DOUBLE.assert(found.unwrap_or(0.0), expected.unwrap_or(0.0));
    }
}
