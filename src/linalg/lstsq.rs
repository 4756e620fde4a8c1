//! Minimum-norm least squares with a cutoff on the singular values.
//!
//! For `Z = U S V^T` (`[m, d]`), `pinv(Z) = V S^+ U^T`, where `S^+` inverts the singular values above `cutoff * s_max`
//! and drops the others. `W = pinv(Z) A` has the smallest norm among the matrices that minimise `|Z W - A|` on the kept
//! subspace, and `P = Z pinv(Z)` projects onto it.
//!
//! Factorisation, all in f64:
//!
//! | case | factors | cost |
//! | --- | --- | --- |
//! | `d <= m` | eigenvectors `V` of `Z^T Z = V S^2 V^T`; `W = V S^-2 V^T (Z^T A)`, `P A = Z W` | `O(m d^2 + d^3)` |
//! | `m < d` | eigenvectors `U` of `Z Z^T = U S^2 U^T`; `W = Z^T U S^-2 U^T A`, `P A = U U^T A` | `O(d m^2 + m^3)` |
//! | cutoff below [`GRAM_LIMIT`] | `U`, `S`, `V` of `Z` itself; `W = V S^-1 U^T A`, `P A = U U^T A` | a few times that |
//!
//! A Gram matrix squares the condition: relative singular values below about 1e-8 drown in f64's rounding, and a kept
//! one of relative size `c` costs `W` a relative error of about `1e-16 / c^2`, at most 1e-6 above the limit. torch's
//! cutoff lies above it as soon as a side of `Z` has 84 entries; smaller matrices are cheap to decompose themselves.

use faer::diag::{Diag, DiagRef};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::prelude::default;
use faer::{Mat, MatRef, Par};

use super::{LinalgError, gram, product};

/// Cutoffs below this decompose `Z` itself instead of a Gram matrix.
pub const GRAM_LIMIT: f64 = 1e-5;

/// `pinv(Z) A` and what is known of the projections `P A = Z pinv(Z) A` without having them.
#[derive(Debug, Clone)]
pub struct Solution {
    /// `pinv(Z) A`, `[d, n]`.
    pub weights: Mat<f64>,
    /// Inner products of the columns of `P A`, `[n, n]`.
    pub gram: Mat<f64>,
    /// Squared norms of the columns of `A - P A`.
    pub outside: Vec<f64>,
    /// Singular values above the cutoff.
    pub rank: usize,
}

/// Which singular values count as zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Cutoff {
    /// As `torch.linalg.pinv` does for f32: those up to `max(m, d) * 1.1920929e-7` times the largest.
    #[default]
    Default,
    /// Those up to this multiple of the largest, in `[0, 1)`; and those up to `max(m, d) * 2^-52` times it, which are
    /// rounding.
    Relative(f64),
}

impl Cutoff {
    /// The multiple of the largest singular value for a matrix `[m, d]`.
    pub fn relative(self, m: usize, d: usize) -> f64 {
        match self {
            Self::Default => m.max(d) as f64 * f64::from(f32::EPSILON),
            Self::Relative(cutoff) => cutoff,
        }
    }
}

/// Into how many parts a decomposition cuts its work. faer's bits depend on this number, not on the threads that take
/// the parts, so it is not the machine's number of cores; half of the work runs in parallel.
const PARTS: usize = 4;

/// The factorised `Z` of a least-squares problem, for any number of right-hand sides.
///
/// ```
/// use faer::mat;
/// use runner::linalg::{Cutoff, LeastSquares};
///
/// let z = mat![[1.0, 0.0], [1.0, 0.0], [0.0, 0.0_f64]];
/// let problem = LeastSquares::new(z.as_ref(), Cutoff::Default)?;
/// assert_eq!(problem.rank(), 1);
/// let w = problem.solve(mat![[1.0], [3.0], [5.0]].as_ref())?;
/// assert!((w[(0, 0)] - 2.0).abs() < 1e-12 && w[(1, 0)].abs() < 1e-12);
/// # Ok::<(), runner::linalg::LinalgError>(())
/// ```
#[derive(Debug, Clone)]
pub struct LeastSquares<'a> {
    z: MatRef<'a, f64>,
    factors: Factors,
    /// All of them, largest first.
    singular_values: Vec<f64>,
    rank: usize,
}

