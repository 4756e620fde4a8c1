//! Moving pixels: cropping, flipping, and Pillow's affine transforms to the bit.

use super::Image;

/// What lies outside of the image, where transforms look at it.
const OUTSIDE: u8 = 128;

/// How pixels between pixels are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// The nearest pixel.
    Nearest,
    /// The cubic convolution (a = -1) of 4 x 4 pixels.
    Bicubic,
}

/// `padding` zeros on every side, then a window of the old size whose corner is at `top`, `left` of the larger image.
pub(super) fn crop(image: &mut Image, padding: usize, top: usize, left: usize) {
    let (height, width) = (image.height, image.width);
    let mut moved = vec![0; image.pixels.len()];
    for (from, to) in image.planes().zip(moved.chunks_exact_mut(height * width)) {
        for (y, row) in to.chunks_exact_mut(width).enumerate() {
            let Some(y) = (y + top).checked_sub(padding).filter(|&y| y < height) else {
                continue;
            };
            // Columns of the window that lie within the image.
            let first = padding.saturating_sub(left).min(width);
            let last = (width + padding).saturating_sub(left).min(width);
            if first < last {
                let start = y * width + first + left - padding;
                row[first..last].copy_from_slice(&from[start..start + last - first]);
            }
        }
    }
    image.pixels = moved;
}

/// Left becomes right.
pub(super) fn flip(image: &mut Image) {
    for row in image.pixels.chunks_exact_mut(image.width) {
        row.reverse();
    }
}

/// `Image.transform(size, AFFINE, a, filter)` with grey outside: the pixel at (x, y) comes from
/// `(a0 x + a1 y + a2, a3 x + a4 y + a5)`, both of pixels' centres.
pub(super) fn affine(image: &mut Image, a: [f64; 6], filter: Filter) {
    let moved = match filter {
        Filter::Bicubic => bicubic(image, a),
        Filter::Nearest if a[1] == 0.0 && a[3] == 0.0 => scaled(image, a),
        Filter::Nearest => fixed(image, a),
    };
    image.pixels = moved;
}

/// `Image.rotate(degrees)`, counter-clockwise about the centre.
pub(super) fn rotate(image: &mut Image, degrees: f64) {
    let angle = -degrees.to_radians();
    // Python's `round(x, 15)`.
    let round = |x: f64| format!("{x:.15}").parse().unwrap_or(x);
    let (cos, sin) = (round(angle.cos()), round(angle.sin()));
    let (x, y) = (image.width as f64 / 2.0, image.height as f64 / 2.0);
    let [a, b, d, e] = [cos, sin, round(-angle.sin()), cos];
    let c = a * -x + b * -y + 0.0 + x;
    let f = d * -x + e * -y + 0.0 + y;
    affine(image, [a, b, c, d, e, f], Filter::Nearest);
}

/// The source of every pixel of a plane (`None` for outside), applied to all planes.
fn gather(image: &Image, source: &[Option<usize>]) -> Vec<u8> {
    let mut moved = Vec::with_capacity(image.pixels.len());
    for plane in image.planes() {
        moved.extend(source.iter().map(|at| at.map_or(OUTSIDE, |at| plane[at])));
    }
    moved
}

/// Without rotation or shear: rows and columns by themselves.
fn scaled(image: &Image, a: [f64; 6]) -> Vec<u8> {
    let positions = |first: f64, step: f64, size: usize| -> Vec<Option<usize>> {
        let mut at = first;
        let mut all = Vec::with_capacity(size);
        for _ in 0..size {
            // A position just below 0 is cut to 0 only from 0 on.
            all.push(if at < 0.0 { None } else { Some(at as usize) }.filter(|&at| at < size));
            at += step;
        }
        all
    };
    let columns = positions(a[2] + a[0] * 0.5, a[0], image.width);
    let rows = positions(a[5] + a[4] * 0.5, a[4], image.height);
    let source: Vec<Option<usize>> = rows
        .iter()
        .flat_map(|row| {
            columns
                .iter()
                .map(move |column| Some((*row)? * image.width + (*column)?))
        })
        .collect();
    gather(image, &source)
}

/// In fixed-point arithmetic with 16 bits behind the point.
fn fixed(image: &Image, a: [f64; 6]) -> Vec<u8> {
    let fix = |v: f64| (v * 65536.0 + 0.5).floor() as i64;
    let step = [fix(a[0]), fix(a[1]), fix(a[3]), fix(a[4])];
    let mut row = [
        fix(a[2] + a[0] * 0.5 + a[1] * 0.5),
        fix(a[5] + a[3] * 0.5 + a[4] * 0.5),
    ];
    let inside = |at: i64, size: usize| usize::try_from(at >> 16).ok().filter(|&at| at < size);
    let mut source = Vec::with_capacity(image.height * image.width);
    for _ in 0..image.height {
        let [mut x, mut y] = row;
        for _ in 0..image.width {
            let column = inside(x, image.width);
            source.push(inside(y, image.height).and_then(|y| Some(y * image.width + column?)));
            x += step[0];
            y += step[2];
        }
        row = [row[0] + step[1], row[1] + step[3]];
    }
    gather(image, &source)
}

fn bicubic(image: &Image, a: [f64; 6]) -> Vec<u8> {
    let (height, width) = (image.height, image.width);
    let (h, w) = (height.cast_signed(), width.cast_signed());
    let size = height * width;
    let mut moved = vec![OUTSIDE; image.pixels.len()];
    for y in 0..height {
        for x in 0..width {
            let (xc, yc) = (x as f64 + 0.5, y as f64 + 0.5);
            let (xin, yin) = (a[0] * xc + a[1] * yc + a[2], a[3] * xc + a[4] * yc + a[5]);
            if xin < 0.0 || xin >= width as f64 || yin < 0.0 || yin >= height as f64 {
                continue;
            }
            let (xin, yin) = (xin - 0.5, yin - 0.5);
            let (dx, dy) = (xin - xin.floor(), yin - yin.floor());
            let (left, top) = (xin.floor() as isize - 1, yin.floor() as isize - 1);
            let columns = [0, 1, 2, 3].map(|i| (left + i).clamp(0, w - 1) as usize);
            for (plane, out) in image.planes().zip(moved.chunks_exact_mut(size)) {
                let along = |row: isize| {
                    let row = &plane[row as usize * width..][..width];
                    cubic(columns.map(|column| f64::from(row[column])), dx)
                };
                let mut values = [along(top.clamp(0, h - 1)); 4];
                for i in 1..4_usize {
                    let row = top + i.cast_signed();
                    // Above and below the image the row before goes on.
                    values[i] = if (0..h).contains(&row) {
                        along(row)
                    } else {
                        values[i - 1]
                    };
                }
                out[y * width + x] = cubic(values, dy).clamp(0.0, 255.0) as u8;
            }
        }
    }
    moved
}

/// The cubic through four values, at `d` between the second and the third.
fn cubic([v1, v2, v3, v4]: [f64; 4], d: f64) -> f64 {
    let p2 = -v1 + v3;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = -v1 + v2 - v3 + v4;
    v2 + d * (p2 + d * (p3 + d * p4))
}
