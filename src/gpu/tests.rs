//! Every kernel's source, on the emulator, against its twin: the same bits where the twin has the same operations in the same
//! order, else within a tolerance that says why.

use candle_core::{DType, Device, Result, Tensor, Var};
use rand::RngExt;

use super::emulator::emulated;
use super::*;
use crate::nn;
use crate::seed::generator;
use crate::testing::{DOUBLE, Tolerance};

/// Numbers between -1 and 1; `ties` rounds to eighths, so that some are equal and some are 0.
fn random(shape: &[usize], seed: u64, dtype: DType, ties: bool) -> Tensor {
    let mut rng = generator(seed, "kernels", &[]);
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count)
        .map(|_| {
            let value: f64 = rng.random_range(-1.0..1.0);
            if ties { (8.0 * value).round() / 8.0 } else { value }
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
        .and_then(|x| x.to_dtype(dtype))
        .expect("numbers")
}

fn bits(x: &Tensor) -> Vec<u64> {
    let x = x
        .to_dtype(DType::F64)
        .and_then(|x| x.flatten_all()?.to_vec1::<f64>());
    x.expect("numbers").iter().map(|v| v.to_bits()).collect()
}

fn values(x: &Tensor) -> Vec<f64> {
    bits(x).into_iter().map(f64::from_bits).collect()
}

/// What `f` gives, and the gradients of its product with fixed numbers.
fn passes(inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Tensor> {
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).expect("var")).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = f(&tracked).expect("forward");
    let slopes = random(y.dims(), 99, y.dtype(), false);
    let loss = (&y * slopes).and_then(|y| y.sum_all()).expect("loss");
    let gradients = loss.backward().expect("backward");
    let of = |var: &Var| gradients.get(var.as_tensor()).expect("a gradient").detach();
    std::iter::once(y.detach()).chain(vars.iter().map(of)).collect()
}

/// Passes on the CPU's kernels and on ours.
fn both(inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> (Vec<Tensor>, Vec<Tensor>) {
    (passes(inputs, f), emulated(|| passes(inputs, f)))
}

fn same(inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) {
    let (twin, kernel) = both(inputs, f);
    for (at, (a, b)) in twin.iter().zip(&kernel).enumerate() {
        assert_eq!(a.dims(), b.dims());
        assert!(bits(a) == bits(b), "result {at} differs");
    }
}

fn near(inputs: &[Tensor], tolerance: Tolerance, f: &dyn Fn(&[Tensor]) -> Result<Tensor>) {
    let (twin, kernel) = both(inputs, f);
    for (a, b) in twin.iter().zip(&kernel) {
        assert_eq!(a.dims(), b.dims());
        tolerance.assert_all(&values(b), &values(a));
    }
}

mod networks;

const TYPES: [DType; 2] = [DType::F32, DType::F64];

#[test]
fn relu_and_pooling_have_the_bits_of_the_cpu() {
    for dtype in TYPES {
        let x = random(&[3, 5, 11, 9], 1, dtype, true);
        same(std::slice::from_ref(&x), &|x| nn::relu(&x[0]));
        for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 1), (4, 5, 2), (1, 1, 0)] {
            same(std::slice::from_ref(&x), &|x| {
                nn::max_pool2d(&x[0], kernel, stride, padding)
            });
            same(std::slice::from_ref(&x), &|x| {
                nn::avg_pool2d(&x[0], kernel, stride)
            });
        }
    }
    // Windows side by side.
    for dtype in TYPES {
        let x = random(&[3, 5, 6, 4], 1, dtype, true);
        same(&[x], &|x| nn::max_pool2d(&x[0], 2, 2, 0));
    }
    let nan = f32::NAN;
    let x = Tensor::new(
        &[[nan, 3.0, 1.0, nan], [2.0, nan, 0.0, f32::NEG_INFINITY]],
        &Device::Cpu,
    );
    let x = x.and_then(|x| x.reshape((1, 1, 2, 4))).expect("x");
    let (twin, kernel) = both(&[x], &|x| nn::max_pool2d(&x[0], 2, 1, 1));
    let numbers = |x: &Tensor| {
        values(x)
            .into_iter()
            .map(|v| if v.is_nan() { 1e9 } else { v })
            .collect()
    };
    let [a, b]: [Vec<f64>; 2] = [numbers(&twin[0]), numbers(&kernel[0])];
    assert_eq!(a, b);
    assert_eq!(bits(&twin[1]), bits(&kernel[1]));
}

