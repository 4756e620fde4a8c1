//! What the kernels need of f32 and f64: decaying exponentials, the normal distribution, sums in a fixed order.
//!
//! Everything here is branch-free and `#[inline(always)]`, so that a loop over a slice inside [`simd`] becomes vector
//! instructions of the machine it runs on. These loops give the same bits with any instructions: sums run over a fixed
//! number of lanes, and products and sums are only fused where [`Real::mul_add`] says so.

// Inlining is what lets the loops of `simd` be compiled for the wider instructions.
#![allow(clippy::inline_always)]

use candle_core::{DType, Tensor, WithDType};
use faer::traits::ComplexField;

/// Partial sums per row: four vectors of 8, or two of 16, which also hides the latency of additions.
const LANES: usize = 32;

/// Runs `work` compiled for AVX2 and FMA where this machine has them, as faer is built. What it calls, closures too, must
/// be inlined into it: a call that is left is compiled for the oldest machine, where `mul_add` is a slow function.
#[inline(always)]
pub(super) fn simd<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Do our kernels apply, or candle's own operations?
pub(super) fn has_kernel(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::F64)
}

/// f32 or f64.
pub(super) trait Real: WithDType + ComplexField {
    /// `self * a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// The square root.
    fn root(self) -> Self;
    /// `e^self` for `self <= 0`, to 2 units in the last place; 0 where it would be subnormal.
    fn decay(self) -> Self;
    /// Distribution `Phi` and density `phi` of the normal distribution at `self`, to 2 units of 1's last place.
    fn normal(self) -> (Self, Self);
}

/// Implements [`Real`]; `round` is 1.5 times the power of two whose last place is 1.
macro_rules! real {
    ($t:ty, $bits:ty, exponent $shift:literal, $bias:literal, least $low:literal,
     ln2 $ln2_high:literal, $ln2_low:literal, round $round:literal, exp $exp:expr, mills $slope:literal, $mills:expr) => {
        impl Real for $t {
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                <$t>::mul_add(self, a, b)
            }

            #[inline(always)]
            fn root(self) -> Self {
                <$t>::sqrt(self)
            }

            // e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln 2 / 2. The comparison keeps NaN, `max` would not.
            // Adding the number `round` shifts n into the lowest bits.
            #[inline(always)]
            fn decay(self) -> Self {
                const LOG2_E: $t = std::f64::consts::LOG2_E as $t;
                let x = if self < $low { $low } else { self };
                let shifted = x.mul_add(LOG2_E, $round);
                let n = shifted - $round;
                let r = n.mul_add(-$ln2_low, n.mul_add(-$ln2_high, x));
                let power = <$t>::from_bits((shifted.to_bits() << $shift).wrapping_add($bias << $shift));
                let result = polynomial(r, &$exp) * power;
                if self < $low { 0.0 } else { result }
            }

            // Phi(-a) = phi(a) R(a) for a >= 0, where Mills' ratio R times (1 + slope a) is a polynomial in
            // u = (1 - slope a) / (1 + slope a); its coefficients contain 1 / sqrt(2 pi). phi is 0 beyond 40.
            #[inline(always)]
            fn normal(self) -> (Self, Self) {
                const DENSITY: $t = 0.398_942_280_401_432_7_f64 as $t;
                let a = self.abs();
                let a = if a > 40.0 { 40.0 } else { a };
                let bell = Real::decay(-0.5 * a * a);
                let inverse = 1.0 / a.mul_add($slope, 1.0);
                let u = a.mul_add(-$slope, 1.0) * inverse;
                let tail = bell * inverse * polynomial(u, &$mills);
                (if self > 0.0 { 1.0 - tail } else { tail }, DENSITY * bell)
            }
        }
    };
}

