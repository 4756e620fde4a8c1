//! Tail probabilities, from the series and continued fractions of Abramowitz & Stegun, chapters 6 and 26.

/// Largest number of terms of a series; the arguments of the tests here need less than a hundred.
const TERMS: usize = 10_000;
/// Terms smaller than this add nothing to a sum of about 1.
const NEGLIGIBLE: f64 = 1e-16;
/// Stands in for a denominator of zero in Lentz's method.
const TINY: f64 = 1e-300;

/// The probability that |T| is at least `t` for Student's t with `degrees` degrees of freedom: `I_x(degrees / 2, 1/2)`
/// at `x = degrees / (degrees + t²)` (26.5.27 and 26.7.1).
pub fn t_two_sided(t: f64, degrees: f64) -> f64 {
    if t.is_nan() {
        return f64::NAN;
    }
    let x = degrees / (degrees + t * t);
    incomplete_beta(degrees / 2.0, 0.5, x).clamp(0.0, 1.0)
}

/// The probability that a standard normal number is at least `z` away from 0: `Q(1/2, z²/2)` (26.4.19).
pub fn normal_two_sided(z: f64) -> f64 {
    let x = z * z / 2.0;
    if x < 1.5 {
        1.0 - gamma_series(0.5, x)
    } else {
        gamma_fraction(0.5, x)
    }
}

/// The exact two-sided p of `successes` in `trials` at probability 1/2: twice the smaller tail, at most 1.
pub fn fair_coin_two_sided(successes: u64, trials: u64) -> f64 {
    let smaller = successes.min(trials - successes);
    if 2 * smaller == trials {
        return 1.0;
    }
    let half = trials as f64 * 0.5_f64.ln();
    let choose = |k: u64| {
        ln_gamma(trials as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((trials - k) as f64 + 1.0)
    };
    let tail: f64 = (0..=smaller).map(|k| (choose(k) + half).exp()).sum();
    (2.0 * tail).min(1.0)
}

/// The regularised incomplete beta function `I_x(a, b)`, by the continued fraction 26.5.8 with Lentz's method.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges quickly below the mean only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    let apart = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / apart(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..TERMS {
        let m = m as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for term in [even, odd] {
            d = 1.0 / apart(1.0 + term * d);
            c = apart(1.0 + term / c);
            fraction *= c * d;
        }
        if (fraction / before - 1.0).abs() < NEGLIGIBLE {
            break;
        }
    }
    front * fraction
}

/// The regularised lower incomplete gamma function `P(a, x)` by its series (6.5.29).
fn gamma_series(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let (mut term, mut sum) = (1.0 / a, 1.0 / a);
    for n in 1..TERMS {
        term *= x / (a + n as f64);
        sum += term;
        if term < sum * NEGLIGIBLE {
            break;
        }
    }
    sum * (a * x.ln() - x - ln_gamma(a)).exp()
}

/// The regularised upper incomplete gamma function `Q(a, x)` by its continued fraction (6.5.31) with Lentz's method.
fn gamma_fraction(a: f64, x: f64) -> f64 {
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / TINY, 1.0 / b);
    let mut fraction = d;
    for i in 1..TERMS {
        let i = i as f64;
        let numerator = -i * (i - a);
        b += 2.0;
        d = 1.0 / (numerator * d + b);
        c = b + numerator / c;
        fraction *= c * d;
        if (c * d - 1.0).abs() < NEGLIGIBLE {
            break;
        }
    }
    fraction * (a * x.ln() - x - ln_gamma(a)).exp()
}

/// `ln Γ(x)` for `x > 0`: Stirling's series (6.1.41) where it is good to the last digit, recurrence below.
fn ln_gamma(x: f64) -> f64 {
    if x < 15.0 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    let y = 1.0 / (x * x);
    let series = 1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1260.0 - y * (1.0 / 1680.0 - y / 1188.0)));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series / x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() <= 1e-12 * expected.abs().max(1e-3),
            "{found} is not {expected}"
        );
    }

    /// `scipy.special.gammaln`, `2 * scipy.stats.t.sf(t, v)`, `2 * scipy.stats.norm.sf(z)`,
    /// `scipy.stats.binomtest(k, n, .5).pvalue` of SciPy 1.17.1.
    #[test]
    #[expect(clippy::unreadable_literal, reason = "as SciPy prints them")]
    fn tails_are_scipys() {
        close(ln_gamma(0.5), 0.5723649429247);
        close(ln_gamma(1.0), 0.0);
        close(ln_gamma(7.25), 7.0521854507385395);
        close(ln_gamma(30.0), 71.257038967168);
        close(t_two_sided(0.0, 4.0), 1.0);
        close(t_two_sided(0.5, 1.0), 0.7048327646991335);
        close(t_two_sided(2.776, 4.0), 0.05002277831997642);
        close(t_two_sided(3.3, 9.0), 0.009229908318547019);
        close(t_two_sided(12.0, 2.0), 0.00687293367715846);
        close(t_two_sided(40.0, 7.0), 1.5902179984850364e-09);
        close(normal_two_sided(0.0), 1.0);
        close(normal_two_sided(0.3), 0.7641771556220948);
        close(normal_two_sided(1.96), 0.04999579029644087);
        close(normal_two_sided(3.5), 0.00046525815807105003);
        close(normal_two_sided(8.0), 1.244192114854348e-15);
        close(fair_coin_two_sided(0, 5), 0.0625);
        close(fair_coin_two_sided(3, 10), 0.34375);
        close(fair_coin_two_sided(5, 10), 1.0);
        close(fair_coin_two_sided(12, 42), 0.007915897334896727);
        close(fair_coin_two_sided(480, 1000), 0.2174482932041415);
    }
}