#[test]
fn windows_have_the_bits_of_the_cpu_and_an_adjoint() {
    for dtype in TYPES {
        for (kernel, stride, padding) in [((3, 3), 1, 1), ((3, 2), 2, 0), ((1, 1), 1, 0), ((5, 5), 3, 2)] {
            let x = random(&[3, 4, 8, 7], 2, dtype, false);
            let rows = |x: &Tensor| nn::unfold(x, kernel, stride, padding).expect("windows");
            let (twin, ours) = (rows(&x), emulated(|| rows(&x)));
            assert_eq!(bits(&twin), bits(&ours));
            // <unfold x, r> = <x, fold r>.
            let weights = random(ours.dims(), 3, dtype, false);
            let cut = Cut {
                images: (3, 4, 8, 7),
                positions: (
                    (8 + 2 * padding - kernel.0) / stride + 1,
                    (7 + 2 * padding - kernel.1) / stride + 1,
                ),
                kernel,
                stride,
                padding,
            };
            let back = emulated(|| fold(&weights, cut)).expect("images");
            let dot =
                |a: &Tensor, b: &Tensor| -> f64 { values(a).iter().zip(values(b)).map(|(a, b)| a * b).sum() };
            let tolerance = if dtype == DType::F64 { DOUBLE } else { SINGLE };
            tolerance.assert(dot(&x, &back), dot(&ours, &weights));
        }
    }
}

/// Sums of some hundred f32 products of size 1, in two orders.
const SINGLE: Tolerance = Tolerance::new(2e-5, 2e-5);

#[test]
fn sums_have_the_bits_of_their_twins() {
    for (samples, width, positions) in [(3, 5, 1), (70, 3, 49), (1, 1, 1), (4097, 2, 1)] {
        for dtype in TYPES {
            let x = random(&[samples, width, positions], 9, dtype, false);
            let numbers = values(&x);
            let of = |neuron: usize| {
                let terms = (0..samples * positions)
                    .map(|i| numbers[(i / positions * width + neuron) * positions + i % positions].abs());
                sums::twin(&terms.collect::<Vec<_>>())
            };
            let found = emulated(|| absolute_sums(&x)).expect("sums");
            assert_eq!(values(&found), (0..width).map(of).collect::<Vec<_>>());
        }
        let shape = [samples, width, positions];
        let (y, t) = (
            random(&shape, 10, DType::F32, false),
            random(&shape, 11, DType::F32, false),
        );
        let weights = random(&[width], 12, DType::F32, false).abs().expect("weights");
        let (loss, slope) = emulated(|| weighted_error(&y, &t, &weights)).expect("loss");
        let count = (samples * width * positions) as f64;
        let error = (&y - &t).expect("error");
        let spread = weights.reshape((1, width, 1)).expect("weights");
        let weighted = error.broadcast_mul(&spread).expect("weighted");
        let terms: Vec<f64> = values(&error)
            .iter()
            .zip(values(&weighted))
            .map(|(e, w)| w * e)
            .collect();
        assert_eq!(values(&loss), [sums::twin(&terms) * (1.0 / count)]);
        let scale = f64::from((2.0 / count) as f32);
        assert_eq!(bits(&slope), bits(&(weighted * scale).expect("slope")));
    }
}

#[test]
fn conductance_has_the_bits_of_candle() {
    for dtype in TYPES {
        let all: Vec<Tensor> = (0..4).map(|i| random(&[7, 99], 20 + i, dtype, false)).collect();
        let twin = (&all[2] - &all[3]).and_then(|d| (&all[1] * d)? + &all[0]);
        let found = emulated(|| conductance(&all[0], &all[1], &all[2], &all[3])).expect("kernel");
        assert_eq!(bits(&found), bits(&twin.expect("candle")));
    }
}