// Coefficients: Chebyshev approximation in 60 digits (mpmath), of e^r on [-ln 2 / 2, ln 2 / 2] with errors 2e-9 and
// 3e-18, and of Mills' ratio on 0..13.5 (4e-9) and 0..38 (3e-16), beyond which phi is 0.
real!(
    f32, u32, exponent 23, 127, least -87.3, ln2 0.693_145_75, 1.428_606_8e-6, round 12_582_912.0,
    exp [1.0, 1.0, 0.5, 0.166_664_14, 0.041_666_35, 0.008_375_21, 0.001_394_121_3],
    mills 0.3, [
        0.221_970_62, 0.164_579_5, 0.086_549_7, 0.027_760_265, 0.001_816_169_1, -0.002_423_181_7,
        -5.703_52e-4, 2.803_795_8e-4, 7.765_266e-5, -4.073_74e-5,
    ]
);
real!(
    f64, u64, exponent 52, 1023, least -708.3, ln2 0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10,
    round 6_755_399_441_055_744.0,
    exp [
        1.0, 1.0, 0.500_000_000_000_001_9, 0.166_666_666_666_666_8, 0.041_666_666_666_486_66,
        0.008_333_333_333_319_49, 0.001_388_888_895_269_651_6, 1.984_126_989_034_066_6e-4,
        2.480_148_507_410_511_5e-5, 2.755_724_060_466_389_6e-6, 2.763_279_054_211_718e-7, 2.511_015_364_692_893e-8,
    ],
    mills 0.2, [
        0.153_838_609_950_012_58, 0.133_076_500_578_010_63, 0.099_061_123_193_998_6, 0.062_706_631_334_327_27,
        0.033_004_073_233_910_83, 0.013_823_727_739_433_27, 0.004_159_013_363_392_271, 5.986_753_768_691_884e-4,
        -1.595_739_168_495_395_3e-4, -1.089_799_651_733_572e-4, -1.187_490_721_803_945_3e-5,
        9.953_151_251_907_696e-6, 3.335_297_299_360_232e-6, -7.975_090_112_923_005e-7, -5.515_132_632_636_303e-7,
        6.895_550_883_893_972e-8, 8.310_916_082_676_809e-8, -9.223_808_840_713_354e-9, -1.023_591_547_850_094_7e-8,
        1.540_896_301_068_884_6e-9, 4.471_679_618_826_222_6e-10,
    ]
);

/// `sum of coefficients[i] x^i` by Horner's rule.
#[inline(always)]
fn polynomial<T: Real, const N: usize>(x: T, coefficients: &[T; N]) -> T {
    let mut sum = T::zero();
    for &coefficient in coefficients.iter().rev() {
        sum = Real::mul_add(sum, x, coefficient);
    }
    sum
}

/// `sum of term(a[i], b[i])`, in lanes, then pairwise over the lanes.
#[inline(always)]
pub(super) fn sum<T: Real>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::zero(); LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += term(a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += term(a, b);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            let other = lanes[lane + width];
            lanes[lane] += other;
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest of some numbers; NaN may be lost.
#[inline(always)]
pub(super) fn largest<T: Real>(row: &[T]) -> T {
    let least = T::from_f64(f64::NEG_INFINITY);
    let mut lanes = [least; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] {
                chunk[lane]
            } else {
                lanes[lane]
            };
        }
    }
    let rest = rest.iter().chain(&lanes);
    rest.fold(
        least,
        |largest, &value| if value > largest { value } else { largest },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// -90..90 in steps of 1 / 256, beyond the smallest normal exponential of f32.
    fn grid() -> impl Iterator<Item = f64> {
        (0..=180 * 256).map(|i| f64::from(i) / 256.0 - 90.0)
    }

    #[test]
    fn exponentials_are_those_of_the_standard_library() {
        for x in grid().filter(|&x| x <= 0.0) {
            let (single, double) = (Real::decay(x as f32), Real::decay(8.0 * x));
            let expected = if x < -87.3 { 0.0 } else { x.exp() };
            assert!(
                (f64::from(single) - expected).abs() <= 2.4e-7 * expected,
                "{x}: {single}"
            );
            let expected = if 8.0 * x < -708.3 { 0.0 } else { (8.0 * x).exp() };
            assert!((double - expected).abs() <= 4.5e-16 * expected, "{x}: {double}");
        }
        assert!(Real::decay(f32::NAN).is_nan() && Real::decay(f64::NAN).is_nan());
        assert_eq!((Real::decay(0f32), Real::decay(f64::NEG_INFINITY)), (1.0, 0.0));
    }

    #[test]
    fn single_and_double_normal_distributions_agree() {
        for x in grid() {
            let ((single, density), expected) = ((x as f32).normal(), x.normal());
            assert!((f64::from(single) - expected.0).abs() < 1.2e-7, "{x}: {single}");
            assert!((f64::from(density) - expected.1).abs() < 1.2e-7, "{x}: {density}");
            // Symmetric: what one half lacks the other has.
            assert!((x.normal().0 + (-x).normal().0 - 1.0).abs() < 2.3e-16, "{x}");
        }
        assert!((0f64.normal().0 - 0.5).abs() < 2.3e-16);
    }

    #[test]
    fn sums_and_maxima_at_lane_borders() {
        for n in [0, 1, 31, 32, 33, 100] {
            let row: Vec<f64> = (0..n).map(f64::from).collect();
            assert_eq!(
                sum(&row, &row, |a, b| a * b),
                row.iter().map(|a| a * a).sum::<f64>()
            );
            assert_eq!(
                largest(&row),
                if n == 0 {
                    f64::NEG_INFINITY
                } else {
                    f64::from(n - 1)
                }
            );
        }
    }
}
