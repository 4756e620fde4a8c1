//! Tests over test examples: two networks that answered the same questions.

use super::distributions::fair_coin_two_sided;

/// Outcome of McNemar's exact test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// Examples that only the first got right.
    pub only_first: u64,
    /// Examples that only the second got right.
    pub only_second: u64,
    /// Two-sided p of a fair coin for the examples on which they differ; 1 where there is none.
    pub p: f64,
}

/// Tests whether two networks are right equally often; `first` and `second` say which examples each got right.
/// `None` where they are not as many.
pub fn mcnemar(first: &[bool], second: &[bool]) -> Option<McNemar> {
    if first.len() != second.len() {
        return None;
    }
    let count = |wanted: (bool, bool)| {
        first
            .iter()
            .zip(second)
            .filter(|(a, b)| (**a, **b) == wanted)
            .count() as u64
    };
    let (only_first, only_second) = (count((true, false)), count((false, true)));
    Some(McNemar {
        only_first,
        only_second,
        p: fair_coin_two_sided(only_first, only_first + only_second),
    })
}

/// Interval of a difference of accuracies over resampled test sets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// Accuracy of the first less that of the second.
    pub difference: f64,
    /// 2.5 % quantile.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

/// The 95 % percentile interval of the difference of accuracies, over `resamples` test sets drawn with replacement.
///
/// A test set of n examples, of which a networks differ on, is a multinomial draw: what is counted are the examples
/// only one got right, so a resample costs a walk over these and no more. The generator is seeded with the counts
/// alone: equal inputs give equal intervals. `None` where the two are not as many, or empty.
pub fn bootstrap(first: &[bool], second: &[bool], resamples: usize) -> Option<Bootstrap> {
    if first.len() != second.len() || first.is_empty() || resamples == 0 {
        return None;
    }
    let n = first.len();
    let gains: Vec<i64> = first
        .iter()
        .zip(second)
        .map(|(a, b)| i64::from(*a) - i64::from(*b))
        .collect();
    let sum: i64 = gains.iter().sum();
    let mut state = n as u64;
    let mut sums: Vec<i64> = (0..resamples)
        .map(|_| (0..n).map(|_| gains[below(&mut state, n)]).sum())
        .collect();
    sums.sort_unstable();
    let quantile = |share: f64| sums[((resamples - 1) as f64 * share).round() as usize] as f64 / n as f64;
    Some(Bootstrap {
        difference: sum as f64 / n as f64,
        low: quantile(0.025),
        high: quantile(0.975),
    })
}

/// A number below `n` from `SplitMix64` (Steele, Lea, Flood 2014), whose 64 bits make the bias of the product negligible.
fn below(state: &mut u64, n: usize) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    ((u128::from(z) * n as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(right: [usize; 4]) -> (Vec<bool>, Vec<bool>) {
        let kinds = [(true, true), (true, false), (false, true), (false, false)];
        let each = kinds
            .into_iter()
            .zip(right)
            .flat_map(|(kind, n)| std::iter::repeat_n(kind, n));
        each.unzip()
    }

    /// `scipy.stats.binomtest(12, 42, .5).pvalue` of SciPy 1.17.1.
    #[test]
    #[expect(clippy::unreadable_literal, reason = "as SciPy prints them")]
    fn only_what_differs_counts() {
        let (first, second) = answers([900, 12, 30, 58]);
        let test = mcnemar(&first, &second).expect("as many");
        assert_eq!((test.only_first, test.only_second), (12, 30));
        assert!((test.p - 0.007915897334896727).abs() < 1e-12, "{}", test.p);
        let (same, _) = answers([5, 0, 0, 5]);
        assert_eq!(mcnemar(&same, &same).map(|test| test.p), Some(1.0));
        assert_eq!(mcnemar(&same, &first), None);
    }

    /// The normal interval of the difference: -.018 ± 1.96 sqrt((.042 - .018²) / 1000) = [-.0307, -.0053].
    #[test]
    fn the_bootstrap_is_near_the_normal_interval_and_repeatable() {
        let (first, second) = answers([900, 12, 30, 58]);
        let interval = bootstrap(&first, &second, 2000).expect("an interval");
        assert!((interval.difference + 0.018).abs() < 1e-12);
        assert!((interval.low + 0.0307).abs() < 0.0015, "{interval:?}");
        assert!((interval.high + 0.0053).abs() < 0.0015, "{interval:?}");
        assert_eq!(bootstrap(&first, &second, 2000), Some(interval));
        assert_eq!(bootstrap(&first, &second[1..], 100), None);
        assert_eq!(bootstrap(&[], &[], 100), None);
    }
}
