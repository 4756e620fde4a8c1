//! The fusion set: a class-balanced sample.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::DataError;
use super::split::by_class;

/// Draws `n` of `indices` (positions of `labels`) without replacement, balanced over the classes; in ascending order.
///
/// `n div classes` of each class, or all it has; then, round-robin from class 0, one more of each class that has one
/// left, until there are `n`. Errors where there are fewer than `n`, no class, or an index or a label is out of range.
pub fn balanced_sample(
    indices: &[usize],
    labels: &[u32],
    classes: usize,
    n: usize,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<usize>, DataError> {
    const WHAT: &str = "draw a balanced sample";
    if n > indices.len() {
        let problem = format!("{n} samples are asked for, but there are only {}", indices.len());
        return Err(DataError::Impossible { what: WHAT, problem });
    }
    let mut by_class = by_class(indices.iter().copied(), labels, classes, WHAT)?;
    for class in &mut by_class {
        class.shuffle(rng);
    }
    let mut sample = Vec::with_capacity(n);
    let share = n.checked_div(classes).unwrap_or(0);
    for class in &mut by_class {
        let kept = class.len().saturating_sub(share);
        sample.extend(class.drain(kept..));
    }
    while sample.len() < n {
        let wanted = n - sample.len();
        sample.extend(by_class.iter_mut().filter_map(Vec::pop).take(wanted));
    }
    sample.sort_unstable();
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seed::generator;

    fn draw(indices: &[usize], labels: &[u32], n: usize) -> Result<Vec<usize>, DataError> {
        balanced_sample(indices, labels, 3, n, &mut generator(1, "fusion set", &[]))
    }

    #[test]
    fn a_poor_class_is_made_up_for_by_the_others_in_turn() {
        // Classes of 1, 5 and 6 samples; 10 = 3 + 3 + 3 + 1, class 0 lacks 2: classes 1, 2, 1 give one more each.
        let labels = [0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2];
        let all: Vec<usize> = (0..12).collect();
        let sample = draw(&all, &labels, 10).expect("enough");
        let count = |class| sample.iter().filter(|&&i| labels[i] == class).count();
        assert_eq!([count(0), count(1), count(2)], [1, 5, 4]);
        assert_eq!(draw(&all, &labels, 12).expect("all"), all);
        assert_eq!(draw(&all, &labels, 0).expect("none"), [0; 0]);
    }

    #[test]
    fn what_cannot_be_drawn_says_why() {
        let problem =
            |indices: &[usize], labels: &[u32], n| draw(indices, labels, n).expect_err("no").to_string();
        assert!(problem(&[0, 1], &[0, 1], 3).contains("3 samples are asked for, but there are only 2"));
        assert!(problem(&[2], &[0, 1], 1).contains("no sample 2"));
        assert!(problem(&[0], &[3], 1).contains("label 3"));
    }

    proptest! {
        #[test]
        fn counts_follow_the_rule(labels in proptest::collection::vec(0_u32..3, 1..100), share in 0.0..=1.0) {
            let indices: Vec<usize> = (0..labels.len()).filter(|i| i % 4 != 0).collect();
            let n = (share * indices.len() as f64) as usize;
            let sample = draw(&indices, &labels, n).expect("enough");
            prop_assert_eq!(sample.len(), n);
            prop_assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(sample.iter().all(|i| indices.contains(i)));
            let count = |of: &[usize], class| of.iter().filter(|&&i| labels[i] == class).count();
            let most = (0..3).map(|class| count(&sample, class)).max().unwrap_or(0);
            for class in 0..3 {
                let (taken, had) = (count(&sample, class), count(&indices, class));
                // A class that is more than one below the largest has nothing left.
                prop_assert!(taken == had || taken + 1 >= most, "class {class}: {taken} of {had}, most {most}");
            }
            prop_assert_eq!(&sample, &draw(&indices, &labels, n).expect("enough"));
        }
    }
}
