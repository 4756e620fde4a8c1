//! The straight line between two networks of one architecture, `W(alpha) = (1 - alpha) W_a + alpha W_b`, and the loss
//! barrier on it.
//!
//! Tensors of the state dict are interpolated in f32; counters of batches stay the first network's. `W(0)` and `W(1)` are
//! the networks themselves, bit for bit. Whoever compares an aligned network with its original folds `BatchNorm` before,
//! so that both lines have the same kind of parameters.

use super::{FusionError, require_equal_shapes};
use crate::arch::Network;

/// The network at `alpha` on the line from `a` to `b`.
pub fn interpolate(a: &Network, b: &Network, alpha: f64) -> Result<Network, FusionError> {
    if alpha == 0.0 || alpha == 1.0 {
        return Ok(if alpha == 0.0 { a } else { b }.clone());
    }
    require_equal_shapes("interpolation", &[a.clone(), b.clone()])?;
    let mut network = a.clone();
    for (tensor, other) in network.tensors.iter_mut().zip(&b.tensors) {
        if tensor.dtype().is_float() {
            *tensor = ((&*tensor * (1.0 - alpha))? + (other * alpha)?)?;
        }
    }
    Ok(network)
}

/// The loss barrier of Entezari et al. (arXiv 2110.06296), and the share of the way at which it is:
/// the largest excess of the loss over the straight line between the losses of both ends,
/// `max_alpha L(W(alpha)) - ((1 - alpha) L(W_a) + alpha L(W_b))`. At least 0, which the ends have.
///
/// `points` are pairs of alpha and loss, both ends among them.
pub fn barrier(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let loss_at = |end: f64| {
        points
            .iter()
            .find(|(alpha, _)| *alpha == end)
            .map(|(_, loss)| *loss)
    };
    let (first, last) = (loss_at(0.0)?, loss_at(1.0)?);
    let excess = |&(alpha, loss): &(f64, f64)| {
        let at_end = alpha == 0.0 || alpha == 1.0;
        (
            if at_end {
                0.0
            } else {
                loss - ((1.0 - alpha) * first + alpha * last)
            },
            alpha,
        )
    };
    points
        .iter()
        .map(excess)
        .reduce(|a, b| if b.0 > a.0 { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_barrier_is_the_largest_excess_over_the_straight_line() {
        // The line goes from 1 to 3: 2 is half way, 1.5 a quarter.
        let (height, at) = barrier(&[(0.0, 1.0), (0.25, 2.25), (0.5, 2.5), (1.0, 3.0)]).expect("a barrier");
        assert_eq!((height, at), (0.75, 0.25));
        let (height, at) = barrier(&[(0.0, 1.0), (0.5, 1.5), (1.0, 3.0)]).expect("below the line");
        assert_eq!((height, at), (0.0, 0.0));
        assert_eq!(barrier(&[(0.0, 1.0), (0.5, 1.5)]), None);
    }
}
