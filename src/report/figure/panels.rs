//! The charts of a scene.

use super::axis::Axis;
use super::layout::SIZE;
use super::model::{Bar, Chart, Curve, Point, Ticks};
use super::palette::{BARS, DASHES, lightness, series, shade};
use super::scene::{Anchor, Ink, Mark, Scene};
use super::text;

/// Pixels.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// From left to right.
    pub width: f64,
    /// Without the title.
    pub height: f64,
}

const BAR: f64 = 17.0;
const BARS_WIDTH: f64 = 250.0;
const LINES: (f64, f64) = (400.0, 250.0);
const BELOW: f64 = 42.0;
const SMALL: f64 = 10.5;

/// How much room a chart takes.
pub fn size(chart: &Chart) -> Size {
    match chart {
        Chart::Bars { bars, .. } => Size {
            width: labels_of(bars) + BARS_WIDTH + values_of(chart),
            height: bars.len() as f64 * BAR + BELOW,
        },
        Chart::Lines { .. } => Size {
            width: LINES.0 + 62.0,
            height: LINES.1 + BELOW,
        },
        Chart::Matrix { rows, columns, .. } => {
            let (left, cell) = cells(chart);
            Size {
                width: (left + columns.len() as f64 * cell.0).max(190.0),
                height: rows.len() as f64 * cell.1 + BELOW,
            }
        }
    }
}

/// Draws a chart whose upper left corner is given.
pub fn draw(scene: &mut Scene, chart: &Chart, at: (f64, f64), width: f64) {
    match chart {
        Chart::Bars {
            label,
            most,
            decimals,
            bars,
        } => {
            let room = (labels_of(bars), values_of(chart));
            draw_bars(scene, (label, *decimals), (bars, *most), at, room, width);
        }
        Chart::Lines { x, y, ticks, curves } => draw_lines(scene, (x, y), ticks, curves, at, width),
        Chart::Matrix { .. } => draw_matrix(scene, chart, at),
    }
}

fn labels_of(bars: &[Bar]) -> f64 {
    text::widest(bars.iter().map(|bar| bar.label.as_str()), SIZE) + 8.0
}

/// Room for the values beside the bars.
fn values_of(chart: &Chart) -> f64 {
    let Chart::Bars { bars, decimals, .. } = chart else {
        return 0.0;
    };
    let texts: Vec<String> = bars.iter().map(|bar| beside(bar, *decimals)).collect();
    text::widest(texts.iter().map(String::as_str), SMALL) + 8.0
}

fn beside(bar: &Bar, decimals: usize) -> String {
    match bar.value {
        None => "\u{2013}".to_string(),
        Some((value, None)) => format!("{value:.decimals$}"),
        Some((value, Some(spread))) => format!("{value:.decimals$} \u{b1} {spread:.decimals$}"),
    }
}

fn draw_bars(
    scene: &mut Scene,
    (label, decimals): (&str, usize),
    (bars, most): (&[Bar], Option<f64>),
    (left, top): (f64, f64),
    (labels, values): (f64, f64),
    width: f64,
) {
    let ends = bars
        .iter()
        .filter_map(|bar| bar.value)
        .map(|(value, spread)| value + spread.unwrap_or(0.0));
    let longest = ends.fold(0.0, f64::max).min(most.unwrap_or(f64::INFINITY));
    let axis = Axis::round(0.0, longest, 5);
    let (x0, room) = (left + labels, width - labels - values);
    let at = |value: f64| x0 + axis.share(value).clamp(0.0, 1.0) * room;
    let bottom = top + bars.len() as f64 * BAR;
    for tick in &axis.ticks {
        let x = at(*tick);
        scene.line(vec![(x, top), (x, bottom)], Ink::Grid, 1.0);
        scene.text(
            (x, bottom + 11.0),
            &axis.format(*tick),
            SMALL,
            Anchor::Middle,
            Ink::Muted,
        );
    }
    for (position, bar) in bars.iter().enumerate() {
        let y = top + position as f64 * BAR;
        let middle = y + BAR / 2.0;
        scene.text((x0 - 6.0, middle), &bar.label, SIZE, Anchor::End, Ink::Text);
        if let Some((value, spread)) = bar.value {
            scene.rect(
                (x0, y + 3.0),
                (at(value) - x0, BAR - 6.0),
                Ink::Colour(BARS[bar.kind % BARS.len()]),
            );
            if let Some(spread) = spread {
                let (low, high) = (at(value - spread), at(value + spread));
                scene.line(vec![(low, middle), (high, middle)], Ink::Text, 1.2);
                for end in [low, high] {
                    scene.line(vec![(end, middle - 3.0), (end, middle + 3.0)], Ink::Text, 1.2);
                }
            }
        }
        scene.text(
            (x0 + room + values, middle),
            &beside(bar, decimals),
            SMALL,
            Anchor::End,
            Ink::Muted,
        );
    }
    scene.line(vec![(x0, top), (x0, bottom)], Ink::Text, 1.0);
    scene.text(
        (x0 + room / 2.0, bottom + 28.0),
        label,
        SIZE,
        Anchor::Middle,
        Ink::Text,
    );
}

