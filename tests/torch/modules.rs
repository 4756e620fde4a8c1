//! From objects to a state dict, with the order and the names that PyTorch gives.

use runner::checkpoint::torch::{Attribute, LayoutProblem, Limits, TorchError, TorchFile};

use super::builder::{LINEAR, MLP, Pickle, SEQUENTIAL, checkpoint, floats, load, run, small_mlp, state_dict};

fn names(file: &TorchFile) -> Vec<&str> {
    file.tensors.iter().map(|(name, _)| name.as_str()).collect()
}

fn with_storages(pickle: &[u8]) -> TorchFile {
    let storages = [("0", floats(1)), ("1", floats(2)), ("2", floats(3))];
    let storages: Vec<_> = storages
        .iter()
        .map(|(key, bytes)| (*key, bytes.as_slice()))
        .collect();
    load(&checkpoint(pickle, &storages), &Limits::default()).expect("a valid checkpoint")
}

fn layout(pickle: &[u8]) -> LayoutProblem {
    match run(pickle) {
        Err(TorchError::Layout { problem, .. }) => problem,
        other => panic!("not a problem of the layout: {other:?}"),
    }
}

#[test]
fn a_whole_module() {
    let file = load(&small_mlp(), &Limits::default()).expect("a valid checkpoint");
    assert_eq!(file.class.as_deref(), Some("models.mlp.MLPNet"));
    assert_eq!(
        names(&file),
        [
            "level1.1.weight",
            "level1.1.bias",
            "level2.1.weight",
            "level2.1.bias"
        ]
    );
    let values: Vec<f32> = file.tensors[0].1.to_vec1().expect("floats");
    assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(
        file.attributes["train_indices"],
        Attribute::Indices((0..300).collect())
    );
    assert_eq!(file.attributes["val_indices"], Attribute::Indices(vec![]));
    let keys: Vec<_> = file.attributes.keys().collect();
    assert_eq!(keys, ["hidden_size", "train_indices", "training", "val_indices"]);
}

#[test]
fn parameters_then_persistent_buffers_then_submodules() {
    let child = |p: Pickle| {
        p.module(
            LINEAR,
            |p| p.text("weight").parameter("2", 3).text("bias").raw(b"N"),
            |p| p,
            |p| p,
        )
    };
    let pickle = Pickle::new().object(SEQUENTIAL, |p| {
        let p = p
            .text("_modules")
            .dict(|p| child(p.text("z")).text("gone").raw(b"N"));
        let p = p.text("_buffers").dict(|p| {
            let buffer = |p: Pickle| p.tensor(("FloatStorage", "1", 2), 0, &[2], &[1]);
            buffer(buffer(p.text("mean")).text("scratch"))
                .text("unset")
                .raw(b"N")
        });
        let set = |p: Pickle| {
            p.global("__builtin__", "set")
                .tuple(|p| p.list(|p| p.text("scratch")))
                .raw(b"R")
        };
        set(p.text("_non_persistent_buffers_set"))
            .text("_parameters")
            .ordered(|p| p.text("scale").parameter("0", 1))
    });
    assert_eq!(
        names(&with_storages(&pickle.stop())),
        ["scale", "mean", "z.weight"]
    );
}

#[test]
fn a_module_used_twice_appears_twice() {
    let linear = |p: Pickle| p.module(LINEAR, |p| p.text("weight").parameter("0", 1), |p| p, |p| p);
    let pickle = Pickle::new().module(
        SEQUENTIAL,
        |p| p,
        |p| linear(p.text("a")).put(9).text("b").get(9),
        |p| p,
    );
    assert_eq!(names(&with_storages(&pickle.stop())), ["a.weight", "b.weight"]);
}

#[test]
fn a_container_filled_after_it_was_shared_is_full_everywhere() {
    // `second` refers to the list before it has elements.
    let attributes = |p: Pickle| {
        p.text("first")
            .raw(b"]")
            .put(0)
            .text("second")
            .get(0)
            .text("third")
            .get(0)
            .raw(b"(K\x01K\x02e")
    };
    let file = run(&Pickle::new().module(MLP, |p| p, |p| p, attributes).stop()).expect("a valid checkpoint");
    for name in ["first", "second", "third"] {
        assert_eq!(file.attributes[name], Attribute::Indices(vec![1, 2]), "{name}");
    }
    // The same for a dictionary and for an object's attributes: the root is an object built last.
    let pickle = Pickle::new()
        .raw(b"}")
        .put(0)
        .raw(b"0")
        .get(0)
        .text("a")
        .parameter("0", 1)
        .raw(b"s0")
        .get(0)
        .stop();
    assert_eq!(names(&with_storages(&pickle)), ["a"]);
}