/// The kept singular vectors, one per column.
#[derive(Debug, Clone)]
enum Factors {
    /// `V` `[d, r]`.
    Right(Mat<f64>),
    /// `U` `[m, r]`.
    Left(Mat<f64>),
    /// `U` and `V`.
    Both(Mat<f64>, Mat<f64>),
}

impl<'a> LeastSquares<'a> {
    /// Factorises `z`, `[m, d]`.
    ///
    /// Errors where `z` has no entries, holds one that is not finite or whose square is not, where the cutoff is not
    /// in `[0, 1)`, or where a decomposition does not converge.
    pub fn new(z: MatRef<'a, f64>, cutoff: Cutoff) -> Result<Self, LinalgError> {
        let (m, d) = z.shape();
        if m == 0 || d == 0 {
            return Err(LinalgError::Shape {
                what: "Z",
                expected: "rows and columns".to_owned(),
                found: format!("{m} x {d} entries"),
            });
        }
        let cutoff = cutoff.relative(m, d);
        if !(0.0..1.0).contains(&cutoff) {
            return Err(LinalgError::Cutoff { value: cutoff });
        }
        if cutoff < GRAM_LIMIT {
            check_finite(z)?;
            let (u, singular_values, v) = decompose(z)?;
            // What is left of zero after rounding is zero, whatever the cutoff.
            let rank = rank(&singular_values, cutoff.max(m.max(d) as f64 * f64::EPSILON));
            let factors = Factors::Both(leading(&u, rank), leading(&v, rank));
            return Ok(Self {
                z,
                factors,
                singular_values,
                rank,
            });
        }
        let tall = d <= m;
        let squares = if tall { gram(z) } else { gram(z.transpose()) };
        if !squares
            .diagonal()
            .column_vector()
            .iter()
            .all(|square| square.is_finite())
        {
            check_finite(z)?;
            return Err(LinalgError::Overflow { what: "Z" });
        }
        let (vectors, singular_values) = eigen(&squares)?;
        let rank = rank(&singular_values, cutoff);
        let kept = leading(&vectors, rank);
        let factors = if tall {
            Factors::Right(kept)
        } else {
            Factors::Left(kept)
        };
        Ok(Self {
            z,
            factors,
            singular_values,
            rank,
        })
    }

    /// How many singular values are above the cutoff.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// All `min(m, d)` singular values of `Z`, largest first; below `1e-8` times the largest only roughly, unless the
    /// cutoff is below [`GRAM_LIMIT`].
    pub fn singular_values(&self) -> &[f64] {
        &self.singular_values
    }

    /// `pinv(Z) a`: `[m, n]` to `[d, n]`. Errors where `a` has not `m` rows.
    pub fn solve(&self, a: MatRef<'_, f64>) -> Result<Mat<f64>, LinalgError> {
        self.check(a)?;
        match &self.factors {
            Factors::Right(v) => {
                let moments = product(self.z.transpose(), a)?;
                let mut coordinates = product(v.transpose(), moments.as_ref())?;
                self.divide(&mut coordinates, 2);
                product(v.as_ref(), coordinates.as_ref())
            }
            Factors::Left(u) => {
                let mut coordinates = product(u.transpose(), a)?;
                self.divide(&mut coordinates, 2);
                product(
                    self.z.transpose(),
                    product(u.as_ref(), coordinates.as_ref())?.as_ref(),
                )
            }
            Factors::Both(u, v) => {
                let mut coordinates = product(u.transpose(), a)?;
                self.divide(&mut coordinates, 1);
                product(v.as_ref(), coordinates.as_ref())
            }
        }
    }

    /// `Z pinv(Z) a`: `[m, n]` to `[m, n]`. Errors where `a` has not `m` rows.
    pub fn project(&self, a: MatRef<'_, f64>) -> Result<Mat<f64>, LinalgError> {
        self.check(a)?;
        match &self.factors {
            Factors::Right(_) => product(self.z, self.solve(a)?.as_ref()),
            Factors::Left(u) | Factors::Both(u, _) => {
                product(u.as_ref(), product(u.transpose(), a)?.as_ref())
            }
        }
    }

