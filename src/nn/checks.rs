//! What the tests of operations share: gradients against another implementation, against differences, on threads.
#![cfg(test)]

use candle_core::{DType, Device, Result, Shape, Tensor, Var};

use crate::testing::Tolerance;

/// Finite differences of order h^2 in f64 with h = 1e-5.
const DIFFERENCES: Tolerance = Tolerance::new(1e-7, 1e-7);

/// A differentiable operation on some inputs.
pub(super) type Operation<'a> = &'a (dyn Fn(&[Tensor]) -> Result<Tensor> + Sync);

/// `sin(seed + 1.7 i)` for element i, as f64; what the values recorded from PyTorch were computed from.
pub(super) fn input(shape: impl Into<Shape>, seed: f64) -> Tensor {
    let shape = shape.into();
    let values = (0..shape.elem_count()).map(|i| (seed + 1.7 * i as f64).sin());
    Tensor::from_iter(values, &Device::Cpu)
        .and_then(|values| values.reshape(shape))
        .expect("input")
}

/// All elements, as f64.
pub(super) fn numbers(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().and_then(|flat| flat.to_dtype(DType::F64));
    flat.and_then(|flat| flat.to_vec1()).expect("numbers")
}

/// The result, then the gradient of `sum(result * w)` for each input, with `w = input(shape, 99)`.
pub(super) fn run(operation: Operation, inputs: &[Tensor]) -> Vec<Vec<f64>> {
    let vars: Vec<Var> = inputs.iter().map(|x| Var::from_tensor(x).expect("var")).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = operation(&tensors).expect("forward");
    let w = input(y.shape(), 99.0).to_dtype(y.dtype()).expect("weights");
    let loss = (&y * w).and_then(|y| y.sum_all()).expect("loss");
    let gradients = loss.backward().expect("backward");
    let gradients = tensors
        .iter()
        .map(|x| numbers(gradients.get(x).expect("a gradient")));
    std::iter::once(numbers(&y)).chain(gradients).collect()
}

/// Result and gradients of two implementations agree.
pub(super) fn agree(ours: Operation, other: Operation, inputs: &[Tensor], tolerance: Tolerance) {
    for (ours, other) in run(ours, inputs).iter().zip(run(other, inputs)) {
        tolerance.assert_all(ours, &other);
    }
}

/// f32 against the same operation in f64.
pub(super) fn single_agrees(operation: Operation, inputs: &[Tensor], tolerance: Tolerance) {
    let to = |dtype| -> Vec<Tensor> {
        let rounded = inputs.iter().map(|x| x.to_dtype(DType::F32)?.to_dtype(dtype));
        rounded.collect::<Result<_>>().expect("types")
    };
    for (single, double) in run(operation, &to(DType::F32))
        .iter()
        .zip(run(operation, &to(DType::F64)))
    {
        tolerance.assert_all(single, &double);
    }
}

/// Gradients of every element of every input are those of central differences.
pub(super) fn differences_agree(operation: Operation, inputs: &[Tensor]) {
    const STEP: f64 = 1e-5;
    let gradients = run(operation, inputs);
    let loss = |inputs: &[Tensor]| -> f64 {
        let y = operation(inputs).expect("forward");
        let w = numbers(&input(y.shape(), 99.0));
        numbers(&y).iter().zip(w).map(|(y, w)| y * w).sum()
    };
    for (which, x) in inputs.iter().enumerate() {
        let values = numbers(x);
        for (element, &gradient) in gradients[which + 1].iter().enumerate() {
            let moved = |by: f64| {
                let mut values = values.clone();
                values[element] += by;
                let mut inputs = inputs.to_vec();
                inputs[which] = Tensor::from_vec(values, x.shape(), &Device::Cpu).expect("input");
                loss(&inputs)
            };
            DIFFERENCES.assert((moved(STEP) - moved(-STEP)) / (2.0 * STEP), gradient);
        }
    }
}

/// The same bits on 1 and on 3 threads, in f32.
pub(super) fn same_on_threads(operation: Operation<'_>, inputs: &[Tensor]) {
    let inputs: Result<Vec<Tensor>> = inputs.iter().map(|x| x.to_dtype(DType::F32)).collect();
    let inputs = inputs.expect("types");
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads").install(|| run(operation, &inputs))
    };
    assert!(on(1) == on(3));
}
