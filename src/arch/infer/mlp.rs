//! An MLP's settings: one level per linear map, `levelL.0` or `levelL.1`, L from 1.

use super::super::{Architecture, Mlp};
use super::tensors::{Tensors, vote};
use super::{Inferred, channels};

pub(super) fn candidate(tensors: &Tensors) -> Inferred {
    let levels = tensors.count("level").saturating_sub(1).max(1);
    // The first level begins by flattening either way.
    let level_activations = (2..=levels).any(|l| {
        let prefix = format!("level{l}.0.");
        tensors.names().any(|name| name.starts_with(&prefix))
    });
    let sizes =
        |l: usize, end: &str, dimensions, axis| tensors.sizes(&format!("level{l}."), end, dimensions, axis);
    // The width of a level stands in its weight, its bias and the next weight.
    let width = |l: usize| {
        let own = sizes(l, ".weight", 2, 0).into_iter();
        let all = own
            .chain(sizes(l, ".bias", 1, 0))
            .chain(sizes(l + 1, ".weight", 2, 1));
        vote(all).unwrap_or(1)
    };
    let inputs = vote(sizes(1, ".weight", 2, 1)).unwrap_or(1);
    let [channels, side] = channels(inputs);
    Inferred {
        architecture: Architecture::Mlp(Mlp {
            hidden: (1..levels).map(width).collect(),
            bias: tensors.bias(),
            level_activations,
        }),
        image: vec![channels, side, side],
        classes: width(levels),
        sure: true,
    }
}
