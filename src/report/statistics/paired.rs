//! Tests of paired numbers: two methods on the same seeds.

use super::distributions::{normal_two_sided, t_two_sided};

/// Outcome of the paired t-test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedT {
    /// Mean difference over its standard error; infinite where all differences are equal and not 0.
    pub t: f64,
    /// Degrees of freedom, `n - 1`.
    pub degrees: usize,
    /// Two-sided p.
    pub p: f64,
}

/// Tests whether the mean of the differences is 0; `None` for less than two, or where all are 0.
pub fn paired_t(differences: &[f64]) -> Option<PairedT> {
    let n = differences.len();
    if n < 2 || differences.iter().all(|d| *d == 0.0) {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / n as f64;
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    let error = (squares / (n - 1) as f64 / n as f64).sqrt();
    let t = mean / error;
    Some(PairedT {
        t,
        degrees: n - 1,
        p: t_two_sided(t, (n - 1) as f64),
    })
}

/// Outcome of Wilcoxon's signed-rank test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wilcoxon {
    /// The smaller of the sums of ranks of positive and of negative differences.
    pub statistic: f64,
    /// Differences that are not 0.
    pub n: usize,
    /// Two-sided p.
    pub p: f64,
    /// Whether `p` is exact, and not from the normal approximation.
    pub exact: bool,
}

/// Up to so many differences, zeros included, p is exact where no two are equal and none is 0 ...
const EXACT: usize = 50;
/// ... and up to so many where they are.
const EXACT_WITH_TIES: usize = 13;

/// Tests whether the differences are symmetric around 0; `None` where there is none that is not 0.
///
/// Zeros are dropped and equal sizes share their mean rank. When p is exact is SciPy's `method="auto"`: from the
/// distribution over all signs, ties included, for small samples; otherwise the normal approximation, its variance
/// corrected for ties, without continuity correction.
pub fn wilcoxon(differences: &[f64]) -> Option<Wilcoxon> {
    let mut sizes: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    if sizes.is_empty() {
        return None;
    }
    sizes.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
    // Twice the mean rank is whole.
    let mut ranks = Vec::with_capacity(sizes.len());
    let mut ties = 0.0;
    for run in sizes.chunk_by(|a, b| a.abs() >= b.abs()) {
        let first = ranks.len() + 1;
        ranks.extend(std::iter::repeat_n(2 * first + run.len() - 1, run.len()));
        let equal = run.len() as f64;
        ties += equal.powi(3) - equal;
    }
    let total: usize = ranks.iter().sum();
    let positive: usize = sizes
        .iter()
        .zip(&ranks)
        .filter(|(d, _)| **d > 0.0)
        .map(|(_, rank)| rank)
        .sum();
    let n = sizes.len();
    let irregular = ties > 0.0 || n < differences.len();
    let exact = differences.len() <= if irregular { EXACT_WITH_TIES } else { EXACT };
    let p = if exact {
        exact_p(&ranks, positive)
    } else {
        let count = n as f64;
        let mean = count * (count + 1.0) / 4.0;
        let variance = (count * (count + 1.0) * (2.0 * count + 1.0) - ties / 2.0) / 24.0;
        normal_two_sided((positive as f64 / 2.0 - mean) / variance.sqrt())
    };
    Some(Wilcoxon {
        statistic: positive.min(total - positive) as f64 / 2.0,
        n,
        p,
        exact,
    })
}

/// Twice the smaller tail of the sum of those ranks whose sign is positive, all signs being equally likely.
fn exact_p(ranks: &[usize], positive: usize) -> f64 {
    let total: usize = ranks.iter().sum();
    let mut probability = vec![0.0; total + 1];
    probability[0] = 1.0;
    for &rank in ranks {
        for sum in (0..=total).rev() {
            let from = if sum >= rank { probability[sum - rank] } else { 0.0 };
            probability[sum] = (probability[sum] + from) / 2.0;
        }
    }
    let below: f64 = probability[..=positive].iter().sum();
    let above: f64 = probability[positive..].iter().sum();
    (2.0 * below.min(above)).min(1.0)
}

/// The smallest p that Wilcoxon's test can give for `n` pairs: `2^(1 - n)`, .0625 for 5. No result is significant at
/// .05 with less than 6.
pub fn smallest_wilcoxon_p(n: usize) -> f64 {
    0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX) - 1).min(1.0)
}

