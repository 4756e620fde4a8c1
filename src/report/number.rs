//! Numbers as they are written for readers: never wider than a cell.

/// From here on a number is written with an exponent.
const LARGE: f64 = 1e6;
/// Decimals of the mantissa where nobody asks for others.
const MANTISSA: usize = 2;

/// Returns `value` with so many decimals, or as `4.29e7` from a million on: all its digits would not fit a cell, and a
/// float has no more than the first few of them.
pub fn fixed(value: f64, decimals: usize) -> String {
    if is_large(value) {
        return exponential(value, MANTISSA);
    }
    format!("{value:.decimals$}")
}

/// Returns `4.29e7`; no precision is lost on zero.
pub fn exponential(value: f64, decimals: usize) -> String {
    if value == 0.0 {
        return "0".to_string();
    }
    format!("{value:.decimals$e}")
}

/// Whether a number is too large for a cell.
pub fn is_large(value: f64) -> bool {
    value.abs() >= LARGE
}

/// Returns all digits of a number, for programs; with an exponent where they would be many zeros.
pub fn exact(value: f64) -> String {
    if value != 0.0 && !(1e-7..1e16).contains(&value.abs()) {
        return format!("{value:e}");
    }
    value.to_string()
}

/// Returns a written number in LaTeX's math mode: `4.29\cdot10^{7}` for `4.29e7`.
pub fn math(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) => format!(r"{mantissa}\cdot10^{{{exponent}}}"),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_wider_than_a_cell() {
        let texts = [0.5, 999_999.5, 42_912_282.811, -1e40, f64::MAX, 0.0].map(|value| fixed(value, 4));
        assert_eq!(
            texts,
            [
                "0.5000",
                "999999.5000",
                "4.29e7",
                "-1.00e40",
                "1.80e308",
                "0.0000"
            ]
        );
        assert_eq!([exponential(3.14e-9, 1), exponential(0.0, 2)], ["3.1e-9", "0"]);
    }

    #[test]
    fn programs_get_every_digit() {
        for value in [0.1, 1.0, 12_345_678.9, 4.25e22, 1e-300, -3e40, 0.0] {
            let text = exact(value);
            assert_eq!(text.parse(), Ok(value), "{text}");
            assert!(text.len() < 25, "{text}");
        }
        assert_eq!([exact(314_572_800.0), exact(0.0)], ["314572800", "0"]);
    }

    #[test]
    fn exponents_are_powers_of_ten_in_formulas() {
        assert_eq!(
            ["4.29e7", "-1.0e-9", "0.31"].map(math),
            [r"4.29\cdot10^{7}", r"-1.0\cdot10^{-9}", "0.31"]
        );
    }
}
