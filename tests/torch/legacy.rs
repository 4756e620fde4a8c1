//! The format before torch 1.6.

use candle_core::{DType, Tensor};
use runner::checkpoint::torch::{
    Attribute, EntryProblem, Limits, PickleProblem, TensorProblem, TorchError, TorchFile,
};

use super::builder::{LEGACY_START, LINEAR, Pickle, floats, legacy, load, small_mlp_pickle, state_dict};

/// Written by torch 2.15, `torch.save(d, f, _use_new_zipfile_serialization=False)`, where `t` is
/// `torch.arange(6.).reshape(2, 3)` and `d` has `a = t`, `b = t.t()`, `c = t[1]`, `d = torch.tensor(3)`,
/// `e = torch.tensor([True, False])`, `f = torch.zeros(0, 3)`, `g = torch.ones(4, dtype=torch.bfloat16)`.
const REAL: &[u8] = include_bytes!("files/legacy.pt");

fn read(file: &[u8]) -> Result<TorchFile, TorchError> {
    load(file, &Limits::default())
}

fn entry(file: &[u8]) -> (String, EntryProblem) {
    match read(file).expect_err("it is damaged") {
        TorchError::Entry { entry, problem, .. } => (entry, problem),
        other => panic!("not a problem of an entry: {other}"),
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().and_then(|t| t.to_dtype(DType::F64));
    flat.and_then(|t| t.to_vec1()).expect("numbers")
}

fn one_tensor() -> Vec<u8> {
    state_dict(|p| p.text("t").parameter("5", 4))
}

#[test]
fn what_pytorch_writes() {
    let file = read(REAL).expect("a real file");
    assert_eq!((file.class, file.attributes.len()), (None, 0));
    let found = file
        .tensors
        .iter()
        .map(|(name, t)| (name.as_str(), t.dtype(), t.dims().to_vec(), values(t)));
    let expected = [
        ("a", DType::F32, vec![2, 3], vec![0., 1., 2., 3., 4., 5.]),
        ("b", DType::F32, vec![3, 2], vec![0., 3., 1., 4., 2., 5.]),
        ("c", DType::F32, vec![3], vec![3., 4., 5.]),
        ("d", DType::I64, vec![], vec![3.]),
        ("e", DType::U8, vec![2], vec![1., 0.]),
        ("f", DType::F32, vec![0, 3], vec![]),
        ("g", DType::BF16, vec![4], vec![1.; 4]),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

#[test]
fn every_truncation_of_a_real_file_is_refused() {
    for length in 0..REAL.len() {
        assert!(read(&REAL[..length]).is_err(), "{length} of {}", REAL.len());
    }
}

#[test]
fn a_whole_module() {
    let storages: Vec<_> = [
        ("0", floats(6)),
        ("1", floats(2)),
        ("2", floats(6)),
        ("3", floats(2)),
    ]
    .into();
    // Storages lie in any order.
    let storages: Vec<(&str, u64, &[u8])> = storages
        .iter()
        .rev()
        .map(|(key, bytes)| (*key, bytes.len() as u64 / 4, bytes.as_slice()))
        .collect();
    let file = read(&legacy(&small_mlp_pickle(), &storages)).expect("valid");
    assert_eq!(file.class.as_deref(), Some("models.mlp.MLPNet"));
    assert_eq!(file.attributes["hidden_size"], Attribute::Int(2));
    assert_eq!(values(&file.tensors[2].1), [0., 1., 2., 3., 4., 5.]);
}

#[test]
fn classes_come_with_their_source() {
    // ("module", class, file, source) as a persistent id stands for the class.
    let class = |p: Pickle| {
        p.text("module")
            .global(LINEAR.0, LINEAR.1)
            .text("linear.py")
            .text("class ...")
    };
    let tables = |p: Pickle| {
        let p = p.text("_parameters").dict(|p| p.text("w").parameter("0", 1));
        p.text("_buffers").dict(|p| p).text("_modules").dict(|p| p)
    };
    let module = |id: &[u8]| {
        Pickle::new()
            .tuple(class)
            .raw(id)
            .raw(b")\x81")
            .dict(tables)
            .raw(b"b")
            .stop()
    };
    let file = read(&legacy(&module(b"Q"), &[("0", 1, &floats(1))])).expect("valid");
    assert_eq!(file.class.as_deref(), Some("torch.nn.modules.linear.Linear"));
    assert_eq!(file.tensors[0].0, "w");
    // Of a class that is not allowed the source does not matter.
    let forbidden = Pickle::new()
        .tuple(|p| p.text("module").global("os", "system"))
        .raw(b"Q")
        .stop();
    let error = read(&legacy(&forbidden, &[])).expect_err("forbidden").to_string();
    assert!(
        error.contains("`os.system` is not allowed") && error.contains(": object, byte "),
        "{error}"
    );
}

#[test]
fn storages_that_are_views() {
    let tensor = |view, offset, size: &[i64]| {
        let object = state_dict(|p| {
            p.text("t")
                .legacy_tensor(("FloatStorage", "0", 6), view, offset, size, &[1])
        });
        read(&legacy(&object, &[("0", 6, &floats(6))])).map(|file| values(&file.tensors[0].1))
    };
    assert_eq!(tensor(None, 1, &[2]).expect("all of it"), [1., 2.]);
    assert_eq!(tensor(Some((2, 4)), 1, &[3]).expect("a part"), [3., 4., 5.]);
    assert_eq!(tensor(Some((6, 0)), 0, &[0]).expect("nothing"), [0.0; 0]);
    for (view, size, last, length) in [((2, 3), 4, 3, 3), ((3, 4), 1, 6, 6)] {
        let error = tensor(Some(view), 0, &[size]).expect_err("outside");
        let TorchError::Pickle {
            problem: PickleProblem::Tensor(problem),
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(problem, TensorProblem::Bounds { last, length });
    }
    assert!(tensor(Some((i64::MAX, i64::MAX)), 0, &[1]).is_err());
    assert!(tensor(Some((-1, 2)), 0, &[1]).is_err());
}

#[test]
fn storages_shared_under_one_key() {
    let object = state_dict(|p| {
        let p = p
            .text("a")
            .legacy_tensor(("FloatStorage", "0", 4), None, 0, &[2], &[1]);
        p.text("b")
            .legacy_tensor(("IntStorage", "0", 4), Some((2, 2)), 0, &[2], &[1])
    });
    let file = read(&legacy(&object, &[("0", 4, &floats(4))])).expect("of the same length");
    assert_eq!(values(&file.tensors[0].1), [0., 1.]);
    assert_eq!(
        values(&file.tensors[1].1),
        [f64::from(2_f32.to_bits()), f64::from(3_f32.to_bits())]
    );
    let object = state_dict(|p| {
        let p = p
            .text("a")
            .legacy_tensor(("FloatStorage", "0", 4), None, 0, &[2], &[1]);
        p.text("b")
            .legacy_tensor(("DoubleStorage", "0", 4), None, 0, &[2], &[1])
    });
    let (name, problem) = entry(&legacy(&object, &[("0", 4, &floats(4))]));
    assert!(
        name == "storage 0" && matches!(problem, EntryProblem::Sizes(16, 32)),
        "{problem}"
    );
}

#[test]
fn the_parts_before_the_object_are_checked() {
    let file = legacy(&one_tensor(), &[("5", 4, &floats(4))]);
    let with = |from: &[u8], to: &[u8]| {
        let at = file
            .windows(from.len())
            .position(|part| part == from)
            .expect("it is there");
        [&file[..at], to, &file[at + from.len()..]].concat()
    };
    let (name, problem) = entry(&with(b"l\xfc\x9c", b"m\xfc\x9c"));
    assert!(name == "magic number" && matches!(problem, EntryProblem::Magic));
    let (name, problem) = entry(&with(b"M\xe9\x03", b"M\xea\x03"));
    assert!(name == "protocol version" && matches!(problem, EntryProblem::Version));
    let (name, problem) = entry(&with(b"q\x01\x88", b"q\x01\x89"));
    assert!(name == "system info" && matches!(problem, EntryProblem::BigEndian));
    // Protocol 4 has a frame around the number.
    let framed = with(
        &LEGACY_START[..15],
        b"\x80\x04\x95\x0d\0\0\0\0\0\0\0\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
    );
    assert!(read(&framed).is_ok());
}

#[test]
fn keys_and_lengths_are_checked() {
    let object = one_tensor();
    let bytes = floats(4);
    let file = |storages: &[(&str, u64, &[u8])]| legacy(&object, storages);
    let check = |storages: &[(&str, u64, &[u8])], name: &str, text: &str| {
        let (entry, problem) = entry(&file(storages));
        assert_eq!((entry.as_str(), problem.to_string().as_str()), (name, text));
    };
    check(&[], "storage 5", "is missing");
    check(&[("6", 4, &bytes)], "storage 6", "is not one of the object's");
    check(
        &[("5", 4, &bytes), ("5", 4, &bytes)],
        "storage 5",
        "is listed twice",
    );
    check(&[("5", 3, &bytes)], "storage 5", "has 3 elements, not 4");
    check(
        &[("5", 4, &bytes[1..])],
        "storage 5",
        "claims 16 bytes, the whole file has 15",
    );
    let keys = [LEGACY_START, &object, b"\x80\x02N."].concat();
    let (name, problem) = entry(&keys);
    assert_eq!(
        (name.as_str(), problem.to_string().as_str()),
        ("storage keys", "are not a list of texts")
    );
}

#[test]
fn pickles_longer_than_the_first_read() {
    // Names of a kilobyte: the object is longer than what is read at first.
    let name = |i: usize| format!("{i:01000}");
    let object = state_dict(|p| (0..200).fold(p, |p, i| p.text(&name(i)).parameter("0", 1)));
    let file = legacy(&object, &[("0", 1, &floats(1))]);
    assert!(file.len() > 200_000);
    assert_eq!(read(&file).expect("valid").tensors.len(), 200);
    let limits = Limits {
        pickle_bytes: 100_000,
        ..Limits::default()
    };
    let TorchError::Entry {
        entry,
        problem: EntryProblem::TooLong(100_000),
        ..
    } = load(&file, &limits).expect_err("too long")
    else {
        panic!("another problem");
    };
    assert_eq!(entry, "object");
    // Lengths that lie do not make it read on.
    let lies = [LEGACY_START, b"\x80\x02X\xff\xff\xff\x7f"].concat();
    let error = read(&lies).expect_err("no such length");
    let TorchError::Pickle {
        part: "object",
        problem: PickleProblem::Length { needed, left: 0 },
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(needed, 0x7fff_ffff);
}
