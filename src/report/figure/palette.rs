//! Colours, dashes and marks.

/// Red, green, blue.
pub type Rgb = (u8, u8, u8);

/// Okabe and Ito's colours, without the yellow that white paper swallows. The last one is that of words: light on a dark page.
pub const SERIES: [Rgb; 8] = [
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (120, 120, 120),
    (26, 26, 26),
];

/// Bars: base models light grey, ensembles middle blue, networks dark blue; far apart in lightness.
pub const BARS: [Rgb; 3] = [(176, 176, 176), (114, 170, 213), (0, 82, 136)];

/// Dashes in pixels on and off.
pub const DASHES: [&[f32]; 4] = [&[], &[6.0, 3.0], &[1.5, 2.5], &[8.0, 3.0, 1.5, 3.0]];

/// The colour of a kind of bar.
pub fn bar(kind: usize) -> Rgb {
    BARS[kind % BARS.len()]
}

/// The colour of curve `index`.
pub fn series(index: usize) -> Rgb {
    SERIES[index % SERIES.len()]
}

/// How much of the colour is in each of its tints: itself, a darker and a lighter one.
pub const TINTS: [f64; 3] = [1.0, 0.6, 0.6];

/// From nearly white to dark blue; lightness falls evenly, so that grey shows the same order.
pub fn shade(value: f64) -> Rgb {
    const STOPS: [Rgb; 4] = [(247, 251, 255), (158, 202, 225), (49, 130, 189), (8, 48, 107)];
    let at = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let low = (at as usize).min(STOPS.len() - 2);
    let share = at - low as f64;
    let mix = |a: u8, b: u8| (f64::from(a) * (1.0 - share) + f64::from(b) * share).round() as u8;
    let (a, b) = (STOPS[low], STOPS[low + 1]);
    (mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Perceived lightness in `[0, 1]`, after Rec. 601.
pub fn lightness((r, g, b): Rgb) -> f64 {
    (0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)) / 255.0
}

/// The paper of a dark page, as `templates/report.html` has it.
const DARK: Rgb = (20, 23, 26);

/// What stands for a colour on a dark page: `None` where it is seen there as it is. All get at least the 3 : 1 that WCAG 2.1
/// asks of graphics, and what was darker stays darker, so that tints remain apart.
pub fn on_dark(colour: Rgb) -> Option<Rgb> {
    const ENOUGH: f64 = 4.5;
    const LEAST: f64 = 3.0;
    let contrast = contrast(colour, DARK);
    if contrast >= ENOUGH {
        return None;
    }
    let aim = LEAST + (contrast - 1.0) / (ENOUGH - 1.0) * (ENOUGH - LEAST);
    let whiter = (1..=255).map(|share| {
        let mix = |part: u8| part + (f64::from(255 - part) * f64::from(share) / 255.0).round() as u8;
        (mix(colour.0), mix(colour.1), mix(colour.2))
    });
    whiter
        .into_iter()
        .find(|mixed| self::contrast(*mixed, DARK) >= aim)
}

/// The contrast of two colours, from 1 to 21, after WCAG 2.1.
fn contrast(a: Rgb, b: Rgb) -> f64 {
    let linear = |part: u8| match f64::from(part) / 255.0 {
        part if part <= 0.03928 => part / 12.92,
        part => ((part + 0.055) / 1.055).powf(2.4),
    };
    let luminance = |(r, g, b): Rgb| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
    a.max(b) / a.min(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figure::scene::{Ink, tinted};

    /// In all tints, and those of one colour in their order.
    #[test]
    fn curves_are_seen_on_a_dark_page() {
        for index in 0..SERIES.len() {
            let seen = [1, 0, 2].map(|tint| match tinted(index, tint) {
                Ink::Series(colour) => contrast(on_dark(colour).unwrap_or(colour), DARK),
                // Words are light there.
                ink => {
                    assert_eq!(ink, Ink::Text);
                    f64::INFINITY
                }
            });
            assert!(seen.iter().all(|contrast| *contrast >= 3.0), "{index}: {seen:?}");
            let words = seen[1].is_infinite();
            assert!(
                words || seen[0] + 0.3 < seen[1] && seen[1] < seen[2],
                "{index}: {seen:?}"
            );
        }
        // Black and white.
        assert!((contrast((0, 0, 0), (255, 255, 255)) - 21.0).abs() < 1e-9);
    }

    #[test]
    fn grey_keeps_the_order_of_shades_and_tells_bars_apart() {
        let shades: Vec<f64> = (0..=20).map(|i| lightness(shade(f64::from(i) / 20.0))).collect();
        assert!(
            shades.windows(2).all(|pair| pair[0] > pair[1] + 0.01),
            "{shades:?}"
        );
        let bars = BARS.map(lightness);
        assert!(bars[0] > bars[1] + 0.05 && bars[1] > bars[2] + 0.2, "{bars:?}");
    }
}
