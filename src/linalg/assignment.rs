//! The linear assignment problem: a permutation `c` that minimises the sum of `cost[i, c(i)]`.
//!
//! Shortest augmenting paths (Jonker and Volgenant 1987, as simplified in Crouse 2016): rows are assigned one by one;
//! each time, Dijkstra's algorithm on the reduced costs `cost[i, j] - u[i] - v[j] >= 0` finds the cheapest way to free a
//! column. Exact up to rounding at any scale of costs: there is no absolute threshold. Among equally good columns, one
//! that is free wins, then the first: results are deterministic. Time `O(n^3)`, memory `O(n)`.

use super::LinalgError;
use crate::tick::{Tick, go_on};

/// The column of each row in an optimal assignment of the `n x n` matrix `cost` (row-major).
///
/// Asks before each row whether to go on.
///
/// # Errors
/// Where `cost` has not `n * n` entries, [`LinalgError::NonFinite`] with row and column of one that is not finite, and
/// [`LinalgError::Stopped`].
///
/// ```
/// use runner::tick::unwatched;
///
/// let cost = [4.0, 1.0, 3.0, 2.0, 0.0, 5.0, 3.0, 2.0, 2.0];
/// assert_eq!(runner::linalg::assign(&cost, 3, &mut unwatched)?, [1, 0, 2]); // 1 + 2 + 2
/// # Ok::<(), runner::linalg::LinalgError>(())
/// ```
pub fn assign(cost: &[f64], n: usize, on_tick: &mut Tick) -> Result<Vec<usize>, LinalgError> {
    check(cost, n)?;
    let mut search = Search::new(cost, n);
    for row in 0..n {
        go_on(on_tick)?;
        search.augment(row);
    }
    Ok(search.column_of)
}

fn check(cost: &[f64], n: usize) -> Result<(), LinalgError> {
    if n.checked_mul(n) != Some(cost.len()) {
        return Err(LinalgError::Shape {
            what: "a cost matrix",
            expected: format!("{n} x {n} entries"),
            found: cost.len().to_string(),
        });
    }
    match cost.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(LinalgError::NonFinite {
            what: "the cost matrix",
            row: index / n,
            column: index % n,
            value: cost[index],
        }),
        // Path lengths are sums of up to 2 n costs.
        None if cost
            .iter()
            .any(|value| value.abs() > f64::MAX / (4 * n + 4) as f64) =>
        {
            Err(LinalgError::Overflow {
                what: "the cost matrix",
            })
        }
        None => Ok(()),
    }
}

/// No row, or no column.
const NONE: usize = usize::MAX;