#[test]
fn a_list_may_contain_itself() {
    let attributes = |p: Pickle| p.text("it").raw(b"]").put(0).get(0).raw(b"a");
    let file = run(&Pickle::new().module(MLP, |p| p, |p| p, attributes).stop()).expect("a valid checkpoint");
    assert_eq!(file.attributes["it"], Attribute::Other);
}

#[test]
fn plain_state_dicts() {
    let pickle = state_dict(|p| {
        p.text("fc.weight")
            .parameter("1", 2)
            .text("fc.bias")
            .parameter("0", 1)
    });
    let file = with_storages(&pickle);
    assert_eq!((file.class.as_deref(), file.attributes.len()), (None, 0));
    assert_eq!(names(&file), ["fc.weight", "fc.bias"]);

    // PyTorch gives a state dict an attribute, `_metadata`.
    let metadata = Pickle::new()
        .ordered(|p| p.text("a").parameter("0", 1))
        .dict(|p| p.text("_metadata").ordered(|p| p));
    assert_eq!(names(&with_storages(&metadata.raw(b"b").stop())), ["a"]);
    // Of equal keys the last value counts, at the first one's place.
    let double = |p: Pickle| {
        p.text("a")
            .parameter("0", 1)
            .text("b")
            .parameter("1", 2)
            .text("a")
            .parameter("2", 3)
    };
    let file = with_storages(&Pickle::new().dict(double).stop());
    assert_eq!(names(&file), ["a", "b"]);
    assert_eq!(file.tensors[0].1.dims(), [3]);
    assert_eq!(
        run(&state_dict(|p| p))
            .expect("an empty state dict")
            .tensors
            .len(),
        0
    );
}

#[test]
fn other_content_is_refused_by_name() {
    assert_eq!(
        layout(&Pickle::new().raw(b"]").stop()),
        LayoutProblem::Root("list")
    );
    let unexpected = |name: &str, found, expected| LayoutProblem::Unexpected {
        name: name.into(),
        found,
        expected,
    };
    assert_eq!(
        layout(&state_dict(|p| p.text("epoch").int(3))),
        unexpected("epoch", "int", "tensor")
    );
    assert_eq!(
        layout(&state_dict(|p| p.text("a").raw(b"N"))),
        unexpected("a", "None", "tensor")
    );
    assert_eq!(
        layout(&state_dict(|p| p.int(1).int(3))),
        LayoutProblem::Key(String::new())
    );
    let bare = Pickle::new().global(MLP.0, MLP.1).raw(b")\x81").stop();
    assert_eq!(layout(&bare), LayoutProblem::NoState(String::new()));
    let list = Pickle::new()
        .module(SEQUENTIAL, |p| p, |p| p.text("0").raw(b"]"), |p| p)
        .stop();
    assert_eq!(layout(&list), unexpected("0", "list", "module"));
    let child = |p: Pickle| p.object(LINEAR, |p| p.text("_parameters").raw(b"}"));
    let nested = Pickle::new()
        .module(SEQUENTIAL, |p| p, |p| child(p.text("fc")), |p| p)
        .stop();
    assert_eq!(
        layout(&nested),
        LayoutProblem::Field {
            module: "fc".into(),
            field: "_buffers"
        }
    );
}

/// A state dict of one tensor.
fn weights(p: Pickle) -> Pickle {
    p.ordered(|p| p.text("fc.weight").parameter("0", 1))
}

/// An optimizer's state: tensors by number.
fn optimizer(p: Pickle) -> Pickle {
    let momenta = |p: Pickle| p.dict(|p| p.text("step").parameter("2", 3));
    p.dict(|p| {
        momenta(p.text("state").raw(b"}(").int(0))
            .raw(b"u")
            .text("param_groups")
            .raw(b"]")
    })
}