fn draw_lines(
    scene: &mut Scene,
    (x_label, y_label): (&str, &str),
    ticks: &Ticks,
    curves: &[Curve],
    (left, top): (f64, f64),
    width: f64,
) {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let reach = |side: fn(f64, f64) -> f64, sign: f64, from: f64| {
        points()
            .map(|point| point.y + sign * point.spread.unwrap_or(0.0))
            .fold(from, side)
    };
    let vertical = Axis::round(
        reach(f64::min, -1.0, f64::INFINITY),
        reach(f64::max, 1.0, f64::NEG_INFINITY),
        6,
    );
    let (low, high) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
        (low.min(point.x), high.max(point.x))
    });
    let (horizontal, names) = match ticks {
        Ticks::Round => (Axis::round(low.min(0.0), high, 6), None),
        Ticks::Named(names) => {
            let last = names.len().max(1) as f64 - 0.75;
            let ticks = (0..names.len()).map(|i| i as f64).collect();
            (
                Axis {
                    low: -0.25,
                    high: last,
                    ticks,
                    decimals: 0,
                },
                Some(names),
            )
        }
    };
    let written: Vec<String> = vertical.ticks.iter().map(|tick| vertical.format(*tick)).collect();
    let x0 = left + 24.0 + text::widest(written.iter().map(String::as_str), SMALL);
    let (room, bottom) = (width - (x0 - left) - 6.0, top + LINES.1);
    let place = |x: f64, y: f64| {
        (
            x0 + horizontal.share(x) * room,
            bottom - vertical.share(y) * LINES.1,
        )
    };
    for (tick, text) in vertical.ticks.iter().zip(&written) {
        let (_, y) = place(0.0, *tick);
        scene.line(vec![(x0, y), (x0 + room, y)], Ink::Grid, 1.0);
        scene.text((x0 - 6.0, y), text, SMALL, Anchor::End, Ink::Muted);
    }
    for (position, tick) in horizontal.ticks.iter().enumerate() {
        let (x, _) = place(*tick, vertical.low);
        scene.line(vec![(x, bottom), (x, bottom + 4.0)], Ink::Text, 1.0);
        let text = names.map_or_else(|| horizontal.format(*tick), |names| names[position].clone());
        scene.text((x, bottom + 13.0), &text, SMALL, Anchor::Middle, Ink::Muted);
    }
    let visible = |point: &Point| place(point.x, point.y.clamp(vertical.low, vertical.high));
    for curve in curves {
        let ink = Ink::Colour(series(curve.colour));
        if curve.points.len() > 1 && curve.points.iter().all(|point| point.spread.is_some()) {
            let edge = |sign: f64| {
                curve
                    .points
                    .iter()
                    .map(move |point| (point.x, point.y + sign * point.spread.unwrap_or(0.0)))
            };
            let around = edge(1.0).chain(edge(-1.0).collect::<Vec<_>>().into_iter().rev());
            scene.marks.push(Mark::Area {
                points: around.map(|(x, y)| place(x, y)).collect(),
                ink,
                opacity: 0.12,
            });
        }
    }
    for curve in curves {
        let ink = Ink::Colour(series(curve.colour));
        scene.marks.push(Mark::Line {
            points: curve.points.iter().map(visible).collect(),
            ink,
            width: 1.8,
            dash: DASHES[curve.dash % DASHES.len()],
        });
        for point in curve.points.iter().filter(|_| curve.marked) {
            scene.point(visible(point), curve.dash, ink);
        }
    }
    scene.line(vec![(x0, top), (x0, bottom), (x0 + room, bottom)], Ink::Text, 1.0);
    scene.text(
        (x0 + room / 2.0, bottom + 30.0),
        x_label,
        SIZE,
        Anchor::Middle,
        Ink::Text,
    );
    scene.upwards((left + 8.0, top + LINES.1 / 2.0), y_label, SIZE, Ink::Text);
}