    /// All that the layer-wise methods ask for, from one factorisation. Errors where `a` has not `m` rows.
    pub fn solution(&self, a: MatRef<'_, f64>) -> Result<Solution, LinalgError> {
        let projected = self.project(a)?;
        let residual = a - &projected;
        Ok(Solution {
            weights: self.solve(a)?,
            gram: gram(projected.as_ref()),
            outside: residual
                .col_iter()
                .map(|column| column.squared_norm_l2())
                .collect(),
            rank: self.rank,
        })
    }

    fn check(&self, a: MatRef<'_, f64>) -> Result<(), LinalgError> {
        if a.nrows() == self.z.nrows() {
            return Ok(());
        }
        Err(LinalgError::Shape {
            what: "the right-hand side",
            expected: format!("{} rows", self.z.nrows()),
            found: a.nrows().to_string(),
        })
    }

    /// Divides row `i` by the `i`-th singular value to the given power.
    fn divide(&self, coordinates: &mut Mat<f64>, power: i32) {
        for column in coordinates.col_iter_mut() {
            for (value, singular) in column.iter_mut().zip(&self.singular_values) {
                *value /= singular.powi(power);
            }
        }
    }
}

pub(super) fn rank(singular_values: &[f64], cutoff: f64) -> usize {
    let smallest = singular_values.first().map_or(0.0, |largest| cutoff * largest);
    singular_values
        .iter()
        .take_while(|&&value| value > smallest)
        .count()
}

pub(super) fn leading(vectors: &Mat<f64>, rank: usize) -> Mat<f64> {
    vectors.subcols(0, rank).to_owned()
}

fn values(diagonal: DiagRef<'_, f64>) -> Vec<f64> {
    diagonal.column_vector().iter().copied().collect()
}

/// Names the first entry that is not finite.
fn check_finite(z: MatRef<'_, f64>) -> Result<(), LinalgError> {
    for column in 0..z.ncols() {
        if let Some(row) = z.col(column).iter().position(|value| !value.is_finite()) {
            let value = z[(row, column)];
            return Err(LinalgError::NonFinite {
                what: "Z",
                row,
                column,
                value,
            });
        }
    }
    Ok(())
}

/// Eigenvectors of a Gram matrix, one per column, and the square roots of its eigenvalues, largest first. Reads the lower
/// triangle.
pub fn eigen(gram: &Mat<f64>) -> Result<(Mat<f64>, Vec<f64>), LinalgError> {
    let n = gram.nrows();
    let parts = Par::rayon(PARTS);
    let (mut vectors, mut squares) = (Mat::zeros(n, n), Diag::zeros(n));
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, parts, default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    self_adjoint_evd(
        gram.as_ref(),
        squares.as_mut(),
        Some(vectors.as_mut()),
        parts,
        stack,
        default(),
    )
    .map_err(|_| LinalgError::NoConvergence { rows: n, columns: n })?;
    let mut singular: Vec<f64> = values(squares.as_ref())
        .iter()
        .map(|square| square.max(0.0).sqrt())
        .collect();
    singular.reverse();
    Ok((vectors.reverse_cols().to_owned(), singular))
}

/// `U`, the singular values, `V`.
type Decomposition = (Mat<f64>, Vec<f64>, Mat<f64>);

/// Thin singular value decomposition `U`, `S` (largest first), `V`; one thread.
fn decompose(z: MatRef<'_, f64>) -> Result<Decomposition, LinalgError> {
    let (m, d) = z.shape();
    let size = m.min(d);
    let (mut u, mut s, mut v) = (Mat::zeros(m, size), Diag::zeros(size), Mat::zeros(d, size));
    let thin = ComputeSvdVectors::Thin;
    let mut memory = MemBuffer::new(svd_scratch::<f64>(m, d, thin, thin, Par::Seq, default()));
    let stack = MemStack::new(&mut memory);
    svd(
        z,
        s.as_mut(),
        Some(u.as_mut()),
        Some(v.as_mut()),
        Par::Seq,
        stack,
        default(),
    )
    .map_err(|_| LinalgError::NoConvergence { rows: m, columns: d })?;
    Ok((u, values(s.as_ref()), v))
}

#[cfg(test)]
mod tests;
