//! Tests of the convolution, in both ways.

use candle_core::DType;

use super::*;
use crate::nn::tests::{assert_same_on_threads, check_gradients, gradients, ramp, values};
use crate::testing::{DOUBLE, SINGLE};

/// Images, channels, outputs; height and width; kernel; stride; padding.
type Case = ([usize; 3], (usize, usize), (usize, usize), usize, usize);

/// Both ways of computing, at sizes that are no multiples of their blocks.
const CASES: [Case; 14] = [
    ([1, 1, 1], (1, 1), (1, 1), 1, 0),
    ([3, 2, 5], (4, 7), (1, 1), 1, 0),
    ([2, 3, 4], (7, 5), (1, 1), 2, 0),
    ([2, 3, 2], (6, 9), (3, 3), 2, 1),
    ([1, 2, 3], (5, 4), (3, 2), 1, 0),
    ([3, 5, 7], (5, 5), (3, 3), 1, 1),
    ([2, 2, 3], (3, 11), (2, 5), 3, 2),
    ([2, 40, 3], (20, 21), (3, 3), 2, 1),
    ([70, 3, 2], (2, 2), (3, 3), 2, 1),
    ([1, 16, 16], (3, 3), (3, 3), 1, 0),
    ([3, 16, 17], (5, 4), (3, 3), 1, 1),
    ([2, 35, 16], (1, 1), (3, 3), 1, 1),
    ([1, 16, 19], (2, 7), (3, 3), 1, 2),
    ([2, 17, 16], (3, 4), (3, 3), 1, 3),
];

fn of(&([n, c, o], (h, w), (kh, kw), stride, padding): &Case) -> ([Tensor; 3], usize, usize) {
    let tensors = [
        ramp(&[n, c, h, w], 7, 11),
        ramp(&[o, c, kh, kw], 5, 13),
        ramp(&[o], 3, 5),
    ];
    (tensors, stride, padding)
}

/// The definition: the result, and the gradients for the gradient `weights(result)`.
fn naive([x, weight, bias]: &[Tensor; 3], stride: usize, padding: usize) -> [Vec<f64>; 5] {
    let (n, c, h, w) = x.dims4().expect("rank 4");
    let (o, _, kh, kw) = weight.dims4().expect("rank 4");
    let (down, along) = (
        (h + 2 * padding - kh) / stride + 1,
        (w + 2 * padding - kw) / stride + 1,
    );
    let g = values(&ramp(&[n, o, down, along], 3, 7));
    let (x, weight, bias) = (values(x), values(weight), values(bias));
    let mut y = vec![0.0; g.len()];
    let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; weight.len()], vec![0.0; o]);
    for at in 0..g.len() {
        let (image, output) = (at / along / down / o, at / along / down % o);
        y[at] = bias[output];
        db[output] += g[at];
        for k in 0..c * kh * kw {
            let (channel, ky, kx) = (k / kh / kw, k / kw % kh, k % kw);
            let (i, j) = (at / along % down * stride + ky, at % along * stride + kx);
            if (padding..h + padding).contains(&i) && (padding..w + padding).contains(&j) {
                let pixel = ((image * c + channel) * h + i - padding) * w + j - padding;
                let element = output * c * kh * kw + k;
                y[at] += weight[element] * x[pixel];
                dx[pixel] += weight[element] * g[at];
                dw[element] += x[pixel] * g[at];
            }
        }
    }
    [y, dx, dw, db, g]
}

#[test]
fn agrees_with_the_definition() {
    for case in &CASES {
        let (inputs, stride, padding) = of(case);
        let [y, dx, dw, db, g] = naive(&inputs, stride, padding);
        for (dtype, tolerance) in [(DType::F64, DOUBLE), (DType::F32, SINGLE)] {
            let inputs = inputs.each_ref().map(|x| x.to_dtype(dtype).expect("dtype"));
            let [x, weight, bias] = &inputs;
            let dims = conv2d(x, weight, Some(bias), stride, padding).expect("shapes fit");
            let weights = Tensor::from_slice(&g, dims.shape(), x.device())
                .and_then(|weights| weights.to_dtype(dtype))
                .expect("shape");
            let (found, gradients) = gradients(&[x, weight, bias], &weights, |t| {
                conv2d(t[0], t[1], Some(t[2]), stride, padding)
            });
            tolerance.assert_all(&values(&found), &y);
            for (found, expected) in gradients.iter().zip([&dx, &dw, &db]) {
                tolerance.assert_all(&values(found), expected);
            }
            let without = conv2d(x, weight, None, stride, padding).expect("shapes fit");
            let bias = bias.reshape((1, (), 1, 1)).expect("shape");
            let sum = without.broadcast_add(&bias).expect("shapes fit");
            tolerance.assert_all(&values(&sum), &y);
        }
    }
}

#[test]
fn gradients_agree_with_differences() {
    for case in [CASES[3], ([1, 16, 16], (2, 3), (3, 3), 1, 1)] {
        let ([x, weight, bias], stride, padding) = of(&case);
        check_gradients(&[&x, &weight, &bias], |t| {
            conv2d(t[0], t[1], Some(t[2]), stride, padding)
        });
    }
}

/// Large enough for several groups of images in either way, and for partial sums of the weight's gradient.
#[test]
fn the_number_of_threads_changes_no_bit() {
    for case in [
        ([40, 3, 8], (16, 16), (3, 3), 1, 1),
        ([9, 32, 48], (30, 30), (3, 3), 1, 1),
    ] {
        let (inputs, stride, padding) = of(&case);
        let [x, weight, bias] = inputs.map(|x| x.sin().and_then(|x| x.to_dtype(DType::F32)).expect("dtype"));
        assert_same_on_threads(|| {
            let y = conv2d(&x, &weight, Some(&bias), stride, padding).expect("shapes fit");
            let weights = y.cos().expect("elements");
            let (y, mut all) = gradients(&[&x, &weight, &bias], &weights, |t| {
                conv2d(t[0], t[1], Some(t[2]), stride, padding)
            });
            all.push(y);
            all
        });
    }
}

