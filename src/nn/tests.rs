//! What the tests of the layers share.

use candle_core::{DType, Device, Result, Tensor, Var};

use crate::testing::DIFFERENCES;

/// `((i factor) % modulus) / 4 - modulus / 8 + 1/2` for the `i`-th element: small exact numbers without pattern, in f64.
pub fn ramp(shape: &[usize], factor: usize, modulus: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let values = (0..count).map(|i| ((i * factor) % modulus) as f64 / 4.0 - modulus as f64 / 8.0 + 0.5);
    Tensor::from_iter(values, &Device::Cpu)
        .expect("numbers")
        .reshape(shape)
        .expect("shape")
}

/// A tensor's elements in f64.
pub fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64)
        .and_then(|x| x.flatten_all()?.to_vec1())
        .expect("elements")
}

/// The result of `f` and the gradients of its product with `weights`.
pub fn gradients(
    inputs: &[&Tensor],
    weights: &Tensor,
    f: impl Fn(&[&Tensor]) -> Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|input| Var::from_tensor(input).expect("variable"))
        .collect();
    let tracked: Vec<&Tensor> = vars.iter().map(Var::as_tensor).collect();
    let y = f(&tracked).expect("forward");
    let loss = (&y * weights).and_then(|products| products.sum_all());
    let store = loss.and_then(|loss| loss.backward()).expect("backward");
    let gradients = tracked
        .iter()
        .map(|var| store.get(var).expect("a gradient").clone())
        .collect();
    (y.detach(), gradients)
}

/// Compares all gradients of `f`, in f64, with central differences.
pub fn check_gradients(inputs: &[&Tensor], f: impl Fn(&[&Tensor]) -> Result<Tensor>) {
    const STEP: f64 = 1e-5;
    let weights = ramp(f(inputs).expect("forward").dims(), 3, 7);
    let (_, found) = gradients(inputs, &weights, &f);
    for (index, (input, found)) in inputs.iter().zip(&found).enumerate() {
        let (start, found) = (values(input), values(found));
        for element in 0..start.len() {
            let at = |offset: f64| {
                let mut moved = start.clone();
                moved[element] += offset;
                let moved = Tensor::from_vec(moved, input.shape(), &Device::Cpu).expect("shape");
                let mut inputs = inputs.to_vec();
                inputs[index] = &moved;
                let y = (f(&inputs).expect("forward") * &weights).expect("shapes fit");
                values(&y).iter().sum::<f64>()
            };
            DIFFERENCES.assert(found[element], (at(STEP) - at(-STEP)) / (2.0 * STEP));
        }
    }
}

/// Calls `f` in a pool of so many threads.
pub fn on_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads")
        .install(f)
}

/// The bits of the tensors that `f` returns, on one thread and on three, are the same.
pub fn assert_same_on_threads(f: impl Fn() -> Vec<Tensor> + Sync) {
    let bits = |tensors: Vec<Tensor>| -> Vec<Vec<u64>> {
        tensors
            .iter()
            .map(|x| values(x).iter().map(|value| value.to_bits()).collect())
            .collect()
    };
    assert!(on_threads(1, || bits(f())) == on_threads(3, || bits(f())));
}
