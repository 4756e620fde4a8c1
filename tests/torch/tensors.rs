//! Tensors inside storages: types, views, and those that do not fit.

use candle_core::{DType, Tensor};
use runner::checkpoint::torch::{EntryProblem, Limits, PickleProblem, TensorProblem, TorchError};

use super::builder::{checkpoint, floats, load, state_dict};

fn read(
    storage: (&str, i64),
    bytes: &[u8],
    offset: i64,
    size: &[i64],
    stride: &[i64],
) -> Result<Tensor, TorchError> {
    let pickle = state_dict(|p| {
        p.text("t")
            .tensor((storage.0, "0", storage.1), offset, size, stride)
    });
    let file = load(&checkpoint(&pickle, &[("0", bytes)]), &Limits::default())?;
    Ok(file.tensors[0].1.clone())
}

fn problem(elements: i64, bytes: usize, offset: i64, size: &[i64], stride: &[i64]) -> TensorProblem {
    match read(("FloatStorage", elements), &vec![0; bytes], offset, size, stride) {
        Err(
            TorchError::Tensor { problem, .. }
            | TorchError::Pickle {
                problem: PickleProblem::Tensor(problem),
                ..
            },
        ) => problem,
        other => panic!("not a problem of the tensor: {other:?}"),
    }
}

/// Values as 64-bit floats.
fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor
        .flatten_all()
        .and_then(|t| t.to_dtype(DType::F64))
        .expect("numbers");
    flat.to_vec1().expect("one dimension")
}

#[test]
fn types_are_kept() {
    // -2 and 3 in each type; the bytes of the half formats: sign, exponent and fraction of 1.0 and 1.5, by hand.
    let check = |class: &str, bytes: &[u8], dtype, expected: [f64; 2]| {
        let tensor = read((class, 2), bytes, 0, &[2], &[1]).expect(class);
        assert_eq!(
            (tensor.dtype(), values(&tensor)),
            (dtype, expected.to_vec()),
            "{class}"
        );
    };
    let both = [-2.0, 3.0];
    check(
        "FloatStorage",
        &[(-2_f32).to_le_bytes(), 3_f32.to_le_bytes()].concat(),
        DType::F32,
        both,
    );
    check(
        "DoubleStorage",
        &[(-2_f64).to_le_bytes(), 3_f64.to_le_bytes()].concat(),
        DType::F64,
        both,
    );
    check("HalfStorage", &[0x00, 0xc0, 0x00, 0x42], DType::F16, both);
    check("BFloat16Storage", &[0x00, 0xc0, 0x40, 0x40], DType::BF16, both);
    check(
        "LongStorage",
        &[(-2_i64).to_le_bytes(), 3_i64.to_le_bytes()].concat(),
        DType::I64,
        both,
    );
    check(
        "IntStorage",
        &[(-2_i32).to_le_bytes(), 3_i32.to_le_bytes()].concat(),
        DType::I32,
        both,
    );
    check(
        "ShortStorage",
        &[(-2_i16).to_le_bytes(), 3_i16.to_le_bytes()].concat(),
        DType::I16,
        both,
    );
    check("CharStorage", &[0xfe, 3], DType::I16, both);
    check("ByteStorage", &[254, 3], DType::U8, [254.0, 3.0]);
    check("BoolStorage", &[0, 1], DType::U8, [0.0, 1.0]);
    assert!(read(("ComplexFloatStorage", 2), &[0; 16], 0, &[2], &[1]).is_err());
}

