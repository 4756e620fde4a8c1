//! Sums in f64 whose order does not depend on threads.

use super::element::Element;

/// Independent sums, so that one addition need not wait for the other.
const LANES: usize = 8;

/// `sum_i f(i)` over a slice's elements in f64: eight interleaved sums, then these in order.
pub fn sum_of<T: Element>(values: &[T], f: impl Fn(usize, T) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for (block, values) in blocks.iter().enumerate() {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += f(block * LANES + lane, values[lane]);
        }
    }
    let start = values.len() - rest.len();
    for (lane, &value) in rest.iter().enumerate() {
        sums[lane] += f(start + lane, value);
    }
    sums.iter().sum()
}

/// The sum of a slice in f64.
pub fn sum<T: Element>(values: &[T]) -> f64 {
    sum_of(values, |_, value| value.to_f64())
}