#[test]
fn dictionaries_of_training_loops() {
    let epoch = |p: Pickle| p.text("epoch").int(3).text("best").raw(b"N");
    let cases: [(&str, Vec<u8>); 6] = [
        (
            "state_dict",
            Pickle::new()
                .dict(|p| weights(epoch(p).text("state_dict")))
                .stop(),
        ),
        // Beside others: an optimizer, a tensor, a dictionary of tensors under no usual name.
        (
            "model_state_dict",
            Pickle::new()
                .dict(|p| {
                    let p = weights(epoch(optimizer(p.text("optimizer"))).text("model_state_dict"));
                    let p = p.text("loss").parameter("1", 2);
                    p.text("metrics").dict(|p| p.text("loss").parameter("1", 2))
                })
                .stop(),
        ),
        (
            "mine",
            Pickle::new().dict(|p| weights(epoch(p).text("mine"))).stop(),
        ),
        (
            "state.model",
            Pickle::new()
                .dict(|p| epoch(p).text("state").dict(|p| weights(p.text("model"))))
                .stop(),
        ),
        (
            "",
            Pickle::new()
                .dict(|p| epoch(p.text("fc.weight").parameter("0", 1)))
                .stop(),
        ),
        (
            "model",
            Pickle::new()
                .dict(|p| {
                    let linear = |p: Pickle| {
                        let linear = |p: Pickle| p.text("weight").parameter("0", 1);
                        p.module(LINEAR, linear, |p| p, |p| p)
                    };
                    let p = epoch(p).text("model");
                    p.module(SEQUENTIAL, |p| p, |p| linear(p.text("fc")), |p| p)
                })
                .stop(),
        ),
    ];
    for (under, pickle) in cases {
        let file = with_storages(&pickle);
        assert_eq!(names(&file), ["fc.weight"], "{under}");
        assert_eq!(file.attributes["epoch"], Attribute::Int(3), "{under}");
    }
    // Values of classes that are not read.
    let others = Pickle::new().dict(|p| {
        let p = epoch(p)
            .text("args")
            .object(("argparse", "Namespace"), |p| p.text("lr").int(1));
        let path = |p: Pickle| p.global("pathlib", "PosixPath").tuple(|p| p.text("a")).raw(b"R");
        let counts = |p: Pickle| {
            p.global("collections", "Counter")
                .tuple(|p| p.dict(|p| p))
                .raw(b"R")
        };
        weights(
            counts(path(p.text("path")).text("seen"))
                .raw(b"(")
                .text("x")
                .int(1)
                .raw(b"u")
                .text("model"),
        )
    });
    assert_eq!(names(&with_storages(&others.stop())), ["fc.weight"]);
}

#[test]
fn of_several_models_none_is_guessed() {
    let two = |names: [&str; 2]| {
        let pickle =
            Pickle::new().dict(|p| weights(weights(p.text("epoch").int(3).text(names[0])).text(names[1])));
        layout(&pickle.stop())
    };
    for pair in [["generator", "discriminator"], ["model", "state_dict"]] {
        assert_eq!(two(pair), LayoutProblem::Several(pair.map(String::from).to_vec()));
    }
    let nothing = Pickle::new().dict(|p| optimizer(p.text("epoch").int(3).text("optimizer")));
    assert_eq!(
        layout(&nothing.stop()),
        LayoutProblem::Unexpected {
            name: "epoch".into(),
            found: "int",
            expected: "tensor"
        }
    );
    // One that contains itself ends.
    let own = Pickle::new()
        .raw(b"}")
        .put(0)
        .raw(b"(")
        .text("t")
        .parameter("0", 1)
        .text("")
        .get(0)
        .raw(b"u");
    assert!(matches!(layout(&own.stop()), LayoutProblem::Depth(_)));
}

#[test]
fn a_wrapper_of_a_module_is_looked_through() {
    let data_parallel = ("torch.nn.parallel.data_parallel", "DataParallel");
    let linear = |p: Pickle| {
        let parameters = |p: Pickle| p.text("weight").parameter("0", 1);
        p.module(MLP, parameters, |p| p, |p| p.text("hidden_size").int(2))
    };
    let devices = |p: Pickle| p.text("device_ids").list(|p| p.int(0));
    let pickle = Pickle::new().module(data_parallel, |p| p, |p| linear(p.text("module")), devices);
    let file = with_storages(&pickle.stop());
    assert_eq!(
        (names(&file), file.class.as_deref()),
        (vec!["weight"], Some("models.mlp.MLPNet"))
    );
    let keys: Vec<_> = file.attributes.keys().collect();
    assert_eq!(keys, ["hidden_size", "training"]);
}
