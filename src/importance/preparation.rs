//! What becomes of scores before they are used.

use super::score::EPSILON;

/// What becomes of the scores of a layer or level before they are used: rescaled first, then normalised.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Preparation {
    /// Scale them to sum 1.
    pub normalise: bool,
    /// Map them linearly onto `[r, 1]`.
    pub rescale: Option<f64>,
}

impl Preparation {
    /// Prepares the scores of one layer or level.
    pub fn apply(self, scores: &mut [f64]) {
        if let Some(lowest) = self.rescale {
            rescale(scores, lowest);
        }
        if self.normalise {
            normalise(scores);
        }
    }
}

/// Scales scores to sum 1.
pub fn normalise(scores: &mut [f64]) {
    let total: f64 = scores.iter().sum();
    for score in scores {
        *score /= total;
    }
}

/// Maps scores linearly onto `[lowest, 1]`, but none to less than 1e-8: means weighted by scores stay defined. Equal
/// scores all become 1: there is nothing to tell them apart by.
fn rescale(scores: &mut [f64], lowest: f64) {
    let min = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let range = max - min;
    for score in scores {
        *score = if range > 0.0 {
            ((*score - min) / range * (1.0 - lowest) + lowest).max(EPSILON)
        } else {
            1.0
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescaling_spans_the_range_and_keeps_equal_scores_equal() {
        let mut scores = [2.0, 4.0, 3.0];
        rescale(&mut scores, 0.1);
        assert_eq!(scores, [0.1, 1.0, 0.55]);
        rescale(&mut scores, 0.0);
        assert_eq!([scores[0], scores[1]], [EPSILON, 1.0]);
        let mut equal = [0.3, 0.3];
        rescale(&mut equal, 0.1);
        assert_eq!(equal, [1.0, 1.0]);
        let mut both = [2.0, 4.0];
        let preparation = Preparation {
            normalise: true,
            rescale: Some(0.25),
        };
        preparation.apply(&mut both);
        assert_eq!(both, [0.2, 0.8]);
    }
}
