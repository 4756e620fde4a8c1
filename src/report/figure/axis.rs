//! Scales of axes.

/// A linear scale with round numbers marked.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Value at the beginning.
    pub low: f64,
    /// Value at the end.
    pub high: f64,
    /// Marked values.
    pub ticks: Vec<f64>,
    /// Decimals that tell the ticks apart.
    pub decimals: usize,
}

impl Axis {
    /// An axis over `[low, high]`, widened to round numbers, with about `wanted` intervals of 1, 2 or 5 times a power of
    /// ten.
    pub fn round(low: f64, high: f64, wanted: usize) -> Self {
        let (low, high) = if high - low > high.abs().max(low.abs()) * 1e-9 {
            (low, high)
        } else {
            (low - 0.5, high + 0.5)
        };
        let rough = (high - low) / wanted.max(1) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|step| step * power >= rough * 0.999);
        let step = step.unwrap_or(10.0) * power;
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let count = (last - first) as usize;
        Self {
            low: first * step,
            high: last * step,
            ticks: (0..=count).map(|i| (first + i as f64) * step).collect(),
            decimals: (-step.log10().floor()).clamp(0.0, 12.0) as usize,
        }
    }

    /// The share of the way from the beginning to the end.
    pub fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// A tick as it is written.
    pub fn format(&self, tick: f64) -> String {
        let text = format!("{tick:.*}", self.decimals);
        // Rounding may leave a minus before a zero.
        let zero = text.trim_start_matches(['-', '0', '.']).is_empty();
        if zero {
            text.trim_start_matches('-').to_string()
        } else {
            text.replace('-', "\u{2212}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let axis = Axis::round(0.0, 93.2, 5);
        assert_eq!((axis.low, axis.high, axis.decimals), (0.0, 100.0, 0));
        assert_eq!(axis.ticks, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        let axis = Axis::round(0.912, 0.934, 4);
        assert_eq!(
            axis.ticks
                .iter()
                .map(|tick| axis.format(*tick))
                .collect::<Vec<_>>(),
            ["0.91", "0.92", "0.93", "0.94"]
        );
        let flat = Axis::round(3.0, 3.0, 4);
        assert!(flat.low < 3.0 && flat.high > 3.0 && flat.ticks.len() > 2);
        let negative = Axis::round(-1.0, 1.0, 4);
        assert_eq!(negative.format(negative.ticks[0]), "\u{2212}1.0");
        assert_eq!(negative.format(-0.0), "0.0");
    }
}
