//! Operations of networks: convolutions, and the parts of transformers.

use super::*;

#[test]
fn convolutions_by_tiles_are_those_of_the_cpu() {
    for (dtype, tolerance) in [(DType::F32, SINGLE), (DType::F64, DOUBLE)] {
        for (height, width, padding) in [(4, 4, 1), (5, 7, 0), (3, 8, 2), (2, 2, 1)] {
            let inputs = [
                random(&[3, 17, height, width], 4, dtype, false),
                random(&[16, 17, 3, 3], 5, dtype, false),
                random(&[16], 6, dtype, false),
            ];
            near(&inputs, tolerance, &|i| {
                nn::conv2d(&i[0], &i[1], Some(&i[2]), 1, padding)
            });
            near(&inputs[..2], tolerance, &|i| {
                nn::conv2d(&i[0], &i[1], None, 1, padding)
            });
        }
    }
}

#[test]
fn convolutions_by_windows_are_those_of_the_cpu() {
    for (dtype, tolerance) in [(DType::F32, SINGLE), (DType::F64, DOUBLE)] {
        for (kernel, stride, padding) in [(3, 1, 1), (3, 2, 1), (1, 2, 0), (4, 2, 0)] {
            let inputs = [
                random(&[3, 4, 9, 8], 4, dtype, false),
                random(&[5, 4, kernel, kernel], 5, dtype, false),
                random(&[5], 6, dtype, false),
            ];
            near(&inputs, tolerance, &|i| {
                nn::conv2d(&i[0], &i[1], Some(&i[2]), stride, padding)
            });
            near(&inputs[..2], tolerance, &|i| {
                nn::conv2d(&i[0], &i[1], None, stride, padding)
            });
        }
    }
}

/// Within so many [`halved`].
fn smallest<R>(times: usize, work: &dyn Fn() -> R) -> R {
    match times {
        0 => work(),
        _ => halved(|| smallest(times - 1, work)),
    }
}

#[test]
fn groups_of_images_change_nothing() {
    let inputs = [
        random(&[5, 2, 40, 40], 7, DType::F64, false),
        random(&[3, 2, 3, 3], 8, DType::F64, false),
    ];
    let by_tiles = [
        random(&[5, 16, 9, 9], 7, DType::F64, false),
        random(&[16, 16, 3, 3], 8, DType::F64, false),
    ];
    let f = |i: &[Tensor]| nn::conv2d(&i[0], &i[1], None, 1, 1);
    for inputs in [inputs, by_tiles] {
        // So small a chunk that every image is a group of its own.
        let one_by_one = smallest(20, &|| emulated(|| passes(&inputs, &f)));
        for (a, b) in passes(&inputs, &f).iter().zip(&one_by_one) {
            DOUBLE.assert_all(&values(b), &values(a));
        }
    }
}

#[test]
fn parts_of_transformers_are_those_of_the_cpu() {
    for (dtype, tolerance) in [(DType::F32, SINGLE), (DType::F64, DOUBLE)] {
        // More rows than a warp sums at once, and wider than a block.
        for (rows, width) in [(1, 20), (130, 20), (2100, 30), (3, 300)] {
            let x = random(&[rows, width], 7, dtype, false);
            near(std::slice::from_ref(&x), tolerance, &|i| {
                nn::gelu(&(&i[0] * 4.0)?)
            });
            let [gamma, beta] = [8, 9].map(|seed| random(&[width], seed, dtype, false));
            near(&[x.clone(), gamma, beta], tolerance, &|i| {
                nn::layer_norm(&i[0], &i[1], &i[2], 1e-5)
            });
            let (weight, bias) = (
                random(&[6, width], 10, dtype, false),
                random(&[6], 11, dtype, false),
            );
            near(&[x, weight, bias], tolerance, &|i| {
                nn::linear(&i[0], &i[1], Some(&i[2]))
            });
        }
        // Fewer and more tokens than a warp has lanes.
        for (heads, width, tokens) in [(3, 4, 9), (2, 33, 5), (1, 16, 70)] {
            let shape = [2, tokens, heads * width];
            let inputs = [12, 13, 14].map(|seed| random(&shape, seed, dtype, false));
            near(&inputs, tolerance, &|i| {
                nn::multi_head_attention(&i[0], &i[1], &i[2], heads, 0.7)
            });
        }
        let x = random(&[3, 5, 7], 15, dtype, false);
        let (twin, kernel) = (
            passes(std::slice::from_ref(&x), &|x| x[0].transpose(1, 2)?.contiguous()),
            emulated(|| passes(std::slice::from_ref(&x), &|x| transpose(&x[0]))),
        );
        for (a, b) in twin.iter().zip(&kernel) {
            assert_eq!((a.dims(), bits(a)), (b.dims(), bits(b)));
        }
    }
}