/// PyTorch 2.15, f64, `F.conv2d(x, w, b, stride=2, padding=1)` with `x = ramp(1, 2, 4, 3; 7, 11)`,
/// `w = ramp(2, 2, 3, 3; 5, 13)`, `b = [0.5, -1]`, then `backward(ramp(1, 2, 2, 2; 3, 5))`.
#[test]
fn agrees_with_pytorch() {
    let bias = Tensor::new(&[0.5, -1.0], &candle_core::Device::Cpu).expect("bias");
    let inputs = [&ramp(&[1, 2, 4, 3], 7, 11), &ramp(&[2, 2, 3, 3], 5, 13), &bias];
    let (y, gradients) = gradients(&inputs, &ramp(&[1, 2, 2, 2], 3, 5), |t| {
        conv2d(t[0], t[1], Some(t[2]), 2, 1)
    });
    let expected = [
        1.25, -3.937_5, 4.312_5, -3.343_75, 1.781_25, -1.031_25, 2.906_25, 0.656_25,
    ];
    DOUBLE.assert_all(&values(&y), &expected);
    let expected = [
        0.062_5, 0.093_75, 0.343_75, 0.125, -0.218_75, 0.687_5, 0.312_5, 0.593_75, 0.593_75, 0.687_5,
        -0.968_75, 1.093_75, 0.843_75, 0.406_25, -0.937_5, 0.812_5, 0.687_5, 1.312_5, 1.031_25, 0.781_25,
        -0.75, -0.625, 1.656_25, -0.656_25,
    ];
    DOUBLE.assert_all(&values(&gradients[0]), &expected);
    let expected = [
        0.546_875, -0.125, 0.078_125, 0.875, -0.343_75, -0.062_5, 0.5, -1.062_5, -0.062_5, -0.328_125,
        1.281_25, -0.046_875, -0.625, 1.937_5, -0.062_5, -1.0, 1.562_5, -0.062_5, 0.078_125, 0.968_75,
        0.390_625, -0.062_5, 0.468_75, 0.562_5, -0.062_5, 1.25, 0.312_5, -0.046_875, 0.562_5, -0.234_375,
        -0.062_5, 0.5, -0.437_5, -0.062_5, 0.25, -0.687_5,
    ];
    DOUBLE.assert_all(&values(&gradients[1]), &expected);
    DOUBLE.assert_all(&values(&gradients[2]), &[1.5, 1.0]);
}

/// The same for `F.conv2d(ramp(2, 16, 3, 5; 7, 11), ramp(17, 16, 3, 3; 5, 13), padding=1)` and
/// `backward(ramp(2, 17, 3, 5; 3, 5))`: the last plane of each.
#[test]
fn winograd_agrees_with_pytorch() {
    let inputs = [&ramp(&[2, 16, 3, 5], 7, 11), &ramp(&[17, 16, 3, 3], 5, 13)];
    let (y, gradients) = gradients(&inputs, &ramp(&[2, 17, 3, 5], 3, 5), |t| {
        conv2d(t[0], t[1], None, 1, 1)
    });
    let last = |x: &Tensor, expected: &[f64]| {
        let x = values(x);
        DOUBLE.assert_all(&x[x.len() - expected.len()..], expected);
    };
    last(
        &y,
        &[
            8.031_25, 30.218_75, -4.25, 31.406_25, 7.031_25, 8.593_75, 18.25, 9.937_5, 10.562_5, 15.0,
            2.843_75, 31.562_5, 2.343_75, 20.218_75, 14.687_5,
        ],
    );
    last(
        &gradients[0],
        &[
            6.218_75, 7.906_25, 20.656_25, 17.468_75, 16.156_25, 8.187_5, 11.703_125, 28.140_625, 25.046_875,
            22.5, 4.562_5, 8.375, 17.0, 16.875, 14.25,
        ],
    );
    last(
        &gradients[1],
        &[
            1.531_25, 2.718_75, 3.812_5, 3.75, 3.968_75, 5.562_5, 2.437_5, 1.656_25, 4.406_25,
        ],
    );
}

#[test]
fn no_gradients_but_those_wanted_and_strides_are_fine() {
    let ([x, weight, bias], stride, padding) = of(&CASES[3]);
    let expected = values(&conv2d(&x, &weight, Some(&bias), stride, padding).expect("shapes fit"));
    let strided = x
        .transpose(2, 3)
        .and_then(|x| x.contiguous()?.transpose(2, 3))
        .expect("rank 4");
    let weight = candle_core::Var::from_tensor(&weight).expect("variable");
    let y = conv2d(&strided, &weight, Some(&bias), stride, padding).expect("shapes fit");
    assert_eq!(values(&y), expected);
    let store = y.backward().expect("backward");
    assert!(store.get(&weight).is_some() && store.get(&strided).is_none() && store.get(&bias).is_none());
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let ([x, weight, _], ..) = of(&CASES[3]);
    let wrong = ramp(&[3], 3, 5);
    for result in [
        conv2d(&x, &weight, Some(&wrong), 1, 1),
        conv2d(&x, &weight, None, 0, 1),
        conv2d(&x.narrow(1, 0, 2).expect("channels"), &weight, None, 1, 1),
        conv2d(&x.narrow(2, 0, 2).expect("rows"), &weight, None, 1, 0),
    ] {
        assert!(result.is_err());
    }
}
