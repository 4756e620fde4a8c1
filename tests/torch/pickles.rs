//! The stack machine: what it understands, what it refuses, and where.

use runner::checkpoint::torch::{Attribute, Limits, PickleProblem};

use super::builder::{MLP, Pickle, fault, run};

/// Runs `body` as an attribute's value of an otherwise empty module.
fn attribute(body: impl FnOnce(Pickle) -> Pickle) -> Attribute {
    let pickle = Pickle::new()
        .module(MLP, |p| p, |p| p, |p| body(p.text("it")))
        .stop();
    run(&pickle).expect("a valid pickle").attributes["it"].clone()
}

fn problem(pickle: Pickle) -> (usize, PickleProblem) {
    fault(&pickle.stop(), &Limits::default())
}

#[test]
fn attributes_keep_their_kind() {
    assert_eq!(attribute(|p| p.raw(b"N")), Attribute::None);
    assert_eq!(attribute(|p| p.raw(&[0x88])), Attribute::Bool(true));
    assert_eq!(attribute(|p| p.raw(b"K\xff")), Attribute::Int(255));
    assert_eq!(attribute(|p| p.raw(b"M\x00\x01")), Attribute::Int(256));
    assert_eq!(attribute(|p| p.int(-5)), Attribute::Int(-5));
    assert_eq!(attribute(|p| p.raw(&[0x8a, 0])), Attribute::Int(0));
    assert_eq!(attribute(|p| p.raw(&[0x8a, 1, 0x80])), Attribute::Int(-128));
    assert_eq!(
        attribute(|p| p.raw(&[0x8b, 2, 0, 0, 0, 0, 0x80])),
        Attribute::Int(-32768)
    );
    assert_eq!(attribute(|p| p.long(i64::MIN)), Attribute::Int(i64::MIN));
    assert_eq!(
        attribute(|p| p.raw(&[0x8a, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1])),
        Attribute::Other
    );
    assert_eq!(
        attribute(|p| p.raw(b"G").raw(&0.25_f64.to_be_bytes())),
        Attribute::Float(0.25)
    );
    assert_eq!(attribute(|p| p.text("VGG11")), Attribute::Text("VGG11".into()));
    assert_eq!(attribute(|p| p.raw(b"]")), Attribute::Indices(vec![]));
    assert_eq!(
        attribute(|p| p.tuple(|p| p.int(3).int(32))),
        Attribute::Indices(vec![3, 32])
    );
    assert_eq!(attribute(|p| p.int(1).raw(&[0x85])), Attribute::Indices(vec![1]));
    assert_eq!(
        attribute(|p| p.int(1).int(2).int(3).raw(&[0x87])),
        Attribute::Indices(vec![1, 2, 3])
    );
    assert_eq!(
        attribute(|p| p.raw(b"]").int(4).raw(b"a")),
        Attribute::Indices(vec![4])
    );
    assert_eq!(attribute(|p| p.list(|p| p.int(1).int(-1))), Attribute::Other);
    assert_eq!(attribute(|p| p.list(|p| p.int(1).raw(&[0x88]))), Attribute::Other);
    assert_eq!(attribute(|p| p.raw(b"}")), Attribute::Other);
    // `models.resnet.ResNet` keeps the class of its blocks.
    assert_eq!(
        attribute(|p| p.global("models.resnet", "BasicBlock")),
        Attribute::Other
    );
    assert_eq!(attribute(|p| p.global("torch", "float32")), Attribute::Other);
}

#[test]
fn allowed_functions_build_plain_values() {
    let size = |p: Pickle| {
        p.global("torch", "Size")
            .tuple(|p| p.tuple(|p| p.int(2).int(3)))
            .raw(b"R")
    };
    assert_eq!(attribute(size), Attribute::Indices(vec![2, 3]));
    let device = |p: Pickle| {
        p.global("torch", "device")
            .tuple(|p| p.text("cuda").int(0))
            .raw(b"R")
    };
    assert_eq!(attribute(device), Attribute::Other);
    let list = |p: Pickle| {
        p.global("builtins", "list")
            .tuple(|p| p.tuple(|p| p.int(7)))
            .raw(b"R")
    };
    assert_eq!(attribute(list), Attribute::Indices(vec![7]));
    let dict = |p: Pickle| {
        let pairs = |p: Pickle| p.list(|p| p.tuple(|p| p.text("a").int(1)));
        p.global("collections", "OrderedDict").tuple(pairs).raw(b"R")
    };
    assert_eq!(attribute(dict), Attribute::Other);
}

