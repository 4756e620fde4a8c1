//! Matrix products on several threads whose results do not depend on the number of threads.
//!
//! faer's own parallel products may cut sums at places that depend on it. Here the *result* is cut into blocks of
//! `BLOCK` columns (and rows, for Gram matrices), and each is computed by one thread over the whole inner dimension.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

use super::LinalgError;

/// Large enough for an efficient product, small enough for work to share.
const BLOCK: usize = 64;

/// `a b`: `[m, k]` times `[k, n]` is `[m, n]`. Errors where the inner dimensions differ.
pub fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Result<Mat<f64>, LinalgError> {
    let mut result = Mat::zeros(a.nrows(), b.ncols());
    add_product(&mut result, a, b)?;
    Ok(result)
}

/// Adds `a b` to `result`. Errors where the shapes do not fit.
pub fn add_product(result: &mut Mat<f64>, a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Result<(), LinalgError> {
    if a.ncols() != b.nrows() || result.shape() != (a.nrows(), b.ncols()) {
        return Err(LinalgError::Shape {
            what: "the right factor of a product",
            expected: format!("{} rows", a.ncols()),
            found: b.nrows().to_string(),
        });
    }
    // Cut along the longer side of the result.
    if a.nrows() > b.ncols() {
        let blocks = result.par_row_chunks_mut(16 * BLOCK).enumerate();
        blocks.for_each(|(index, block)| {
            let rows = a.subrows(16 * BLOCK * index, block.nrows());
            matmul(block, Accum::Add, rows, b, 1.0, Par::Seq);
        });
    } else {
        let blocks = result.par_col_chunks_mut(BLOCK).enumerate();
        blocks.for_each(|(index, block)| {
            let columns = b.subcols(BLOCK * index, block.ncols());
            matmul(block, Accum::Add, a, columns, 1.0, Par::Seq);
        });
    }
    Ok(())
}

/// `z^T z`: `[m, d]` to the symmetric `[d, d]`; half the work of a product.
pub fn gram(z: MatRef<'_, f64>) -> Mat<f64> {
    let d = z.ncols();
    let mut result = Mat::zeros(d, d);
    add_lower(&mut result, z);
    for column in 0..d {
        for row in 0..column {
            result[(row, column)] = result[(column, row)];
        }
    }
    result
}

/// Adds `z^T z` to the lower triangle of `result`; what is above it is undefined. Errors where the shapes do not fit.
pub fn add_gram(result: &mut Mat<f64>, z: MatRef<'_, f64>) -> Result<(), LinalgError> {
    if result.shape() != (z.ncols(), z.ncols()) {
        return Err(LinalgError::Shape {
            what: "a Gram matrix",
            expected: format!("{0} x {0} entries", z.ncols()),
            found: format!("{} x {}", result.nrows(), result.ncols()),
        });
    }
    add_lower(result, z);
    Ok(())
}

fn add_lower(result: &mut Mat<f64>, z: MatRef<'_, f64>) {
    let d = z.ncols();
    // Square tiles: a product packs both its factors anew, which costs narrow ones dearly.
    let side = if d < 8 * BLOCK { BLOCK } else { 4 * BLOCK };
    let tiles = result
        .par_col_chunks_mut(side)
        .enumerate()
        .flat_map(|(index, block)| {
            let below = block.subrows_mut(side * index, d - side * index);
            below
                .par_row_chunks_mut(side)
                .enumerate()
                .map(move |(down, tile)| (index + down, index, tile))
        });
    tiles.for_each(|(row, column, tile)| {
        let rows = z.subcols(side * row, tile.nrows());
        let columns = z.subcols(side * column, tile.ncols());
        matmul(tile, Accum::Add, rows.transpose(), columns, 1.0, Par::Seq);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DOUBLE;

    fn matrix(rows: usize, columns: usize) -> Mat<f64> {
        Mat::from_fn(rows, columns, |i, j| ((7 * i + 13 * j) % 11) as f64 - 5.0)
    }

    #[test]
    fn agree_with_the_definition_at_block_borders() {
        for (m, k, n) in [
            (1, 1, 1),
            (3, 0, 2),
            (65, 5, 129),
            (1025, 3, 2),
            (64, 2, 64),
            (0, 2, 3),
        ] {
            let (a, b) = (matrix(m, k), matrix(k, n));
            let ab = product(a.as_ref(), b.as_ref()).expect("shapes fit");
            let gram = gram(b.as_ref());
            for i in 0..m {
                for j in 0..n {
                    DOUBLE.assert(ab[(i, j)], (0..k).map(|l| a[(i, l)] * b[(l, j)]).sum());
                }
            }
            for i in 0..n {
                for j in 0..n {
                    DOUBLE.assert(gram[(i, j)], (0..k).map(|l| b[(l, i)] * b[(l, j)]).sum());
                }
            }
        }
        assert!(product(matrix(2, 3).as_ref(), matrix(2, 3).as_ref()).is_err());
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let a = Mat::from_fn(700, 150, |i, j| ((i * 31 + j * 17) as f64).sin());
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("threads");
            pool.install(|| {
                (
                    gram(a.as_ref()),
                    product(a.as_ref(), a.transpose()).expect("shapes fit"),
                )
            })
        };
        assert!(on(1) == on(3));
    }
}
