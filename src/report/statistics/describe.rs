//! Mean, spread and confidence interval of one metric over repeated runs.

use serde::Serialize;

/// One number of one run: the raw material of the statistics and of paired tests.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Observation {
    /// Seed of the base models.
    pub seed: u64,
    /// Seed of the fusion itself, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method_seed: Option<u64>,
    /// Name of the group of models, such as `g0-3`, wherever there is a list of `models`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The fused models, where they are not all, or the runs differ in them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// The number, as in the record.
    pub value: f64,
}

/// One repetition: a seed, and the group of models where groups are sampled.
pub type Repetition<'a> = (u64, Option<&'a str>);

impl Observation {
    /// What it repeats.
    pub fn repetition(&self) -> Repetition<'_> {
        (self.seed, self.group.as_deref())
    }
}

/// The values of each repetition, in their order. Runs that differ in the method's seed alone share their base models: they
/// are no repetitions of their own.
pub fn by_repetition(values: &[Observation]) -> Vec<(Repetition<'_>, Vec<&Observation>)> {
    let mut found: Vec<(Repetition, Vec<&Observation>)> = Vec::new();
    for value in values {
        match found.iter_mut().find(|(known, _)| *known == value.repetition()) {
            Some((_, members)) => members.push(value),
            None => found.push((value.repetition(), vec![value])),
        }
    }
    found
}

/// The mean of some observations.
pub fn mean(values: &[&Observation]) -> f64 {
    values.iter().map(|observation| observation.value).sum::<f64>() / values.len() as f64
}

/// What is known of a metric over the runs of a group. Runs in which it is undefined are left out.
///
/// With several seeds (or sampled groups) the mean over the method's seeds counts once for each; with one, the runs that
/// differ in the method's seed count.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Statistics {
    /// How many values count.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Unbiased standard deviation (divisor `n - 1`); `None` for one value.
    pub std: Option<f64>,
    /// Half the width of the 95 % t-interval around the mean; `None` for one value.
    #[serde(rename = "ci95-half-width")]
    pub half_width: Option<f64>,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// All values, by seed.
    pub values: Vec<Observation>,
}

impl Statistics {
    /// The statistics of the values, which keep their order; `None` where there are none.
    pub fn of(values: Vec<Observation>) -> Option<Self> {
        let all = || values.iter().map(|observation| observation.value);
        let min = all().reduce(f64::min)?;
        let max = all().reduce(f64::max)?;
        let repetitions = by_repetition(&values);
        let numbers: Vec<f64> = match repetitions.len() {
            1 => all().collect(),
            _ => repetitions.iter().map(|(_, members)| mean(members)).collect(),
        };
        let n = numbers.len();
        // The rounded mean of equal values need not be that value; clamping keeps min <= mean <= max.
        let mean = (numbers.iter().sum::<f64>() / n as f64).clamp(min, max);
        let std = (n > 1).then(|| {
            let squares: f64 = numbers.iter().map(|value| (value - mean).powi(2)).sum();
            (squares / (n - 1) as f64).sqrt()
        });
        let half_width = std.map(|std| t_quantile_975(n - 1) * std / (n as f64).sqrt());
        Some(Self {
            n,
            mean,
            std,
            half_width,
            min,
            max,
            values,
        })
    }

    /// Whether two values that count as independent are of fusions with a base model in common.
    pub fn shares_models(&self) -> bool {
        let common = |a: &Observation, b: &Observation| {
            let [own, other] = [a, b].map(|o| o.models.as_deref().unwrap_or_default());
            a.seed == b.seed && a.group != b.group && own.iter().any(|model| other.contains(model))
        };
        let pairs = self.values.iter().enumerate();
        pairs
            .flat_map(|(i, a)| self.values[..i].iter().map(move |b| (a, b)))
            .any(|(a, b)| common(a, b))
    }
}

/// The .975 quantiles of Student's t for 1 to 30 degrees of freedom.
///
/// Solved from the distribution's closed form for whole degrees of freedom (Abramowitz & Stegun, 26.7.3 and 26.7.4);
/// they round to the three decimals of the NIST/SEMATECH e-Handbook, table 1.3.6.7.2.
const T_975: [f64; 30] = [
    12.706_204_7,
    4.302_652_7,
    3.182_446_3,
    2.776_445_1,
    2.570_581_8,
    2.446_911_9,
    2.364_624_3,
    2.306_004_1,
    2.262_157_2,
    2.228_138_9,
    2.200_985_2,
    2.178_812_8,
    2.160_368_7,
    2.144_786_7,
    2.131_449_5,
    2.119_905_3,
    2.109_815_6,
    2.100_922_0,
    2.093_024_1,
    2.085_963_4,
    2.079_613_8,
    2.073_873_1,
    2.068_657_6,
    2.063_898_6,
    2.059_538_6,
    2.055_529_4,
    2.051_830_5,
    2.048_407_1,
    2.045_229_6,
    2.042_272_5,
];

