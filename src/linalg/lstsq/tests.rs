use faer::mat;
use rand::RngExt;

use super::*;
use crate::seed::generator;
use crate::testing::{DOUBLE, GRAM, Tolerance};

/// Entries in `[-1, 1)`; of the given rank, by a product, where that is below both sides.
fn matrix(m: usize, d: usize, rank: usize) -> Mat<f64> {
    let mut rng = generator(1, "matrix", &[m as u64, d as u64, rank as u64]);
    let mut random = |m, d| Mat::from_fn(m, d, |_, _| rng.random_range(-1.0..1.0));
    if rank < m.min(d) {
        random(m, rank) * random(rank, d)
    } else {
        random(m, d)
    }
}

fn assert_equal(tolerance: Tolerance, found: &Mat<f64>, expected: &Mat<f64>) {
    assert_eq!(found.shape(), expected.shape());
    for column in 0..found.ncols() {
        for row in 0..found.nrows() {
            tolerance.assert(found[(row, column)], expected[(row, column)]);
        }
    }
}

fn pinv(problem: &LeastSquares<'_>) -> Mat<f64> {
    problem
        .solve(Mat::identity(problem.z.nrows(), problem.z.nrows()).as_ref())
        .expect("shapes fit")
}

/// `Z X Z = Z`, `X Z X = X`, `Z X` and `X Z` symmetric; and `project` is `Z X`.
fn moore_penrose(z: &Mat<f64>, cutoff: Cutoff, rank: usize, tolerance: Tolerance) {
    let problem = LeastSquares::new(z.as_ref(), cutoff).expect("finite");
    assert_eq!(
        problem.rank(),
        rank,
        "{:?}: {:?}",
        z.shape(),
        problem.singular_values()
    );
    assert!(problem.singular_values().is_sorted_by(|a, b| a >= b));
    let x = pinv(&problem);
    let (zx, xz) = (z * &x, &x * z);
    assert_equal(tolerance, &(&zx * z), z);
    assert_equal(tolerance, &(&xz * &x), &x);
    assert_equal(tolerance, &zx, &zx.transpose().to_owned());
    assert_equal(tolerance, &xz, &xz.transpose().to_owned());
    let identity = Mat::identity(z.nrows(), z.nrows());
    assert_equal(
        tolerance,
        &problem.project(identity.as_ref()).expect("shapes fit"),
        &zx,
    );
}

#[test]
fn the_moore_penrose_identities_hold_at_awkward_sizes() {
    for (m, d, rank) in [
        (1, 1, 1),
        (1, 7, 1),
        (7, 1, 1),
        (5, 5, 3),
        (9, 4, 4),
        (4, 9, 4),
        (9, 4, 2),
        (4, 9, 2),
        (130, 70, 70),
        (70, 130, 70),
        (130, 70, 30),
        (70, 130, 30),
        (65, 65, 40),
    ] {
        let z = matrix(m, d, rank);
        moore_penrose(&z, Cutoff::Relative(1e-10), rank, GRAM); // Z itself
        moore_penrose(&z, Cutoff::Relative(2.0 * GRAM_LIMIT), rank, GRAM); // a Gram matrix
        moore_penrose(&z, Cutoff::Default, rank, GRAM);
    }
}

#[test]
fn duplicate_rows_columns_and_zeros_lower_the_rank() {
    let twice = Mat::from_fn(12, 6, |i, j| matrix(4, 3, 3)[(i % 4, j % 3)]);
    let zero = Mat::zeros(3, 2);
    for cutoff in [
        Cutoff::Default,
        Cutoff::Relative(1e-4),
        Cutoff::Relative(1e-12),
        Cutoff::Relative(0.0),
    ] {
        moore_penrose(&twice, cutoff, 3, GRAM);
        moore_penrose(&zero, cutoff, 0, DOUBLE);
        moore_penrose(&zero.transpose().to_owned(), cutoff, 0, DOUBLE);
    }
}

