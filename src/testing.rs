//! What tests share: one named tolerance.

/// How far a computed number may lie from the expected one: `absolute + relative * |expected|`.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    absolute: f64,
    relative: f64,
}

/// Both sides computed in f64, well conditioned.
pub const DOUBLE: Tolerance = Tolerance {
    absolute: 1e-12,
    relative: 1e-12,
};

/// f64 results through a Gram matrix or a badly conditioned system.
pub const GRAM: Tolerance = Tolerance {
    absolute: 1e-8,
    relative: 1e-8,
};

/// Expected values printed with ten digits after the point.
pub const PRINTED: Tolerance = Tolerance {
    absolute: 1e-9,
    relative: 1e-9,
};

/// Central differences in f64 against derivatives of numbers of size 1.
pub const DIFFERENCES: Tolerance = Tolerance {
    absolute: 1e-6,
    relative: 1e-6,
};

/// One side computed in f32: sums of numbers of size 1.
pub const SINGLE: Tolerance = Tolerance {
    absolute: 1e-5,
    relative: 1e-5,
};

impl Tolerance {
    /// For what one module's tests compare.
    pub const fn new(absolute: f64, relative: f64) -> Self {
        Self { absolute, relative }
    }

    /// Panics where a number is not within the tolerance.
    #[track_caller]
    pub fn assert(self, found: f64, expected: f64) {
        let allowed = self.absolute + self.relative * expected.abs();
        assert!(
            (found - expected).abs() <= allowed,
            "{found} instead of {expected} +- {allowed}"
        );
    }

    /// Panics where lengths differ or a number is not within the tolerance.
    #[track_caller]
    pub fn assert_all(self, found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (&found, &expected) in found.iter().zip(expected) {
            self.assert(found, expected);
        }
    }
}