#[test]
fn adam_over_all_parameters_has_the_bits_of_one_by_one() {
    let counts = [1, 256, 0, 257, 1000, 3];
    let mut rng = generator(1, "adam kernel", &[]);
    let mut random = |count: usize| {
        (0..count)
            .map(|_| rng.random_range(-1.0..1.0))
            .collect::<Vec<f32>>()
    };
    let mut parameters: Vec<[Vec<f32>; 3]> = counts
        .map(|count| {
            [
                random(count),
                random(2 * count).iter().map(|v| v.abs()).collect(),
                random(count),
            ]
        })
        .to_vec();
    let step = Adam {
        penalty: 0.01,
        kept: 0.99,
        scale: 0.003,
        correction: 0.7,
        betas: (0.9, 0.999),
        epsilon: 1e-8,
    };
    let expected: Vec<(Vec<u32>, Vec<u32>)> = parameters
        .iter()
        .map(|[value, moments, gradient]| {
            let (mut value, mut moments) = (value.clone(), moments.clone());
            let count = value.len();
            for i in 0..count {
                let g = gradient[i] + step.penalty * value[i];
                moments[i] = step.betas.0 * moments[i] + (1.0 - step.betas.0) * g;
                moments[count + i] = step.betas.1 * moments[count + i] + (1.0 - step.betas.1) * g * g;
                value[i] = step.kept * value[i]
                    - step.scale * moments[i] / (moments[count + i].sqrt() / step.correction + step.epsilon);
            }
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
            (bits(value), bits(moments))
        })
        .collect();
    let rows: Vec<([u64; 3], usize)> = parameters
        .iter_mut()
        .map(|[value, moments, gradient]| {
            let addresses = [value.as_mut_ptr(), moments.as_mut_ptr(), gradient.as_mut_ptr()];
            (addresses.map(|address| address as u64), value.len())
        })
        .collect();
    emulated(|| adam::launch(&rows, step, &Device::Cpu)).expect("kernel");
    for ([value, moments, _], expected) in parameters.iter().zip(&expected) {
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(value), bits(moments)), *expected);
    }
}

#[test]
fn eigenvectors_and_devices_without_cuda_are_errors() {
    if !cfg!(feature = "cuda") {
        assert_eq!(open(0).map(|(_, info)| info), Err(GpuError::NotBuilt));
    }
    let x = Tensor::ones((2, 2), DType::F64, &Device::Cpu).expect("x");
    assert!(eigen(&x).is_err());
    // Outside of the emulator, kernels do not take tensors on the CPU.
    assert!(absolute_sums(&x).is_err());
    let few = GpuError::NoSuch { index: 3, count: 2 };
    assert_eq!(few.to_string(), "there is no GPU 3: this machine has GPUs 0 to 1");
    let one = GpuError::NoSuch { index: 1, count: 1 };
    assert_eq!(
        one.to_string(),
        "there is no GPU 1: this machine has one GPU, number 0"
    );
}

