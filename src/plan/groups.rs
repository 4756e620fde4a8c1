//! Groups of models: all combinations of a size, or some of them drawn at random.

use std::collections::BTreeSet;

use rand::RngExt;

use crate::manifest::{Groups, choose};
use crate::seed;

/// The groups out of models `0..models`, each in ascending order, in lexicographic order.
///
/// All of them where no sample is asked for or there are no more than that. Otherwise ranks in the list of all
/// combinations are drawn until there are enough different ones: the list need not exist, and a larger sample holds
/// the smaller one. No group where `size` exceeds `models`, or where there
/// would be more than [`Groups::number`] supports.
pub fn draw(groups: &Groups, models: usize) -> Vec<Vec<usize>> {
    let (available, number) = groups.number(models).unwrap_or_default();
    let ranks: BTreeSet<u64> = if number == available {
        (0..available).collect()
    } else {
        let mut rng = seed::generator(groups.seed, "groups", &[models as u64, groups.size as u64]);
        let mut drawn = BTreeSet::new();
        while (drawn.len() as u64) < number {
            drawn.insert(rng.random_range(0..available));
        }
        drawn
    };
    ranks
        .into_iter()
        .map(|rank| combination(rank, models, groups.size))
        .collect()
}

/// The combination of `k` out of `0..n` that has `rank` others before it.
fn combination(mut rank: u64, n: usize, k: usize) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(k);
    for candidate in 0..n {
        let left = k - chosen.len();
        if left == 0 {
            break;
        }
        // Those that go on with the candidate come before those that do not.
        let with_it = choose(n - candidate - 1, left - 1).unwrap_or(u64::MAX);
        if rank < with_it {
            chosen.push(candidate);
        } else {
            rank -= with_it;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(size: usize, sample: Option<usize>, seed: u64) -> Groups {
        Groups { size, sample, seed }
    }

    /// Every subset of the size, by counting in binary.
    fn brute_force(n: usize, k: usize) -> Vec<Vec<usize>> {
        let subsets = (0u32..1 << n).filter(|bits| bits.count_ones() as usize == k);
        let mut all: Vec<Vec<usize>> = subsets
            .map(|bits| (0..n).filter(|i| bits >> i & 1 == 1).collect())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn without_a_sample_all_combinations_in_lexicographic_order() {
        for (n, k) in [(2, 2), (4, 2), (4, 3), (7, 4), (8, 2), (8, 8)] {
            assert_eq!(draw(&groups(k, None, 0), n), brute_force(n, k), "{k} of {n}");
        }
        assert_eq!(draw(&groups(3, None, 0), 2), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_sample_is_distinct_ordered_reproducible_and_grows() {
        let draw = |sample, seed| draw(&groups(3, Some(sample), seed), 9);
        let thirty = draw(30, 0);
        assert_eq!(thirty.len(), 30);
        assert!(thirty.is_sorted() && thirty.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(thirty.iter().all(|group| brute_force(9, 3).contains(group)));
        assert_eq!(thirty, draw(30, 0));
        assert_ne!(thirty, draw(30, 1));
        assert!(draw(10, 0).iter().all(|group| thirty.contains(group)));
        assert_eq!(draw(84, 0).len(), 84);
        assert_eq!(draw(9999, 0), brute_force(9, 3));
    }

    /// 20,000 draws of one pair out of six: every pair within five standard deviations of its share.
    #[test]
    fn every_group_is_as_likely() {
        let mut counts = std::collections::BTreeMap::<Vec<usize>, f64>::new();
        let draws = 20_000;
        for seed in 0..draws {
            for group in draw(&groups(2, Some(1), seed), 4) {
                *counts.entry(group).or_default() += 1.0;
            }
        }
        let share = draws as f64 / 6.0;
        let deviation = (share * 5.0 / 6.0).sqrt();
        assert_eq!(counts.len(), 6);
        assert!(
            counts
                .values()
                .all(|count| (count - share).abs() < 5.0 * deviation),
            "{counts:?}"
        );
    }

    #[test]
    fn few_out_of_very_many() {
        let drawn = draw(&groups(32, Some(3), 5), 64);
        assert_eq!(drawn.len(), 3);
        for group in drawn {
            assert!(group.len() == 32 && group.windows(2).all(|pair| pair[0] < pair[1]) && group[31] < 64);
        }
    }
}