type Three = fn(&[Tensor]) -> Result<Tensor>;

#[test]
fn only_what_is_tracked_has_a_gradient() {
    let single = |shape: &[usize], seed| random(shape, seed, DType::F32, false);
    let x = single(&[2, 5, 32], 1);
    let cases: [([Tensor; 3], Three); 4] = [
        ([x.clone(), single(&[32], 2), single(&[32], 3)], |i| {
            nn::layer_norm(&i[0], &i[1], &i[2], 1e-5)
        }),
        ([x.clone(), single(&[9, 32], 4), single(&[9], 5)], |i| {
            nn::linear(&i[0], &i[1], Some(&i[2]))
        }),
        ([x.clone(), single(&[2, 5, 32], 9), x], |i| {
            nn::multi_head_attention(&i[0], &i[1], &i[2], 4, 0.3)
        }),
        (
            [
                single(&[2, 16, 4, 4], 6),
                single(&[17, 16, 3, 3], 7),
                single(&[17], 8),
            ],
            |i| nn::conv2d(&i[0], &i[1], Some(&i[2]), 1, 1),
        ),
    ];
    for (inputs, f) in cases {
        let all = emulated(|| passes(&inputs, &f));
        for tracked in 0..3 {
            let one = emulated(|| {
                passes(&inputs[tracked..=tracked], &|i| {
                    let mut inputs = inputs.clone();
                    inputs[tracked] = i[0].clone();
                    f(&inputs)
                })
            });
            assert_eq!(bits(&one[1]), bits(&all[1 + tracked]));
        }
    }
}

#[test]
fn heads_may_lie_side_by_side() {
    let joint = random(&[2, 6, 3 * 8], 1, DType::F64, false);
    near(&[joint], DOUBLE, &|i| {
        let part = |k: usize| i[0].narrow(2, 8 * k, 8);
        nn::multi_head_attention(&part(0)?, &part(1)?, &part(2)?, 2, 0.5)
    });
}

#[test]
fn no_samples_give_no_results() {
    let empty = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("zeros");
    let (x, weight, gamma) = (empty(&[0, 5, 32]), empty(&[7, 32]), empty(&[32]));
    let (images, kernels) = (empty(&[0, 16, 4, 4]), empty(&[16, 16, 3, 3]));
    let dims = |y: Result<Tensor>| y.expect("nothing").dims().to_vec();
    emulated(|| {
        assert_eq!(dims(nn::multi_head_attention(&x, &x, &x, 4, 0.5)), [0, 5, 32]);
        assert_eq!(dims(nn::layer_norm(&x, &gamma, &gamma, 1e-5)), [0, 5, 32]);
        assert_eq!(dims(nn::linear(&x, &weight, Some(&empty(&[7])))), [0, 5, 7]);
        assert_eq!(dims(nn::gelu(&x)), [0, 5, 32]);
        assert_eq!(dims(nn::conv2d(&images, &kernels, None, 1, 1)), [0, 16, 4, 4]);
    });
}

/// Kernels read memory as of one type.
#[test]
fn types_that_differ_are_errors() {
    let x = random(&[4, 32], 1, DType::F64, false);
    let weight = random(&[8, 32], 3, DType::F64, false);
    let single = |shape: &[usize]| random(shape, 2, DType::F32, false);
    emulated(|| {
        assert!(nn::layer_norm(&x, &single(&[32]), &single(&[32]), 1e-5).is_err());
        assert!(nn::linear(&x, &weight, Some(&single(&[8]))).is_err());
    });
}

#[test]
fn bf16_is_the_nearest() {
    let extremes = Tensor::new(&[1e30f32, -0.0], &Device::Cpu).expect("numbers");
    let x = Tensor::cat(&[&random(&[999], 1, DType::F32, false), &extremes], 0).expect("numbers");
    let pairs = emulated(|| {
        let (storage, layout) = x.storage_and_layout();
        product::halved(launch::operand(&storage, layout)?)
    });
    let none = candle_core::op::BackpropOp::none();
    let pairs = Tensor::from_storage(pairs.expect("pairs"), 501, none, false);
    let pairs = pairs.to_vec1::<u32>().expect("numbers");
    let halves = pairs.iter().flat_map(|pair| [pair << 16, pair & 0xffff_0000]);
    let found: Vec<f32> = halves.map(f32::from_bits).take(1001).collect();
    let expected = x
        .to_dtype(DType::BF16)
        .and_then(|x| x.to_dtype(DType::F32)?.to_vec1::<f32>());
    assert_eq!(found, expected.expect("numbers"));
}