#[test]
fn errors_of_memory_and_of_lost_devices_are_known_by_their_codes() {
    let error = |text: &str| candle_core::Error::msg(text.to_string()).context("computing");
    let full = error("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
    let lost = error("DriverError(CUDA_ERROR_ECC_UNCORRECTABLE, \"...\")");
    assert!(is_out_of_memory(&full) && !is_lost(&full));
    assert!(is_lost(&lost) && !is_out_of_memory(&lost));
}

#[test]
fn costs_of_pairs_and_nearest_centroids_follow_their_definitions() {
    let (n, k) = (7, 5);
    let points = random(&[23, 2 * n], 30, DType::F64, false);
    let gram = points.t().and_then(|t| t.matmul(&points)).expect("gram");
    let g = values(&gram);
    let at = |i: usize, j: usize| g[i * 2 * n + j];
    let outside = random(&[2 * n], 31, DType::F64, false).abs().expect("outside");
    let scores = random(&[2 * n], 32, DType::F64, false).abs().expect("scores");
    let (r, s) = (values(&outside), values(&scores));
    let costs = emulated(|| pair_costs(&gram, &outside, &scores)).expect("costs");
    for (i, row) in values(&costs).chunks(n).enumerate() {
        for (j, &found) in row.iter().enumerate().map(|(j, cost)| (n + j, cost)) {
            let distance = (at(i, i) - 2.0 * at(i, j) + at(j, j)).max(0.0);
            let (own, other) = (s[j] / (s[i] + s[j]), s[i] / (s[i] + s[j]));
            let expected =
                s[i] * (own * own * distance + r[i]).sqrt() + s[j] * (other * other * distance + r[j]).sqrt();
            assert_eq!(found.to_bits(), expected.to_bits());
        }
    }
    // Every point but the last in one of k - 1 clusters; cluster k - 1 has no members.
    let clusters: Vec<u32> = (0..2 * n).map(|i| (i * 3 % (k - 1)) as u32).collect();
    let total = |c: u32| -> f64 { (0..2 * n).filter(|&i| clusters[i] == c).map(|i| s[i]).sum() };
    let shares: Vec<f64> = clusters.iter().zip(&s).map(|(&c, w)| w / total(c)).collect();
    let on_device = Clusters {
        gram: &gram,
        outside: &outside,
    };
    let (found, distances) = emulated(|| nearest(&on_device, &clusters, &shares, k)).expect("nearest");
    for i in 0..2 * n {
        let squared = |c: u32| -> f64 {
            let members = || (0..2 * n).filter(|&j| clusters[j] == c);
            if members().next().is_none() {
                return f64::INFINITY;
            }
            let inner = |i: usize| -> f64 { members().map(|j| shares[j] * at(j, i)).sum() };
            let square: f64 = members().map(|j| shares[j] * inner(j)).sum();
            r[i] + (at(i, i) - 2.0 * inner(i) + square).max(0.0)
        };
        let best = (0..k as u32)
            .min_by(|&a, &b| squared(a).total_cmp(&squared(b)))
            .expect("a centroid");
        assert_eq!(found[i], best);
        DOUBLE.assert(distances[i], squared(best).sqrt());
    }
    let products = random(&[4, 6], 33, DType::F64, false);
    let (a, b) = (
        random(&[4], 34, DType::F64, false),
        random(&[6], 35, DType::F64, false),
    );
    let (a, b) = (a.abs().expect("squares"), b.abs().expect("squares"));
    for unit in [false, true] {
        let found = values(&emulated(|| super::distances(&products, &a, &b, unit)).expect("distances"));
        for (at, found) in found.into_iter().enumerate() {
            let (x, y, p) = (values(&a)[at / 6], values(&b)[at % 6], values(&products)[at]);
            let expected = match unit {
                false => x + y - 2.0 * p,
                true => 2.0 - 2.0 * p / (x * y).sqrt(),
            };
            DOUBLE.assert(found, expected.max(0.0));
        }
    }
}

#[test]
fn augmentation_has_the_bits_of_the_cpu() {
    use crate::data::{Augmentation, Augmenter, MixPart, Normalisation, Part};
    let shape = [2, 9, 7];
    let image: usize = shape.iter().product();
    let pixels: Vec<u8> = (0..20 * image).map(|i| (i * 7919 % 256) as u8).collect();
    let normalisation = Normalisation {
        scale: 255.0,
        mean: vec![0.4, 0.6],
        std: vec![0.2, 0.3],
    };
    let part = Part::new(shape, pixels, vec![0; 20], &normalisation).expect("a part");
    let (raw, table) = part.raw(&Device::Cpu).expect("tensors");
    for list in [
        serde_json::json!([]),
        serde_json::json!(["random-crop"]),
        serde_json::json!(["flip", { "name": "random-crop", "padding": 2 }, "cutmix"]),
        serde_json::json!(["flip", { "name": "mixup", "probability": 1.0 }]),
    ] {
        let list: Vec<Augmentation> = serde_json::from_value(list).expect("augmentations");
        let augmenter = Augmenter::new(&list);
        let border = augmenter.moves_only().expect("moves");
        let chosen: Vec<u32> = (0..11).map(|i| (i * 7 % 20) as u32).collect();
        let (mut expected, mut draws) = (Vec::new(), Vec::new());
        for (i, &at) in chosen.iter().enumerate() {
            let rng = || generator(1, "varied", &[i as u64]);
            let bytes = augmenter.bytes(shape, part.pixels(at as usize).expect("pixels"), &mut rng());
            part.normalise(&bytes, &mut expected);
            let (top, left, flip) = augmenter.moves(&mut rng());
            draws.push(Draw {
                top: top as u32,
                left: left as u32,
                flip,
            });
        }
        let rng = || generator(2, "varied", &[]);
        augmenter.batch(shape, &mut expected, &mut rng());
        let found = emulated(|| {
            let images = augment(&raw, &table, &chosen, &draws, border)?;
            let Some(mix) = augmenter.mix(shape, 11, &mut rng()) else {
                return Ok(images);
            };
            let partners: Vec<u32> = mix.partners.iter().map(|&p| p as u32).collect();
            match &mix.part {
                MixPart::Window(w) => cutmix(&images, &partners, w.rows.clone(), w.columns.clone()),
                MixPart::Shares(own, other) => mixup(&images, &partners, *own, *other),
            }
        });
        let found = found
            .expect("images")
            .flatten_all()
            .and_then(|x| x.to_vec1::<f32>())
            .expect("numbers");
        assert!(
            found
                .iter()
                .zip(&expected)
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
        assert_eq!(found.len(), expected.len());
    }
    let out_of_range = Draw {
        top: 1,
        left: 0,
        flip: false,
    };
    assert!(emulated(|| augment(&raw, &table, &[0], &[out_of_range], 0)).is_err());
}
