//! The two vision transformers. Heads leave no trace in the shapes.

use super::super::{Architecture, SmallVit, Vit};
use super::tensors::{Tensors, vote};
use super::{Hints, Inferred, channels, sides};

/// Width of a head where nothing tells it, as in both architectures' defaults.
const HEAD: usize = 32;

/// What both share.
struct Common {
    separate_embedder: bool,
    depth: usize,
    hidden: usize,
    classes: usize,
    /// Patches: tokens without the class token.
    words: usize,
    heads: usize,
    sure: bool,
}

impl Common {
    fn new(tensors: &Tensors, norm: &str, head: &str, positions: &str, hints: &Hints) -> Self {
        let separate_embedder = !tensors.names().any(|name| name.starts_with("blocks.0.0."));
        // A weight of a norm in every block; the embedding knows the width, too.
        let widths = tensors.sizes("blocks.", norm, 1, 0).into_iter();
        let hidden = vote(widths.chain(tensors.sizes("blocks.", ".cls_token", 3, 2))).unwrap_or(1);
        let classes = tensors.sizes(&format!("{head}."), ".weight", 2, 0).into_iter();
        let classes = vote(classes.chain(tensors.sizes(&format!("{head}."), ".bias", 1, 0)));
        let words = vote(tensors.sizes("blocks.", positions, 3, 1)).unwrap_or(2);
        let hinted = hints
            .heads
            .filter(|&heads| heads > 0 && hidden.is_multiple_of(heads));
        let assumed = || {
            (HEAD..=hidden)
                .find(|width| hidden.is_multiple_of(*width))
                .map_or(1, |width| hidden / width)
        };
        Self {
            separate_embedder,
            depth: tensors
                .count("blocks.")
                .saturating_sub(usize::from(separate_embedder))
                .max(1),
            hidden,
            classes: classes.unwrap_or(1),
            words: words.saturating_sub(1).max(1),
            heads: hinted.unwrap_or_else(assumed),
            sure: hinted.is_some(),
        }
    }

    fn of(&self, architecture: Architecture, image: Vec<usize>) -> Inferred {
        Inferred {
            architecture,
            image,
            classes: self.classes,
            sure: self.sure,
        }
    }
}

fn dropout(hints: &Hints, default: f64) -> f64 {
    hints
        .dropout
        .filter(|p| (0.0..=0.99).contains(p))
        .unwrap_or(default)
}

pub(super) fn vit(tensors: &Tensors, hints: &Hints) -> Inferred {
    let common = Common::new(tensors, ".la1.weight", "fc.1", ".pos_emb", hints);
    let patches = common.words.isqrt();
    let [channels, patch] = channels(vote(tensors.sizes("blocks.0.", ".emb.weight", 2, 1)).unwrap_or(1));
    let widths = tensors.sizes("blocks.", ".mlp.0.weight", 2, 0).into_iter();
    let mlp = vote(widths.chain(tensors.sizes("blocks.", ".mlp.3.weight", 2, 1)));
    let architecture = Architecture::Vit(Vit {
        patches,
        depth: common.depth,
        hidden: common.hidden,
        mlp_hidden: mlp.unwrap_or(1),
        heads: common.heads,
        dropout: dropout(hints, Vit::default().dropout),
        separate_embedder: common.separate_embedder,
    });
    common.of(architecture, vec![channels, patches * patch, patches * patch])
}

pub(super) fn small_vit(tensors: &Tensors, hints: &Hints) -> Inferred {
    let common = Common::new(tensors, ".norm1.weight", "head", ".pos_embed", hints);
    let kernel = |axis| vote(tensors.sizes("blocks.0.", ".patch_embed.proj.weight", 4, axis));
    let (channels, patch_size) = (kernel(1).unwrap_or(3), kernel(2).unwrap_or(1));
    let widths = tensors.sizes("blocks.", ".linear1.weight", 2, 0).into_iter();
    let inner = vote(widths.chain(tensors.sizes("blocks.", ".linear2.weight", 2, 1))).unwrap_or(1);
    let architecture = Architecture::SmallVit(SmallVit {
        patch_size,
        depth: common.depth,
        hidden: common.hidden,
        mlp_ratio: ratio(inner, common.hidden),
        heads: common.heads,
        dropout: dropout(hints, SmallVit::default().dropout),
        separate_embedder: common.separate_embedder,
    });
    let [h, w] = sides(common.words);
    common.of(architecture, vec![channels, h * patch_size, w * patch_size])
}

/// A ratio that gives `inner` when `hidden` times it is cut to an integer; rounding may fall below it.
fn ratio(inner: usize, hidden: usize) -> f64 {
    let width = hidden as f64;
    let ratio = inner as f64 / width;
    if (width * ratio) as usize == inner {
        ratio
    } else {
        (inner as f64 + 0.5) / width
    }
}

#[cfg(test)]
mod tests {
    use super::ratio;

    #[test]
    fn every_width_has_a_ratio() {
        for hidden in 1..200 {
            for inner in 1..400 {
                assert_eq!((hidden as f64 * ratio(inner, hidden)) as usize, inner);
            }
        }
        assert_eq!(ratio(256, 128), 2.0);
    }
}