/// Room for the names of rows, and the size of a cell.
fn cells(chart: &Chart) -> (f64, (f64, f64)) {
    let Chart::Matrix {
        y,
        rows,
        columns,
        written,
        ..
    } = chart
    else {
        return (0.0, (0.0, 0.0));
    };
    let title = if y.is_empty() { 0.0 } else { 18.0 };
    let left = text::widest(rows.iter().map(String::as_str), SMALL) + 8.0 + title;
    if *written {
        return (left, (42.0, 19.0));
    }
    let side = (170.0 / columns.len().max(1) as f64).clamp(1.0, 22.0);
    (left, (side, side))
}

fn draw_matrix(scene: &mut Scene, chart: &Chart, (left, top): (f64, f64)) {
    let Chart::Matrix {
        y,
        x,
        rows,
        columns,
        values,
        written,
    } = chart
    else {
        return;
    };
    let (names, (wide, high)) = cells(chart);
    let x0 = left + names;
    for (row, cells) in values.iter().enumerate() {
        let y = top + row as f64 * high;
        if let Some(name) = rows.get(row).filter(|name| !name.is_empty()) {
            scene.text((x0 - 5.0, y + high / 2.0), name, SMALL, Anchor::End, Ink::Text);
        }
        for (column, value) in cells.iter().enumerate() {
            let x = x0 + column as f64 * wide;
            let Some(value) = value else {
                scene.text(
                    (x + wide / 2.0, y + high / 2.0),
                    "\u{2013}",
                    SMALL,
                    Anchor::Middle,
                    Ink::Muted,
                );
                continue;
            };
            let colour = shade(*value);
            scene.rect((x, y), (wide, high), Ink::Colour(colour));
            if *written {
                let ink = if lightness(colour) > 0.55 {
                    (20, 20, 20)
                } else {
                    (255, 255, 255)
                };
                let text = format!("{:.1}", value * 100.0);
                scene.text(
                    (x + wide / 2.0, y + high / 2.0),
                    &text,
                    SMALL,
                    Anchor::Middle,
                    Ink::Colour(ink),
                );
            }
        }
    }
    let (right, bottom) = (x0 + columns.len() as f64 * wide, top + values.len() as f64 * high);
    scene.line(
        vec![(x0, top), (right, top), (right, bottom), (x0, bottom), (x0, top)],
        Ink::Muted,
        1.0,
    );
    for (column, name) in columns.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let x = x0 + (column as f64 + 0.5) * wide;
        scene.text((x, bottom + 11.0), name, SMALL, Anchor::Middle, Ink::Text);
    }
    scene.text(
        ((x0 + right) / 2.0, bottom + 27.0),
        x,
        SMALL + 0.5,
        Anchor::Middle,
        Ink::Muted,
    );
    if !y.is_empty() {
        scene.upwards((left + 7.0, (top + bottom) / 2.0), y, SMALL + 0.5, Ink::Muted);
    }
}
