//! Every bound, and the ways in which a small file could ask for much.

use std::time::{Duration, Instant};

use runner::checkpoint::torch::{
    Attribute, EntryProblem, LayoutProblem, Limits, PickleProblem as P, TorchError,
};

use super::builder::{MLP, Pickle, SEQUENTIAL, checkpoint, fault, floats, load, run, state_dict};

fn layout(pickle: &[u8], limits: &Limits) -> LayoutProblem {
    match load(&checkpoint(pickle, &[("0", &floats(1))]), limits) {
        Err(TorchError::Layout { problem, .. }) => problem,
        other => panic!("not a problem of the layout: {other:?}"),
    }
}

#[test]
fn lengths_are_checked_before_allocating() {
    let limits = Limits::default();
    let fails = |bytes: &[u8], needed| {
        let pickle = Pickle::new().raw(bytes).raw(b"abc");
        assert_eq!(fault(&pickle.0, &limits), (2, P::Length { needed, left: 3 }));
    };
    fails(b"X\xff\xff\xff\xff", u64::from(u32::MAX));
    fails(b"B\xff\xff\xff\xff", u64::from(u32::MAX));
    fails(b"\x8b\xff\xff\xff\xff", u64::from(u32::MAX));
    fails(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", u64::MAX);
    fails(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", u64::MAX);
    fails(b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f", i64::MAX as u64);
    fails(b"\x8c\x04", 4);
    fails(b"C\x04", 4);
    fails(b"\x8a\x04", 4);
}

#[test]
fn nesting() {
    let limits = Limits {
        depth: 10,
        ..Limits::default()
    };
    assert_eq!(
        fault(&Pickle::new().raw(&[b'('; 11]).0, &limits),
        (12, P::Nesting(10))
    );
    // Tuples of one need no mark: no depth is too much for the arena, not even when it is dropped.
    let deep = Pickle::new().raw(b")").raw(&vec![0x85; 1_000_000]).stop();
    assert!(matches!(
        run(&deep),
        Err(TorchError::Layout {
            problem: LayoutProblem::Root("tuple"),
            ..
        })
    ));
}

#[test]
fn memo_stack_and_objects() {
    let small = Limits {
        memo: 2,
        stack: 3,
        objects: 4,
        ..Limits::default()
    };
    assert_eq!(
        fault(b"\x80\x02Nq\x00q\x01q\x01r\xff\xff\xff\xff.", &small),
        (9, P::Memo(2))
    );
    assert_eq!(fault(b"\x80\x02NNNN.", &small), (5, P::Stack(3)));
    assert_eq!(fault(b"\x80\x02N2222.", &small), (5, P::Stack(3)));
    assert_eq!(fault(b"\x80\x02]0]0]0]0]0.", &small), (10, P::Objects(4)));
    // The default holds for them as well.
    let many = Pickle::new().raw(&b"]0".repeat((1 << 22) + 1)).stop();
    assert_eq!(fault(&many, &Limits::default()).1, P::Objects(1 << 22));
}

#[test]
fn pickle_bytes() {
    let limits = Limits {
        pickle_bytes: 5,
        ..Limits::default()
    };
    let error = load(&checkpoint(&state_dict(|p| p), &[]), &limits).expect_err("too large");
    assert!(matches!(
        &error,
        TorchError::Entry {
            problem: EntryProblem::PickleBytes { limit: 5, .. },
            ..
        }
    ));
}

#[test]
fn tensor_bytes() {
    let pickle = state_dict(|p| p.text("a").tensor(("FloatStorage", "0", 1), 0, &[1 << 40], &[0]));
    let file = checkpoint(&pickle, &[("0", &floats(1))]);
    let error = load(&file, &Limits::default()).expect_err("four terabytes from one element");
    let TorchError::TensorBytes { bytes, limit, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((bytes, limit), (4 << 40, 16 * file.len() as u64 + (1 << 20)));

    let pickle = state_dict(|p| p.text("a").parameter("0", 3));
    let limits = Limits {
        tensor_bytes: 11,
        ..Limits::default()
    };
    let error = load(&checkpoint(&pickle, &[("0", &floats(3))]), &limits).expect_err("12 bytes");
    assert!(matches!(
        error,
        TorchError::TensorBytes {
            bytes: 12,
            limit: 11,
            ..
        }
    ));
}

#[test]
fn number_and_names_of_tensors() {
    let pickle = state_dict(|p| {
        p.text("a")
            .parameter("0", 1)
            .put(7)
            .text("b")
            .get(7)
            .text("c")
            .get(7)
    });
    let limits = Limits {
        tensors: 2,
        ..Limits::default()
    };
    assert_eq!(layout(&pickle, &limits), LayoutProblem::Tensors(2));
    let pickle = state_dict(|p| p.text(&"x".repeat(1025)).parameter("0", 1));
    assert_eq!(layout(&pickle, &Limits::default()), LayoutProblem::Name(1024));
}

#[test]
fn an_exponential_memo_bomb_stays_small() {
    // Ten references to a list of ten references to a list ...: 10^200 leaves if they were copied.
    let mut pickle = Pickle::new().list(|p| p.int(1)).put(0);
    for level in 1..=200 {
        pickle = pickle
            .list(|p| (0..10).fold(p, |p, _| p.get(level - 1)))
            .put(level);
    }
    let pickle = pickle.raw(b"1").0;
    // Leave only the last list, as an attribute.
    let bomb = pickle[2..pickle.len() - 1].to_vec();
    let module = Pickle::new().module(
        MLP,
        |p| p,
        |p| p,
        |p| p.raw(b"(").raw(&bomb).put(250).raw(b"1").text("it").get(250),
    );
    let start = Instant::now();
    let file = run(&module.stop()).expect("it is valid");
    assert_eq!(file.attributes["it"], Attribute::Other);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn copies_count_as_objects() {
    // A set of a list of 10 000 elements, made again and again by eight bytes.
    let list = |p: Pickle| p.list(|p| p.raw(&b"N".repeat(10_000)));
    let pickle = list(Pickle::new())
        .raw(&[0x85])
        .put(0)
        .global("builtins", "set")
        .put(1);
    let pickle = (0..2_000).fold(pickle, |p, _| p.get(1).get(0).raw(b"R0"));
    assert_eq!(fault(&pickle.stop(), &Limits::default()).1, P::Objects(1 << 22));
}

#[test]
fn many_views_of_one_long_list_are_refused() {
    let attributes = |p: Pickle| {
        let p = p.text("a").list(|p| p.raw(&b"K\x01".repeat(10_000))).put(0);
        (0..1_000).fold(p, |p, i| p.text(&format!("a{i}")).get(0))
    };
    let pickle = Pickle::new().module(MLP, |p| p, |p| p, attributes).stop();
    assert_eq!(
        layout(&pickle, &Limits::default()),
        LayoutProblem::Entries(1 << 22)
    );
}

#[test]
fn a_module_inside_itself_does_not_hang() {
    let open = |p: Pickle| p.global(SEQUENTIAL.0, SEQUENTIAL.1).raw(b")\x81").put(0);
    let pickle = open(Pickle::new())
        .dict(|p| {
            let p = p.text("_parameters").dict(|p| p).text("_buffers").dict(|p| p);
            p.text("_modules").dict(|p| p.text("me").get(0))
        })
        .raw(b"b")
        .stop();
    assert_eq!(layout(&pickle, &Limits::default()), LayoutProblem::Depth(256));
}

#[test]
fn modules_that_share_submodules_do_not_explode() {
    let mut pickle = Pickle::new()
        .raw(b"(")
        .module(SEQUENTIAL, |p| p, |p| p, |p| p)
        .put(0);
    for level in 1..=60 {
        let children = |p: Pickle| p.text("a").get(level - 1).text("b").get(level - 1);
        pickle = pickle.module(SEQUENTIAL, |p| p, children, |p| p).put(level);
    }
    let pickle = pickle.raw(b"1").get(60).stop();
    assert_eq!(
        layout(&pickle, &Limits::default()),
        LayoutProblem::Entries(1 << 22)
    );
}
