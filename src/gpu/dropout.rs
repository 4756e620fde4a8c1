//! Dropout on a GPU with the draws that the CPU would make.

use candle_core::{Result, Tensor, bail};
use rand_chacha::ChaCha8Rng;

use super::launch::{Number, size};
use super::op::Op;

/// Words of a block of the generator.
const BLOCK: u64 = 16;

/// `x` with a share of its elements 0 and the others over `1 - share`; differentiable. `rng` goes on as if
/// `random_bool(share)` had been drawn for every element. Twin: dropout in `arch::module`.
pub fn dropout(x: &Tensor, share: f64, rng: &mut ChaCha8Rng) -> Result<Tensor> {
    let (count, position) = (x.elem_count() as u64, rng.get_word_pos());
    let Ok(start) = u64::try_from(position) else {
        bail!("a generator that has made 2^64 numbers")
    };
    let blocks = (start + 2 * count).div_ceil(BLOCK) - start / BLOCK;
    let halves = |n: u64| [n as u32, (n >> 32) as u32].map(Number::U32);
    let mut numbers = vec![size(x.elem_count())?];
    let key = rng.get_seed();
    let words = key.chunks_exact(4).map(|w| [w[0], w[1], w[2], w[3]]);
    numbers.extend(words.map(|word| Number::U32(u32::from_le_bytes(word))));
    numbers.extend(halves(rng.get_stream()));
    numbers.extend(halves(start));
    // A draw of 64 bits below share * 2^64, as `rand::distr::Bernoulli` has it.
    numbers.extend(halves((share * 2.0 * (1u64 << 63) as f64) as u64));
    numbers.push(Number::F32((1.0 / (1.0 - share)) as f32));
    rng.set_word_pos(position + 2 * u128::from(count));
    let op = Op::new("dropout", x.shape(), numbers).threads(blocks as usize);
    let same = op.clone();
    op.back(move |_, slope| Ok(vec![Some(same.clone().on(slope)?)]))
        .on(x)
}
