use proptest::prelude::*;

use super::*;
use crate::seed::generator;

const KINDS: [SplitKind; 5] = [
    SplitKind::NonIid,
    SplitKind::Sharded,
    SplitKind::Stratified,
    SplitKind::Random,
    SplitKind::Classes,
];

fn cut(labels: &[u32], kind: SplitKind, parts: usize, seed: u64) -> Result<Vec<Vec<usize>>, DataError> {
    let mut options = SplitOptions::default();
    if kind == SplitKind::Classes {
        options.classes = (0..parts as u32)
            .map(|part| (part..10).step_by(parts).collect())
            .collect();
    }
    split(
        labels,
        10,
        kind,
        parts,
        &options,
        &mut generator(seed, "split", &[]),
    )
}

fn problem<T: std::fmt::Debug>(outcome: Result<T, DataError>) -> String {
    outcome.expect_err("impossible").to_string()
}

proptest! {
    #[test]
    fn parts_are_disjoint_complete_and_reproducible(
        labels in proptest::collection::vec(0_u32..10, 1..300),
        parts in 1_usize..8,
        seed: u64,
    ) {
        for kind in KINDS {
            let Ok(parts_of) = cut(&labels, kind, parts, seed) else { continue };
            prop_assert_eq!(parts_of.len(), parts);
            prop_assert!(parts_of.iter().all(|part| !part.is_empty() && part.is_sorted()));
            let mut all: Vec<usize> = parts_of.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            prop_assert_eq!(parts_of, cut(&labels, kind, parts, seed).expect("possible before"));
        }
    }

    #[test]
    fn stratified_counts_differ_by_one_at_most(
        labels in proptest::collection::vec(0_u32..10, 8..300),
        parts in 1_usize..8,
        seed: u64,
    ) {
        let parts = cut(&labels, SplitKind::Stratified, parts, seed).expect("enough samples");
        let spread = |count: &dyn Fn(&Vec<usize>) -> usize| {
            let counts: Vec<usize> = parts.iter().map(count).collect();
            counts.iter().max().expect("a part") - counts.iter().min().expect("a part")
        };
        prop_assert!(spread(&Vec::len) <= 1);
        for class in 0..10 {
            prop_assert!(spread(&|part| part.iter().filter(|&&i| labels[i] == class).count()) <= 1);
        }
    }

    /// A sharded part has whole classes, and as many of them as the others, or one more.
    #[test]
    fn sharded_parts_have_whole_classes(
        labels in proptest::collection::vec(0_u32..10, 50..300),
        parts in 1_usize..8,
        seed: u64,
    ) {
        let Ok(parts_of) = cut(&labels, SplitKind::Sharded, parts, seed) else { return Ok(()) };
        let of = |part: &Vec<usize>| part.iter().map(|&i| labels[i]).collect::<std::collections::BTreeSet<u32>>();
        let sets: Vec<_> = parts_of.iter().map(of).collect();
        for (a, first) in sets.iter().enumerate() {
            prop_assert!(first.len() <= 10_usize.div_ceil(parts));
            for second in &sets[a + 1..] {
                prop_assert!(first.is_disjoint(second));
            }
        }
    }

    /// By lists, a part has all samples of its classes and no others; `full` gives all to everyone.
    #[test]
    fn lists_and_full_are_followed(labels in proptest::collection::vec(0_u32..10, 1..200), parts in 1_usize..8) {
        if let Ok(by_lists) = cut(&labels, SplitKind::Classes, parts, 1) {
            for (part, samples) in by_lists.iter().enumerate() {
                let expected: Vec<usize> =
                    (0..labels.len()).filter(|&i| labels[i] as usize % parts == part).collect();
                prop_assert_eq!(samples, &expected);
            }
        }
        if labels.len() >= parts {
            let full = cut(&labels, SplitKind::Full, parts, 1).expect("enough samples");
            let all: Vec<usize> = (0..labels.len()).collect();
            prop_assert_eq!(full, vec![all; parts]);
        }
    }

    /// The shares of a class add up to it; the cut of cumulative shares leaves no sample over and takes none twice.
    #[test]
    fn non_iid_counts_of_a_class_add_up(count in 1_usize..400, parts in 1_usize..9, seed: u64) {
        let labels: Vec<u32> = (0..10 * count as u32).map(|i| i % 10).collect();
        let Ok(parts_of) = cut(&labels, SplitKind::NonIid, parts, seed) else { return Ok(()) };
        for class in 0..10 {
            let of = |part: &Vec<usize>| part.iter().filter(|&&i| labels[i] == class).count();
            prop_assert_eq!(parts_of.iter().map(of).sum::<usize>(), count);
        }
    }

    #[test]
    fn another_seed_is_another_split(seed: u64) {
        let labels: Vec<u32> = (0..200).map(|i| i % 10).collect();
        for kind in [SplitKind::NonIid, SplitKind::Stratified, SplitKind::Random, SplitKind::Sharded] {
            let of = |seed: u64| cut(&labels, kind, 4, seed).expect("enough samples");
            // Sharded splits are few; one of five others is another one.
            let others: Vec<_> = (1..=5).map(|k| of(seed.wrapping_add(k))).collect();
            prop_assert!(others.iter().any(|other| *other != of(seed)), "{kind:?}");
        }
    }

    #[test]
    fn hold_out_keeps_every_index_once(n in 2_usize..200, ratio in 0.0..0.9, seed: u64) {
        let indices: Vec<usize> = (0..n).map(|i| 3 * i).collect();
        let Ok((train, held)) = hold_out(&indices, ratio, &mut generator(seed, "hold out", &[])) else {
            return Ok(());
        };
        prop_assert_eq!(held.len(), ((ratio * n as f64) as usize).max(usize::from(ratio > 0.0)));
        let mut all = [train, held].concat();
        all.sort_unstable();
        prop_assert_eq!(all, indices);
    }
}