/// Holm's step-down correction: what each of several p has to be compared with the level as, so that the chance of any
/// false rejection stays below the level.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, &test) in order.iter().enumerate() {
        largest = largest.max(p[test] * (p.len() - rank) as f64).min(1.0);
        adjusted[test] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-12, "{found} is not {expected}");
    }

    /// `scipy.stats.ttest_1samp(d, 0)` and `scipy.stats.wilcoxon(d)` of SciPy 1.17.1: without ties, with ties and zeros
    /// (exact up to 13), and large samples.
    #[test]
    #[expect(clippy::unreadable_literal, reason = "as SciPy prints them")]
    fn tests_are_scipys() {
        let cases: [(&[f64], [f64; 4], bool); 6] = [
            (
                &[0.1, 0.2, 0.3, 0.4, 0.5],
                [4.242640687119285, 0.01323559956368269, 0.0, 0.0625],
                true,
            ),
            (
                &[1.2, -0.3, 0.5, 0.9, -0.1, 0.4],
                [1.8571428571428572, 0.12241950226057145, 3.0, 0.15625],
                true,
            ),
            (
                &[1.0, 1.0, -1.0, 2.0, 0.0, 3.0, 0.0, -2.0],
                [0.8819171036881969, 0.407083822065589, 6.5, 0.53125],
                true,
            ),
            (
                &[
                    -0.08, -0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16,
                ],
                [1.851640199545103, 0.088829714076523, 18.0, 0.1083984375],
                true,
            ),
            (
                &[
                    -4.0, 3.0, -1.0, 6.0, 2.0, -2.0, 5.0, 1.0, -3.0, 4.0, 0.0, -4.0, 3.0, -1.0, 6.0, 2.0,
                    -2.0, 5.0, 1.0, -3.0,
                ],
                [1.2112437965971354, 0.24065252434982073, 67.0, 0.2580932481894861],
                false,
            ),
            (
                &[
                    -4.0, -0.3, 3.4, -3.0, 0.7, 4.4, -2.0, 1.7, 5.4, -1.0, 2.7, -3.7, 0.0, 3.7, -2.7, 1.0,
                    4.7, -1.7, 2.0, 5.7, -0.7, 3.0, -3.4, 0.3, 4.0, -2.4, 1.3, 5.0, -1.4, 2.3, 6.0, -0.4,
                    3.3, -3.1, 0.6, 4.3, -2.1, 1.6, 5.3, -1.1, 2.6, -3.8, -0.1, 3.6, -2.8, 0.9, 4.6, -1.8,
                    1.9, 5.6, -0.8, 2.9, -3.5, 0.2, 3.9, -2.5, 1.2, 4.9, -1.5, 2.2,
                ],
                [
                    2.507788484430631,
                    0.014920044731630023,
                    583.0,
                    0.02263320893600752,
                ],
                false,
            ),
        ];
        for (differences, [t, t_p, statistic, p], exact) in cases {
            let found = paired_t(differences).expect("a test");
            close(found.t, t);
            close(found.p, t_p);
            let found = wilcoxon(differences).expect("a test");
            close(found.statistic, statistic);
            close(found.p, p);
            assert_eq!(found.exact, exact);
        }
    }

    #[test]
    fn what_cannot_be_tested() {
        assert_eq!(paired_t(&[0.1]), None);
        assert_eq!(paired_t(&[0.0, 0.0]), None);
        assert_eq!(wilcoxon(&[0.0, 0.0]), None);
        assert_eq!(wilcoxon(&[]), None);
        let equal = paired_t(&[0.25, 0.25, 0.25]).expect("a test");
        assert_eq!((equal.t, equal.p), (f64::INFINITY, 0.0));
    }

    #[test]
    fn five_seeds_cannot_be_significant() {
        let best = wilcoxon(&[0.1, 0.2, 0.3, 0.4, 0.5]).expect("a test");
        assert_eq!((best.p, smallest_wilcoxon_p(5)), (0.0625, 0.0625));
        assert_eq!(smallest_wilcoxon_p(6), 0.03125);
        assert_eq!(smallest_wilcoxon_p(1), 1.0);
    }

    /// By hand: sorted .01, .02, .03, .04 times 4, 3, 2, 1, never decreasing.
    #[test]
    fn holms_correction() {
        for (found, expected) in holm(&[0.04, 0.01, 0.03, 0.02])
            .into_iter()
            .zip([0.06, 0.04, 0.06, 0.06])
        {
            close(found, expected);
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }
}
