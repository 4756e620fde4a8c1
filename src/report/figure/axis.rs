//! Scales of axes.

use crate::report::number::{exponential, is_large, math};

/// A scale with round numbers marked.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Value at the beginning.
    pub low: f64,
    /// Value at the end.
    pub high: f64,
    /// Marked values.
    pub ticks: Vec<f64>,
    /// Decimals that tell the ticks apart; on a logarithmic scale each tick has its own.
    pub decimals: usize,
    /// Whether equal factors are equally long.
    pub logarithmic: bool,
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
            logarithmic: false,
        }
    }

    /// An axis over `[low, high]`, both above 0, widened to numbers that are 1 (or 1, 2 and 5, where it is short) times a
    /// power of ten.
    pub fn logarithmic(low: f64, high: f64) -> Self {
        /// More decades than this are not all marked.
        const MARKED: f64 = 10.0;
        let decades = (high / low).log10();
        let steps: &[f64] = if decades > 2.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let every = (decades / MARKED).ceil().max(1.0);
        let last = last + every as i32 - 1;
        let marks = (first..=last)
            .step_by(every as usize)
            .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
        let marks: Vec<f64> = marks.collect();
        let from = marks
            .iter()
            .rposition(|mark| *mark <= low * (1.0 + 1e-9))
            .unwrap_or(0);
        let to = marks
            .iter()
            .position(|mark| *mark >= high * (1.0 - 1e-9))
            .unwrap_or(marks.len() - 1);
        // A constant still needs some length.
        let to = to.max((from + 1).min(marks.len() - 1));
        let from = if from == to { from.saturating_sub(1) } else { from };
        Self {
            low: marks[from],
            high: marks[to],
            ticks: marks[from..=to].to_vec(),
            decimals: 0,
            logarithmic: true,
        }
    }

    /// The share of the way from the beginning to the end.
    pub fn share(&self, value: f64) -> f64 {
        if self.logarithmic {
            return (value / self.low).ln() / (self.high / self.low).ln();
        }
        (value - self.low) / (self.high - self.low)
    }

    /// A tick as LaTeX writes it.
    pub fn latex(&self, tick: f64) -> String {
        let text = self.text(tick);
        match text.contains('e') {
            true => format!("${}$", math(&text)),
            false => text,
        }
    }

    /// A tick as it is written.
    pub fn format(&self, tick: f64) -> String {
        let text = self.text(tick);
        // Rounding may leave a minus before a zero.
        let zero = text.trim_start_matches(['-', '0', '.']).is_empty();
        if zero {
            text.trim_start_matches('-').to_string()
        } else {
            text.replace('-', "\u{2212}")
        }
    }

    fn text(&self, tick: f64) -> String {
        if self.logarithmic {
            let decimals = -tick.log10().floor();
            return match decimals > MOST_DECIMALS || is_large(tick) {
                true => exponential(tick, 0),
                false => format!("{tick:.0$}", decimals.max(0.0) as usize),
            };
        }
        let most = self.low.abs().max(self.high.abs());
        let step = (self.high - self.low) / self.ticks.len().saturating_sub(1).max(1) as f64;
        if !is_large(most) && -step.log10().floor() <= MOST_DECIMALS {
            return format!("{tick:.0$}", self.decimals);
        }
        // So many digits that neighbours differ; rounding may leave a trace of a zero.
        let tick = if tick.abs() < step / 2.0 { 0.0 } else { tick };
        let digits = most.log10().floor() - (step * 1.000_001).log10().floor();
        exponential(tick, digits.clamp(0.0, 12.0) as usize)
    }
}

/// Ticks that need more have exponents.
const MOST_DECIMALS: f64 = 6.0;

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
        let far = Axis::logarithmic(0.0031, 42.0);
        let written = |axis: &Axis| {
            axis.ticks
                .iter()
                .map(|tick| axis.format(*tick))
                .collect::<Vec<_>>()
        };
        assert_eq!(written(&far), ["0.001", "0.01", "0.1", "1", "10", "100"]);
        assert!((far.share(1.0) - 0.6).abs() < 1e-12, "{}", far.share(1.0));
        assert_eq!(
            written(&Axis::logarithmic(0.3, 4.0)),
            ["0.2", "0.5", "1", "2", "5"]
        );
        assert!(Axis::logarithmic(1.0, 1.0).ticks.len() > 1);
        assert_eq!(
            written(&Axis::round(0.0, 4.3e7, 5)),
            ["0", "1e7", "2e7", "3e7", "4e7", "5e7"]
        );
        assert_eq!(
            written(&Axis::round(1.0e6, 1.2e6, 4)),
            ["1.00e6", "1.05e6", "1.10e6", "1.15e6", "1.20e6"]
        );
        assert_eq!(
            written(&Axis::round(0.0, 4e-9, 4)),
            ["0", "1e\u{2212}9", "2e\u{2212}9", "3e\u{2212}9", "4e\u{2212}9"]
        );
        let decades = Axis::logarithmic(1e-3, 3e40);
        assert!(decades.ticks.len() < 12 && decades.high >= 3e40, "{decades:?}");
        assert_eq!(
            [decades.latex(1e7), decades.latex(0.1)],
            [r"$1\cdot10^{7}$", "0.1"]
        );
        let negative = Axis::round(-1.0, 1.0, 4);
        assert_eq!(negative.format(negative.ticks[0]), "\u{2212}1.0");
        assert_eq!(negative.format(-0.0), "0.0");
    }
}
