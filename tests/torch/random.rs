//! Damage at random: an error or a value, but always soon and without a panic.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use runner::checkpoint::torch::Limits;

use super::builder::{Pickle, checkpoint, floats, load, small_mlp, state_dict};

fn finishes(bytes: &[u8]) {
    let start = Instant::now();
    let limits = Limits {
        objects: 1 << 16,
        tensor_bytes: 1 << 20,
        ..Limits::default()
    };
    drop(load(bytes, &limits));
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// A pickle with tensors, views and most instructions.
fn pickle() -> Vec<u8> {
    state_dict(|p| {
        let p = p.text("a").parameter("0", 4).put(1).text("b").get(1);
        let p = p.text("c").tensor(("HalfStorage", "1", 8), 1, &[2, 3], &[1, 2]);
        p.text("d").tensor(("LongStorage", "2", 2), 0, &[], &[])
    })
}

fn with_storages(pickle: &[u8]) -> Vec<u8> {
    checkpoint(pickle, &[("0", &floats(4)), ("1", &floats(4)), ("2", &floats(4))])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_in_the_file(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut file = small_mlp();
        for (at, value) in flips {
            let at = at.index(file.len());
            file[at] = value;
        }
        finishes(&file);
    }

    /// Here the archive's checksums fit, so that the machine gets to see the damage.
    #[test]
    fn flipped_bytes_in_the_pickle(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = pickle();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        finishes(&with_storages(&bytes));
    }

    #[test]
    fn instructions_at_random(
        ops in prop::collection::vec(prop::sample::select(&b"(()]}N012tteasubRQq\0q\x01h\0h\x01\x81\x85\x86\x87\x8f\x90\x91\x94"[..]), 0..200)
    ) {
        let bytes = Pickle::new().raw(b"ccollections\nOrderedDict\nq\0c__builtin__\nset\nq\x01").raw(&ops).stop();
        finishes(&with_storages(&bytes));
    }
}

#[test]
fn every_single_flip_of_the_pickle() {
    let original = pickle();
    load(&with_storages(&original), &Limits::default()).expect("it is valid before the damage");
    for at in 0..original.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut bytes = original.clone();
            bytes[at] ^= mask;
            finishes(&with_storages(&bytes));
        }
    }
}