#[test]
fn views_are_materialised() {
    let f = ("FloatStorage", 6);
    let view = |offset, size: &[i64], stride: &[i64]| {
        let tensor = read(f, &floats(6), offset, size, stride).expect("a valid view");
        let shape: Vec<usize> = size.iter().map(|&n| n as usize).collect();
        assert_eq!(tensor.dims(), shape);
        values(&tensor)
    };
    assert_eq!(view(0, &[2, 3], &[3, 1]), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(view(0, &[3, 2], &[1, 3]), [0., 3., 1., 4., 2., 5.], "transposed");
    assert_eq!(view(2, &[2, 2], &[2, 1]), [2., 3., 4., 5.], "a slice");
    assert_eq!(view(1, &[2, 2], &[3, 1]), [1., 2., 4., 5.], "columns");
    assert_eq!(view(1, &[2, 3], &[1, 0]), [1., 1., 1., 2., 2., 2.], "expanded");
    assert_eq!(view(5, &[], &[]), [5.], "a scalar");
    assert_eq!(
        view(0, &[1, 6], &[99, 1]),
        [0., 1., 2., 3., 4., 5.],
        "the stride of a single element is free"
    );
    assert_eq!(view(0, &[2, 1, 2], &[1, i64::MAX, 2]), [0., 2., 1., 3.]);
    assert_eq!(view(6, &[0, 3], &[3, 1]), [0.0; 0]);
}

#[test]
fn storages_are_shared() {
    let pickle = state_dict(|p| {
        let view =
            |offset| move |p: super::builder::Pickle| p.tensor(("FloatStorage", "0", 4), offset, &[2], &[1]);
        view(2)(view(0)(p.text("a")).text("b"))
    });
    let file = load(&checkpoint(&pickle, &[("0", &floats(4))]), &Limits::default()).expect("a valid file");
    assert_eq!(values(&file.tensors[0].1), [0.0, 1.0]);
    assert_eq!(values(&file.tensors[1].1), [2.0, 3.0]);
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    let bounds = |last, length| TensorProblem::Bounds { last, length };
    assert_eq!(problem(6, 24, 0, &[7], &[1]), bounds(6, 6));
    assert_eq!(problem(6, 24, 1, &[2, 3], &[3, 1]), bounds(6, 6));
    assert_eq!(problem(6, 24, 6, &[], &[]), bounds(6, 6));
    assert_eq!(problem(6, 24, 0, &[2, 2], &[1, 5]), bounds(6, 6));
    assert_eq!(problem(0, 0, 0, &[1], &[1]), bounds(0, 0));
    assert_eq!(problem(6, 24, 0, &[2], &[]), TensorProblem::Shape);
    assert_eq!(
        problem(6, 24, 0, &[3, 1 << 40, 1 << 40], &[1, 0, 0]),
        TensorProblem::Shape
    );
    assert_eq!(
        problem(6, 24, 0, &[0, 1 << 40, 1 << 40], &[1, 0, 0]),
        TensorProblem::Shape
    );
    assert_eq!(
        problem(6, 24, i64::MAX, &[3, 3], &[i64::MAX, i64::MAX]),
        TensorProblem::Shape
    );
    for (offset, size, stride) in [(-1, 2, 1), (0, -2, 1), (0, 2, -1)] {
        let error = read(("FloatStorage", 6), &floats(6), offset, &[size], &[stride]).expect_err("negative");
        assert!(
            matches!(
                error,
                TorchError::Pickle {
                    problem: PickleProblem::Arguments(_),
                    ..
                }
            ),
            "{error}"
        );
    }
    let many = read(("FloatStorage", 6), &floats(6), 0, &[1; 65], &[1; 65]).expect_err("65 dimensions");
    assert!(
        matches!(
            many,
            TorchError::Pickle {
                problem: PickleProblem::Arguments(_),
                ..
            }
        ),
        "{many}"
    );
}

#[test]
fn storages_must_have_the_promised_length() {
    let wrong = |expected, found| TensorProblem::StorageBytes {
        key: "0".into(),
        expected,
        found,
    };
    assert_eq!(problem(6, 23, 0, &[1], &[1]), wrong(24, 23));
    assert_eq!(problem(6, 28, 0, &[1], &[1]), wrong(24, 28));
    assert_eq!(problem(i64::MAX, 28, 0, &[1], &[1]), wrong(u64::MAX, 28));
    let pickle = state_dict(|p| p.text("t").parameter("5", 1));
    let error =
        load(&checkpoint(&pickle, &[("0", &floats(1))]), &Limits::default()).expect_err("no such storage");
    let TorchError::Entry {
        entry,
        problem: EntryProblem::Missing,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(entry, "model_0/data/5");
}