struct Search<'a> {
    cost: &'a [f64],
    n: usize,
    /// Dual variables of rows and columns.
    u: Vec<f64>,
    v: Vec<f64>,
    column_of: Vec<usize>,
    row_of: Vec<usize>,
    /// Of the current search, by column: length of the shortest path, the row before, and whether it is final.
    distance: Vec<f64>,
    before: Vec<usize>,
    done: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(cost: &'a [f64], n: usize) -> Self {
        let smallest = |column: usize| {
            (0..n)
                .map(|row| cost[row * n + column])
                .fold(f64::INFINITY, f64::min)
        };
        Self {
            cost,
            n,
            u: vec![0.0; n],
            v: (0..n).map(smallest).collect(),
            column_of: vec![NONE; n],
            row_of: vec![NONE; n],
            distance: vec![0.0; n],
            before: vec![NONE; n],
            done: vec![false; n],
        }
    }

    /// Assigns `start`, moving other rows to other columns where that is cheaper.
    fn augment(&mut self, start: usize) {
        self.distance.fill(f64::INFINITY);
        self.done.fill(false);
        let (mut row, mut reached) = (start, 0.0);
        let end = loop {
            let costs = &self.cost[row * self.n..(row + 1) * self.n];
            let base = reached - self.u[row];
            let mut next = NONE;
            for (column, cost) in costs.iter().enumerate() {
                if self.done[column] {
                    continue;
                }
                let length = base + cost - self.v[column];
                if length < self.distance[column] {
                    self.distance[column] = length;
                    self.before[column] = row;
                }
                let (best, here) = (self.distance.get(next).copied(), self.distance[column]);
                let freer = || self.row_of[column] == NONE && self.row_of[next] != NONE;
                if best.is_none_or(|best| here < best || (here <= best && freer())) {
                    next = column;
                }
            }
            self.done[next] = true;
            reached = self.distance[next];
            row = self.row_of[next];
            if row == NONE {
                break next;
            }
        };
        self.update_duals(start, reached);
        let mut column = end;
        while column != NONE {
            let row = self.before[column];
            self.row_of[column] = row;
            column = std::mem::replace(&mut self.column_of[row], column);
            if row == start {
                break;
            }
        }
    }

    /// Keeps reduced costs non-negative, and zero along assignments.
    fn update_duals(&mut self, start: usize, reached: f64) {
        self.u[start] += reached;
        for column in 0..self.n {
            if self.done[column] {
                let slack = reached - self.distance[column];
                self.v[column] -= slack;
                let row = self.row_of[column];
                if row != NONE {
                    self.u[row] += slack;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::seed::generator;
    use crate::testing::DOUBLE;
    use crate::tick::unwatched;

    fn objective(cost: &[f64], columns: &[usize]) -> f64 {
        let n = columns.len();
        let mut seen = vec![false; n];
        for &column in columns {
            assert!(
                !std::mem::replace(&mut seen[column], true),
                "no permutation: {columns:?}"
            );
        }
        columns
            .iter()
            .enumerate()
            .map(|(row, column)| cost[row * n + column])
            .sum()
    }

    fn brute_force(cost: &[f64], n: usize, row: usize, used: &mut Vec<bool>) -> f64 {
        if row == n {
            return 0.0;
        }
        let mut best = f64::INFINITY;
        for column in 0..n {
            if !used[column] {
                used[column] = true;
                best = best.min(cost[row * n + column] + brute_force(cost, n, row + 1, used));
                used[column] = false;
            }
        }
        best
    }

    /// Optimal by duality: feasible dual variables whose sum is the objective.
    fn certify(cost: &[f64], n: usize) {
        let mut search = Search::new(cost, n);
        (0..n).for_each(|row| search.augment(row));
        let scale = cost
            .iter()
            .fold(0.0_f64, |largest, c| largest.max(c.abs()))
            .max(f64::MIN_POSITIVE);
        let smallest = (0..n * n)
            .map(|i| (cost[i] - search.u[i / n] - search.v[i % n]) / scale)
            .fold(f64::INFINITY, f64::min);
        assert!(smallest > -1e-12 * n as f64, "dual infeasible by {smallest}");
        let dual: f64 = search.u.iter().chain(&search.v).map(|d| d / scale).sum();
        DOUBLE.assert(objective(cost, &search.column_of) / scale, dual);
    }

    proptest! {
        #[test]
        fn optimal_among_all_permutations_with_ties(
            n in 1_usize..=6,
            values in proptest::collection::vec(-2_i8..3, 36),
            exponent in -200_i32..200,
        ) {
            let scale = 2_f64.powi(exponent);
            let cost: Vec<f64> = values[..n * n].iter().map(|&v| f64::from(v) * scale).collect();
            let found = objective(&cost, &assign(&cost, n, &mut unwatched).expect("finite"));
            let best = brute_force(&cost, n, 0, &mut vec![false; n]);
            prop_assert!(found <= best, "{found} instead of {best}");
        }

        #[test]
        fn optimal_by_duality(n in 1_usize..=60, seed: u64, exponent in -40_i32..40) {
            let mut rng = generator(seed, "costs", &[]);
            let scale = 10_f64.powi(exponent);
            let cost: Vec<f64> = (0..n * n).map(|_| rng.random_range(-1.0..1.0) * scale).collect();
            certify(&cost, n);
            let tied: Vec<f64> = (0..n * n).map(|_| f64::from(rng.random_range(0_u8..4)) * scale).collect();
            certify(&tied, n);
        }
    }

    #[test]
    fn constant_and_empty_matrices() {
        assert_eq!(assign(&[], 0, &mut unwatched), Ok(vec![]));
        assert_eq!(assign(&[7.0], 1, &mut unwatched), Ok(vec![0]));
        assert_eq!(assign(&[0.0; 16], 4, &mut unwatched), Ok(vec![0, 1, 2, 3]));
    }

    #[test]
    fn what_is_no_cost_matrix_is_named() {
        let mut cost = [1.0; 9];
        cost[5] = f64::NAN;
        assert!(matches!(
            assign(&cost, 3, &mut unwatched),
            Err(LinalgError::NonFinite {
                row: 1,
                column: 2,
                ..
            })
        ));
        assert!(matches!(
            assign(&cost, 2, &mut unwatched),
            Err(LinalgError::Shape { .. })
        ));
        assert!(matches!(
            assign(&[f64::MAX; 4], 2, &mut unwatched),
            Err(LinalgError::Overflow { .. })
        ));
    }
}