/// 10 classes of 1,000: the mean share of a part with concentration 5 of 1 + 5 is 5/6, and its standard deviation
/// sqrt(5 / (36 * 7)) = 0.141. Over 200 classes the mean must lie within 0.04 (four standard errors) of it.
#[test]
fn non_iid_shares_follow_the_dirichlet_distribution() {
    let labels: Vec<u32> = (0..10_000).map(|i| i % 10).collect();
    let (mut larger, mut first) = (0.0, 0.0);
    for seed in 0..20 {
        let parts = cut(&labels, SplitKind::NonIid, 2, seed).expect("possible");
        for class in 0..10 {
            let count = parts[0].iter().filter(|&&i| labels[i] == class).count() as f64 / 1000.0;
            larger += count.max(1.0 - count) / 200.0;
            first += count / 200.0;
        }
    }
    // E max(p, 1 - p) for p ~ Beta(5, 1), with density 5 p^4: 5/6 + the integral of (1 - 2p) 5 p^4 below 1/2 = 0.8438.
    assert!((larger - 0.8438).abs() < 0.04, "{larger}");
    assert!((first - 0.5).abs() < 0.12, "{first}");
}

#[test]
fn sharded_groups_are_whole_and_nearly_equal() {
    let labels: Vec<u32> = (0..100).map(|i| i % 10).collect();
    let parts = cut(&labels, SplitKind::Sharded, 4, 1).expect("possible");
    let groups: Vec<usize> = parts
        .iter()
        .map(|part| {
            let mut classes: Vec<u32> = part.iter().map(|&i| labels[i]).collect();
            classes.sort_unstable();
            classes.dedup();
            assert_eq!(part.len(), 10 * classes.len());
            classes.len()
        })
        .collect();
    assert_eq!(groups, [3, 3, 2, 2]);
}

#[test]
fn full_gives_everything_to_everyone() {
    let parts = cut(&[0, 1, 2, 3], SplitKind::Full, 2, 1).expect("possible");
    assert_eq!(parts, [[0, 1, 2, 3], [0, 1, 2, 3]]);
}

#[test]
fn what_cannot_be_split_says_why() {
    let labels: Vec<u32> = (0..20).map(|i| i % 10).collect();
    assert!(problem(cut(&labels, SplitKind::Full, 0, 1)).contains("at least one part"));
    assert!(problem(cut(&labels, SplitKind::Random, 21, 1)).contains("21 parts, but only 20 samples"));
    assert!(problem(cut(&labels, SplitKind::Sharded, 11, 1)).contains("only 10 classes"));
    assert!(problem(cut(&labels, SplitKind::Random, 20, 1)).contains("gets no sample"));
    assert!(problem(cut(&[10], SplitKind::Full, 1, 1)).contains("sample 0 has label 10"));
    assert!(problem(cut(&[0; 5], SplitKind::Classes, 2, 1)).contains("part 1 of 2 gets no sample"));
    let listed = |kind, lists: &[&[u32]]| {
        let options = SplitOptions {
            classes: lists.iter().map(|list| list.to_vec()).collect(),
        };
        problem(split(
            &[0, 1, 2],
            3,
            kind,
            2,
            &options,
            &mut generator(1, "split", &[]),
        ))
    };
    assert!(listed(SplitKind::Classes, &[&[0, 1]]).contains("2 parts, but 1 class lists"));
    assert!(listed(SplitKind::Classes, &[&[0, 1], &[3]]).contains("no class 3, only 3 of them"));
    assert!(listed(SplitKind::Classes, &[&[0, 1], &[1, 2]]).contains("class 1 is listed 2 times"));
    assert!(listed(SplitKind::Classes, &[&[0], &[1]]).contains("class 2 is in no class list"));
    assert!(listed(SplitKind::Classes, &[&[0, 1, 2], &[]]).contains("the class list of part 1 is empty"));
    assert!(listed(SplitKind::Full, &[&[0], &[1]]).contains("kind of split is not `classes`"));
    let held = |ratio| hold_out(&[1], ratio, &mut generator(1, "hold out", &[]));
    for ratio in [f64::NAN, -0.1, 1.0, 0.5] {
        assert!(held(ratio).is_err(), "{ratio}");
    }
    assert_eq!(held(0.0).expect("nothing held out"), (vec![1], vec![]));
}

#[test]
fn most_is_known_before_the_data_is_loaded() {
    let known = |kind, parts, lists: Option<&[Vec<u32>]>| {
        check_split(kind, parts, lists, &crate::data::NAMES[0].info.expect("digits"))
    };
    assert!(known(SplitKind::NonIid, 1438, None).is_ok());
    assert!(problem(known(SplitKind::NonIid, 1439, None)).contains("only 1438 samples"));
    assert!(problem(known(SplitKind::Sharded, 11, None)).contains("only 10 classes"));
    assert!(problem(known(SplitKind::Classes, 2, None)).contains("2 parts, but 0 class lists"));
    assert!(
        known(
            SplitKind::Classes,
            2,
            Some(&[(0..5).collect(), (5..10).collect()])
        )
        .is_ok()
    );
}

#[test]
fn kinds_are_spelled_as_in_manifests() {
    let spelled = serde_json::to_string(&[SplitKind::NonIid, SplitKind::Full]).expect("plain");
    assert_eq!(spelled, r#"["non-iid","full"]"#);
}
