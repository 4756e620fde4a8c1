//! The linear maps of Winograd's F(2x2, 3x3) and their adjoints.
//!
//! For one row of four inputs `d`, three weights `g` and two results `y` (Lavin and Gray 2016, section 4.1):
//! `y = A^T [(G g) * (B^T d)]` with
//!
//! ```text
//!       1  0 -1  0          1    0    0
//! B^T = 0  1  1  0     G =  1/2  1/2  1/2     A^T = 1  1  1  0
//!       0 -1  1  0          1/2 -1/2  1/2           0  1 -1 -1
//!       0  1  0 -1          0    0    1
//! ```
//!
//! In two dimensions each map is applied to columns, then to rows.

use crate::nn::element::Element;

/// `B^T d`.
#[inline(always)]
pub fn input<T: Element>(d: [T; 4]) -> [T; 4] {
    [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]
}

/// `B v`.
#[inline(always)]
pub fn input_adjoint<T: Element>(v: [T; 4]) -> [T; 4] {
    [v[0], v[1] - v[2] + v[3], v[1] + v[2] - v[0], T::ZERO - v[3]]
}

/// `A^T m`.
#[inline(always)]
pub fn output<T: Element>(m: [T; 4]) -> [T; 2] {
    [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
}

/// `A y`.
#[inline(always)]
pub fn output_adjoint<T: Element>(y: [T; 2]) -> [T; 4] {
    [y[0], y[0] + y[1], y[0] - y[1], T::ZERO - y[1]]
}

/// `G g`.
#[inline(always)]
pub fn weight<T: Element>(g: [T; 3]) -> [T; 4] {
    let (ends, middle) = ((g[0] + g[2]) * T::HALF, g[1] * T::HALF);
    [g[0], ends + middle, ends - middle, g[2]]
}

/// `G^T u`.
#[inline(always)]
pub fn weight_adjoint<T: Element>(u: [T; 4]) -> [T; 3] {
    let (sum, difference) = ((u[1] + u[2]) * T::HALF, (u[1] - u[2]) * T::HALF);
    [u[0] + sum, difference, sum + u[3]]
}

/// A map of `I` to `J` numbers applied to the columns, then to the rows of a tile.
#[inline(always)]
pub fn both<T: Element, const I: usize, const J: usize>(
    tile: [[T; I]; I],
    map: impl Fn([T; I]) -> [T; J],
) -> [[T; J]; J] {
    let mut columns = [[T::ZERO; J]; I];
    for (column, out) in columns.iter_mut().enumerate() {
        let mut values = [T::ZERO; I];
        for (value, row) in values.iter_mut().zip(&tile) {
            *value = row[column];
        }
        *out = map(values);
    }
    let mut result = [[T::ZERO; J]; J];
    for (row, out) in result.iter_mut().enumerate() {
        let mut values = [T::ZERO; I];
        for (value, column) in values.iter_mut().zip(&columns) {
            *value = column[row];
        }
        *out = map(values);
    }
    result
}
