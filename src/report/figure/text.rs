//! The font that pictures are measured and rasterised with.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, ScaleFont};

/// DejaVu Sans, reduced to Latin letters and what figures need (see `assets/fonts/LICENSE`).
static BYTES: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans-subset.ttf");

static FONT: LazyLock<Option<FontRef<'static>>> = LazyLock::new(|| FontRef::try_from_slice(BYTES).ok());

/// The font; `None` could only be if the file compiled in were none.
pub fn font() -> Option<&'static FontRef<'static>> {
    FONT.as_ref()
}

/// Width of a text in pixels at a font height of `size` pixels.
pub fn width(text: &str, size: f64) -> f64 {
    let Some(font) = font() else {
        return text.chars().count() as f64 * size * 0.6;
    };
    // `size` is the em, as CSS has it; ab_glyph wants the height from the lowest to the highest point.
    let scaled = font.as_scaled(scale(size));
    let advances = text.chars().map(|c| scaled.h_advance(font.glyph_id(c)));
    f64::from(advances.sum::<f32>())
}

/// Room that a title needs, which a browser sets in bold. That font is not compiled in: DejaVu Sans Bold is wider by 9 to
/// 15 % over the words of titles.
pub fn bold_width(text: &str, size: f64) -> f64 {
    width(text, size) * 1.16
}

/// The scale of `ab_glyph` at which an em has `size` pixels.
pub fn scale(size: f64) -> f32 {
    let Some(font) = font() else { return size as f32 };
    let em = font.units_per_em().unwrap_or(2048.0);
    size as f32 * font.height_unscaled() / em
}

/// The width of the widest.
pub fn widest<'a>(texts: impl IntoIterator<Item = &'a str>, size: f64) -> f64 {
    texts
        .into_iter()
        .map(|text| width(text, size))
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DejaVu Sans advances, in 2048ths of an em: `H` 1540, `i` 569.
    #[test]
    fn widths_are_the_fonts() {
        assert!(
            (width("H", 2048.0) - 1540.0).abs() < 1.0,
            "{}",
            width("H", 2048.0)
        );
        assert!((width("Hi", 20.48) - 21.09).abs() < 0.02);
        assert!(widest(["i", "H"], 10.0) > width("i", 10.0));
    }

    /// Advances of `loss` in DejaVu Sans Bold: `l` 702, `o` 1407, `s` 1219. Of the titles, this word widens most.
    #[test]
    fn titles_have_room_in_bold() {
        let bold = f64::from(702 + 1407 + 2 * 1219);
        let room = bold_width("loss", 2048.0);
        assert!(room >= bold && room < bold * 1.1, "{room} for {bold}");
    }
}