#[test]
fn values_up_to_the_cutoff_are_dropped() {
    let z = mat![
        [4.0, 0.0, 0.0],
        [0.0, 2.0, 0.0],
        [0.0, 0.0, 0.25],
        [0.0, 0.0, 0.0]
    ];
    for (cutoff, expected) in [
        (0.0, [0.25, 0.5, 4.0]),
        (0.06, [0.25, 0.5, 4.0]),
        (0.0625, [0.25, 0.5, 0.0]),
        (0.49, [0.25, 0.5, 0.0]),
        (0.51, [0.25, 0.0, 0.0]),
    ] {
        for z in [&z, &z.transpose().to_owned()] {
            let problem = LeastSquares::new(z.as_ref(), Cutoff::Relative(cutoff)).expect("finite");
            DOUBLE.assert_all(problem.singular_values(), &[4.0, 2.0, 0.25]);
            let x = pinv(&problem);
            DOUBLE.assert_all(&[x[(0, 0)], x[(1, 1)], x[(2, 2)]], &expected);
            assert_eq!(problem.rank(), expected.iter().filter(|v| **v > 0.0).count());
        }
    }
    DOUBLE.assert(Cutoff::Default.relative(409_600, 577), 0.048_828_125);
}

#[test]
fn both_ways_agree_where_both_are_accurate() {
    let (z, a) = (matrix(90, 30, 30), matrix(90, 5, 5));
    for z in [
        z.clone(),
        Mat::from_fn(90, 200, |i, j| (i as f64 * 0.1 + j as f64).sin()),
    ] {
        let solved = |cutoff| {
            let problem = LeastSquares::new(z.as_ref(), Cutoff::Relative(cutoff)).expect("finite");
            (
                problem.solve(a.as_ref()).expect("fits"),
                problem.project(a.as_ref()).expect("fits"),
            )
        };
        let (gram, own) = (solved(1.0001 * GRAM_LIMIT), solved(0.9999 * GRAM_LIMIT));
        assert_equal(GRAM, &gram.0, &own.0);
        assert_equal(GRAM, &gram.1, &own.1);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    // Wide enough for all parallel parts of a decomposition.
    let (z, a) = (matrix(700, 600, 600), matrix(700, 70, 70));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        pool.install(|| {
            let solved = |z: MatRef<'_, f64>, cutoff| {
                LeastSquares::new(z, cutoff)
                    .and_then(|p| p.project(a.subrows(0, z.nrows())))
                    .expect("finite")
            };
            (
                solved(z.as_ref(), Cutoff::Default),
                solved(z.subrows(0, 90), Cutoff::Relative(0.0)),
            )
        })
    };
    assert!(on(1) == on(3));
}

#[test]
fn what_has_no_answer_is_named() {
    let mut z = matrix(100, 90, 90);
    z[(41, 3)] = f64::INFINITY;
    for cutoff in [Cutoff::Default, Cutoff::Relative(0.0)] {
        let found = LeastSquares::new(z.as_ref(), cutoff).expect_err("infinite");
        assert!(matches!(
            found,
            LinalgError::NonFinite {
                row: 41,
                column: 3,
                ..
            }
        ));
    }
    z[(41, 3)] = 1e200;
    let found = LeastSquares::new(z.as_ref(), Cutoff::Default).expect_err("too large");
    assert_eq!(found, LinalgError::Overflow { what: "Z" });
    for cutoff in [1.0, -0.1, f64::NAN] {
        let found = LeastSquares::new(z.as_ref(), Cutoff::Relative(cutoff));
        assert!(matches!(found, Err(LinalgError::Cutoff { .. })));
    }
    assert!(matches!(
        LeastSquares::new(Mat::zeros(0, 3).as_ref(), Cutoff::Default),
        Err(LinalgError::Shape { .. })
    ));
    let z = matrix(4, 3, 3);
    let problem = LeastSquares::new(z.as_ref(), Cutoff::Default).expect("finite");
    assert!(problem.solve(z.transpose()).is_err() && problem.project(z.transpose()).is_err());
    assert_eq!(
        problem
            .solve(Mat::zeros(4, 0).as_ref())
            .expect("no columns")
            .shape(),
        (3, 0)
    );
}
