//! Least squares from sums over blocks of rows: neither `Z` nor `A` is ever held as a whole.
//!
//! With `Z^T Z = V S^2 V^T`, the singular values above the cutoff kept, and `C = S^-1 V^T Z^T A`:
//!
//! ```text
//! pinv(Z) A = V S^-1 C      (P A)^T (P A) = C^T C      |a - P a|^2 = |a|^2 - |c|^2
//! ```
//!
//! All in f64: the last line is a difference of nearly equal numbers. What [`LeastSquares`](super::LeastSquares) says of
//! Gram matrices holds here too: cutoffs below [`GRAM_LIMIT`](super::GRAM_LIMIT) are not to be trusted.

use faer::{Mat, MatRef};

use super::lstsq::{eigen, leading, rank};
use super::{Cutoff, LinalgError, Solution, add_gram, add_product, gram, product};

/// The sums so far.
#[derive(Debug, Clone)]
pub struct NormalEquations {
    /// `Z^T Z`, of which the lower triangle is kept.
    squares: Mat<f64>,
    /// `Z^T A`.
    moments: Mat<f64>,
    /// Squared norms of the columns of `A`.
    norms: Vec<f64>,
    rows: usize,
}

impl NormalEquations {
    /// No rows yet, for `Z [m, d]` and `A [m, n]`.
    pub fn new(d: usize, n: usize) -> Self {
        Self {
            squares: Mat::zeros(d, d),
            moments: Mat::zeros(d, n),
            norms: vec![0.0; n],
            rows: 0,
        }
    }

    /// Adds rows. Errors where the shapes do not fit.
    pub fn add(&mut self, z: MatRef<'_, f64>, a: MatRef<'_, f64>) -> Result<(), LinalgError> {
        add_gram(&mut self.squares, z)?;
        add_product(&mut self.moments, z.transpose(), a)?;
        for (norm, column) in self.norms.iter_mut().zip(a.col_iter()) {
            *norm += column.squared_norm_l2();
        }
        self.rows += z.nrows();
        Ok(())
    }

    /// The solution. Errors where the sums are not finite, the cutoff is not in `[0, 1)`, or the decomposition does
    /// not converge.
    pub fn solve(&self, cutoff: Cutoff) -> Result<Solution, LinalgError> {
        let d = self.squares.nrows();
        let cutoff = cutoff.relative(self.rows, d);
        if !(0.0..1.0).contains(&cutoff) {
            return Err(LinalgError::Cutoff { value: cutoff });
        }
        let mut diagonal = self.squares.diagonal().column_vector().iter();
        if !diagonal.all(|value| value.is_finite()) {
            return Err(LinalgError::Overflow { what: "Z" });
        }
        // The decomposition reads the lower triangle only.
        let (vectors, singular) = eigen(&self.squares)?;
        let rank = rank(&singular, cutoff);
        let kept = leading(&vectors, rank);
        let mut coordinates = product(kept.transpose(), self.moments.as_ref())?;
        let divide = |matrix: &mut Mat<f64>| {
            for column in matrix.col_iter_mut() {
                for (value, singular) in column.iter_mut().zip(&singular) {
                    *value /= singular;
                }
            }
        };
        divide(&mut coordinates);
        let gram = gram(coordinates.as_ref());
        let outside = self.norms.iter().enumerate();
        let outside = outside.map(|(i, norm)| (norm - gram[(i, i)]).max(0.0)).collect();
        divide(&mut coordinates);
        Ok(Solution {
            weights: product(kept.as_ref(), coordinates.as_ref())?,
            gram,
            outside,
            rank,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::LeastSquares;

    /// Against the solver that has all of `Z`, on inputs of low rank with noise, in uneven blocks.
    #[test]
    fn blocks_give_the_solution_of_the_whole() {
        let (m, d, n) = (301, 23, 7);
        let z = Mat::from_fn(m, d, |i, j| {
            ((i * 7 + j * 3) as f64).sin() * if j < 12 { 1.0 } else { 1e-6 } + ((i * j) as f64).cos()
        });
        let a = Mat::from_fn(m, n, |i, j| ((i + 11 * j) as f64 * 0.37).cos());
        let mut sums = NormalEquations::new(d, n);
        let mut first = 0;
        for rows in [100, 1, 150, 50] {
            sums.add(z.subrows(first, rows), a.subrows(first, rows))
                .expect("shapes fit");
            first += rows;
        }
        let cutoff = Cutoff::Relative(1e-3);
        let found = sums.solve(cutoff).expect("solved");
        let whole = LeastSquares::new(z.as_ref(), cutoff).expect("factorised");
        let whole = whole.solution(a.as_ref()).expect("solved");
        assert_eq!(found.rank, whole.rank);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9 * (1.0 + b.abs());
        for j in 0..n {
            assert!((0..d).all(|i| near(found.weights[(i, j)], whole.weights[(i, j)])));
            assert!((0..n).all(|i| near(found.gram[(i, j)], whole.gram[(i, j)])));
            assert!(near(found.outside[j], whole.outside[j]));
        }
    }
}
