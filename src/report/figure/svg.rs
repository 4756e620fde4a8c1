//! Scenes as SVG.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::model::Figure;
use super::palette::{Rgb, bar, on_dark};
use super::scene::{Anchor, Ink, Mark, Scene};
use crate::report::escape::xml;

/// The page a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// A file of its own, on white.
    File,
    /// Part of an HTML page, whose text colour it takes over; `.paper`, `.muted` and `.grid` are the page's.
    Page,
}

impl Figure {
    /// The picture as SVG 1.1.
    pub fn to_svg(&self, theme: Theme) -> String {
        let scene = self.scene();
        let mut out = String::new();
        let (w, h) = (scene.width, scene.height);
        let title = xml(&self.title);
        let class = if theme == Theme::Page {
            " class=\"figure\""
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" aria-label=\"{title}\" font-family=\"DejaVu Sans, Verdana, sans-serif\"{class}>"
        );
        let _ = writeln!(out, "<title>{title}</title>");
        match theme {
            Theme::File => {
                let _ = writeln!(out, "<rect width=\"{w}\" height=\"{h}\" fill=\"#fff\"/>");
            }
            Theme::Page => out.push_str(&dark(&scene)),
        }
        draw(&scene, theme, &mut out);
        out.push_str("</svg>\n");
        out
    }
}

/// The colours of a dark page for those of the scene that would hardly be seen there. Named by the colours that they stand
/// for, so that pictures of one page agree.
fn dark(scene: &Scene) -> String {
    let inks = scene.marks.iter().map(|mark| match mark {
        Mark::Line { ink, .. } | Mark::Area { ink, .. } | Mark::Text { ink, .. } => *ink,
    });
    let lighter: BTreeMap<Rgb, Rgb> = inks
        .filter_map(|ink| match ink {
            Ink::Series(colour) => Some((colour, on_dark(colour)?)),
            _ => None,
        })
        .collect();
    if lighter.is_empty() {
        return String::new();
    }
    let each = lighter
        .iter()
        .map(|(of, colour)| format!("{}: {};", variable(*of), hex(*colour)));
    let each: Vec<String> = each.collect();
    format!(
        "<style>@media (prefers-color-scheme: dark) {{ .figure {{ {} }} }}</style>\n",
        each.join(" ")
    )
}

fn variable((r, g, b): Rgb) -> String {
    format!("--c{r:02x}{g:02x}{b:02x}")
}

fn draw(scene: &Scene, theme: Theme, out: &mut String) {
    for mark in &scene.marks {
        // Writing to a string cannot fail.
        let _ = match mark {
            Mark::Line {
                points,
                ink,
                width,
                dash,
            } => {
                let dashes: Vec<String> = dash.iter().map(ToString::to_string).collect();
                let dash = match dashes.is_empty() {
                    true => String::new(),
                    false => format!(" stroke-dasharray=\"{}\"", dashes.join(" ")),
                };
                writeln!(
                    out,
                    "<path d=\"{}\" fill=\"none\" {} stroke-width=\"{width}\"{dash}/>",
                    path(points),
                    paint("stroke", *ink, theme)
                )
            }
            Mark::Area { points, ink, opacity } => {
                let opacity = if *opacity < 1.0 {
                    format!(" fill-opacity=\"{opacity}\"")
                } else {
                    String::new()
                };
                writeln!(
                    out,
                    "<path d=\"{}Z\" {}{opacity}/>",
                    path(points),
                    paint("fill", *ink, theme)
                )
            }
            Mark::Text {
                x,
                y,
                text,
                size,
                anchor,
                upwards,
                ink,
                strong,
            } => {
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                let weight = if *strong { " font-weight=\"bold\"" } else { "" };
                // Digits and capitals are .73 em high: half of it below the middle. Not every viewer knows
                // `dominant-baseline`.
                let place = match upwards {
                    true => format!(
                        "transform=\"translate({} {}) rotate(-90)\"",
                        digits(x + size * 0.36),
                        digits(*y)
                    ),
                    false => format!("x=\"{}\" y=\"{}\"", digits(*x), digits(y + size * 0.36)),
                };
                writeln!(
                    out,
                    "<text {place} font-size=\"{size}\"{anchor}{weight} {}>{}</text>",
                    paint("fill", *ink, theme),
                    xml(text)
                )
            }
        };
    }
}

fn paint(what: &str, ink: Ink, theme: Theme) -> String {
    match (ink, theme) {
        (Ink::Series(colour), Theme::Page) if on_dark(colour).is_some() => {
            format!("{what}=\"var({}, {})\"", variable(colour), hex(colour))
        }
        (Ink::Colour(colour) | Ink::Series(colour), _) => format!("{what}=\"{}\"", hex(colour)),
        (Ink::Bar(kind), Theme::Page) => format!("{what}=\"var(--bar{kind}, {})\"", hex(bar(kind))),
        (Ink::Bar(kind), Theme::File) => format!("{what}=\"{}\"", hex(bar(kind))),
        (Ink::Text, Theme::Page) => format!("{what}=\"currentColor\""),
        (Ink::Muted, Theme::Page) => format!("{what}=\"var(--muted)\""),
        (Ink::Paper, Theme::Page) => format!("{what}=\"var(--paper)\""),
        (Ink::Grid, Theme::Page) => format!("{what}=\"var(--line)\""),
        (Ink::Text, Theme::File) => format!("{what}=\"#1a1a1a\""),
        (Ink::Muted, Theme::File) => format!("{what}=\"#595959\""),
        (Ink::Paper, Theme::File) => format!("{what}=\"#ffffff\""),
        (Ink::Grid, Theme::File) => format!("{what}=\"#dddddd\""),
    }
}

fn hex((r, g, b): Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn path(points: &[(f64, f64)]) -> String {
    let mut text = String::new();
    for (position, (x, y)) in points.iter().enumerate() {
        let command = if position == 0 { 'M' } else { 'L' };
        let _ = write!(text, "{command}{} {}", digits(*x), digits(*y));
    }
    text
}

/// A tenth of a pixel is enough.
fn digits(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_string()
}