/// The .975 quantile of Student's t, the factor of a two-sided 95 % interval; infinite without a degree of freedom.
///
/// Beyond the table the expansion around the normal quantile (Abramowitz & Stegun, 26.7.5), good to 1e-7 from 31 on.
pub fn t_quantile_975(degrees_of_freedom: usize) -> f64 {
    if degrees_of_freedom == 0 {
        return f64::INFINITY;
    }
    if let Some(exact) = T_975.get(degrees_of_freedom - 1) {
        return *exact;
    }
    let v = degrees_of_freedom as f64;
    let z: f64 = 1.959_963_984_540_054;
    let odd = |coefficients: [f64; 5]| coefficients.iter().rev().fold(0.0, |sum, c| sum * z * z + c) * z;
    z + odd([1.0, 1.0, 0.0, 0.0, 0.0]) / (4.0 * v)
        + odd([3.0, 16.0, 5.0, 0.0, 0.0]) / (96.0 * v.powi(2))
        + odd([-15.0, 17.0, 19.0, 3.0, 0.0]) / (384.0 * v.powi(3))
        + odd([-945.0, -1920.0, 1482.0, 776.0, 79.0]) / (92_160.0 * v.powi(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(values: &[f64]) -> Statistics {
        let observation = |(seed, value): (usize, &f64)| Observation {
            seed: seed as u64,
            method_seed: None,
            group: None,
            models: None,
            value: *value,
        };
        Statistics::of(values.iter().enumerate().map(observation).collect()).expect("values")
    }

    fn close(a: f64, b: f64, tolerance: f64) -> bool {
        (a - b).abs() <= tolerance
    }

    /// `scipy.stats.t.ppf(.975, df)`, and the tables of any textbook.
    #[test]
    fn quantiles_of_students_t() {
        let known = [
            (1, 12.706_204_736),
            (2, 4.302_652_730),
            (4, 2.776_445_105),
            (30, 2.042_272_456),
            (31, 2.039_513_446),
            (40, 2.021_075_390),
            (60, 2.000_297_822),
            (120, 1.979_930_405),
            (1_000_000_000, 1.959_963_985),
        ];
        for (df, expected) in known {
            assert!(
                close(t_quantile_975(df), expected, 1e-7),
                "{df}: {}",
                t_quantile_975(df)
            );
        }
        assert!((1..200).all(|df| t_quantile_975(df) > t_quantile_975(df + 1)));
    }

    /// By hand: mean 5, squares 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32, over 7; t(7) = 2.364624.
    #[test]
    fn eight_values_by_hand() {
        let s = statistics(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert!(close(s.mean, 5.0, 1e-12) && close(s.min, 2.0, 0.0) && close(s.max, 9.0, 0.0));
        assert!(close(s.std.expect("n > 1"), 2.138_089_935, 1e-9));
        assert!(close(s.half_width.expect("n > 1"), 1.787_487_5, 1e-6));
    }

    /// Two seeds with two runs each count as two values, 2 and 4; the runs of one seed count themselves.
    #[test]
    fn a_methods_seeds_are_no_repetitions_of_the_experiment() {
        let run = |seed, method_seed, value| Observation {
            seed,
            method_seed: Some(method_seed),
            group: None,
            models: None,
            value,
        };
        let runs = vec![run(1, 0, 1.0), run(1, 1, 3.0), run(2, 0, 4.0), run(2, 1, 4.0)];
        let both = Statistics::of(runs.clone()).expect("values");
        assert_eq!((both.n, both.mean, both.values.len()), (2, 3.0, 4));
        assert!(close(both.std.expect("n > 1"), 2.0_f64.sqrt(), 1e-12));
        let one = Statistics::of(runs[..2].to_vec()).expect("values");
        assert_eq!((one.n, one.mean), (2, 2.0));
    }

    #[test]
    fn one_value_has_no_spread_and_equal_values_none() {
        let one = statistics(&[0.3]);
        assert_eq!((one.n, one.std, one.half_width), (1, None, None));
        let equal = statistics(&[0.1; 3]);
        assert_eq!((equal.mean, equal.std), (0.1, Some(0.0)));
        assert_eq!(Statistics::of(Vec::new()), None);
    }
}