#[test]
fn later_protocols_are_understood() {
    let mut pickle = vec![0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0];
    pickle.extend(b"\x8c\x0amodels.mlp\x94\x8c\x06MLPNet\x94\x93)\x81\x94}\x94(");
    pickle.extend(
        b"\x8c\x0b_parameters}\x8c\x08_buffers}\x8c\x1b_non_persistent_buffers_set\x8f(\x8c\x01b\x90",
    );
    pickle.extend(b"\x8c\x08_modules}\x8d\x02\0\0\0\0\0\0\0itK\x07\x8c\x01f(K\x01\x91\x8c\x01bC\x01x");
    // MEMOIZE has numbered: 0 the module's text, 1 the class's, 2 the object, 3 its dictionary.
    pickle.extend(b"\x8c\x03refh\x01ub.");
    let file = run(&pickle).expect("a valid pickle");
    assert_eq!(file.class.as_deref(), Some("models.mlp.MLPNet"));
    assert_eq!(file.attributes["it"], Attribute::Int(7));
    assert_eq!(file.attributes["ref"], Attribute::Text("MLPNet".into()));
    assert_eq!(file.attributes["f"], Attribute::Other);
}

#[test]
fn names_outside_the_list_are_refused_by_name() {
    for (module, name) in [
        ("os", "system"),
        ("builtins", "eval"),
        ("__builtin__", "getattr"),
        ("torch", "load"),
        ("torch.nn.modules.utils", "_pair"),
        ("torch.nn.modules.linear.os", "System"),
        ("models.mlp", "Other"),
        ("models.evil", "MLPNet"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy", "load"),
        ("argparse", "ArgumentParser"),
        ("lightning", "Trainer"),
    ] {
        let (offset, problem) = problem(Pickle::new().raw(b"N").global(module, name));
        assert_eq!(problem, PickleProblem::Forbidden(format!("{module}.{name}")));
        assert_eq!(offset, 3, "of the GLOBAL");
    }
    let long = "x".repeat(5000);
    let (_, problem) = problem(Pickle::new().global(&long, &long));
    assert!(problem.to_string().len() < 300, "messages stay short");
}

#[test]
fn malformed_instructions_are_refused() {
    use PickleProblem as P;
    let p = Pickle::new;
    assert_eq!(problem(p().raw(&[0xff])), (2, P::Opcode(0xff)));
    assert_eq!(problem(p().raw(b"I1\n")), (2, P::Opcode(b'I')));
    assert_eq!(problem(p().raw(&[0x80, 6])), (2, P::Protocol(6)));
    assert_eq!(problem(p()), (2, P::Underflow));
    assert_eq!(problem(p().raw(b"NN")), (4, P::Leftover(2)));
    assert_eq!(problem(p().raw(b"N(")), (4, P::Leftover(1)));
    assert_eq!(problem(p().raw(b"N(a")), (4, P::Underflow));
    assert_eq!(problem(p().raw(b"t")), (2, P::Underflow));
    assert_eq!(problem(p().raw(b"h\x05")), (2, P::Unset(5)));
    assert_eq!(problem(p().raw(b"X\x02\0\0\0\xff\xff")), (2, P::Utf8));
    assert_eq!(
        problem(p().raw(b"NNa")),
        (
            4,
            P::Kind {
                action: "append to",
                found: "None"
            }
        )
    );
    assert_eq!(
        problem(p().raw(b"N(NNu")),
        (
            6,
            P::Kind {
                action: "set an item of",
                found: "None"
            }
        )
    );
    assert_eq!(problem(p().raw(b"}(Nu")), (5, P::Arguments("SETITEMS")));
    assert_eq!(
        problem(p().raw(b"NNb")),
        (
            4,
            P::Kind {
                action: "set the attributes of",
                found: "None"
            }
        )
    );
    assert_eq!(
        problem(p().raw(b"N)R")),
        (
            4,
            P::Kind {
                action: "call",
                found: "None"
            }
        )
    );
    assert_eq!(problem(p().raw(b"NQ")), (3, P::Arguments("persistent id")));
    assert_eq!(
        problem(p().raw(b"N)\x81")),
        (
            4,
            P::Kind {
                action: "make an instance of",
                found: "None"
            }
        )
    );
    let module = |p: Pickle| p.global(MLP.0, MLP.1);
    assert_eq!(
        problem(module(p()).raw(b")R")).1,
        P::Kind {
            action: "call",
            found: "class or function"
        }
    );
    let twice = module(p()).raw(b")\x81}b}b");
    assert_eq!(
        problem(twice).1,
        P::Kind {
            action: "set the attributes of",
            found: "module"
        }
    );
}

#[test]
fn a_pickle_without_its_end_is_refused() {
    let pickle = Pickle::new()
        .tuple(|p| p.text("abc").int(7).long(9).global("torch", "Size"))
        .stop();
    for length in 0..pickle.len() {
        let (offset, problem) = fault(&pickle[..length], &Limits::default());
        assert!(
            matches!(problem, PickleProblem::Length { .. }),
            "{length}: {problem}"
        );
        assert!(offset <= length);
    }
}

#[test]
fn messages_say_where_and_how_to_fix() {
    let error = run(&Pickle::new().global("os", "system").stop()).expect_err("forbidden");
    let message = error.to_string();
    assert!(
        message.ends_with("data.pkl, byte 2: class or function `os.system` is not allowed in a checkpoint")
    );
    assert_eq!(error.hint(), Some("in Python, save `model.state_dict()` alone"));
}
