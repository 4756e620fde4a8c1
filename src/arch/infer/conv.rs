//! VGGs and `ResNet`s: each known kind is tried.

use super::super::{Architecture, Family, ResNet, Vgg};
use super::tensors::{Tensors, vote};
use super::{Inferred, kinds, sides};

/// By what all poolings and strides shrink a side, in both families.
const SHRINK: usize = 32;

/// What both families share: channels of the image, classes, inputs of the classifier.
struct Ends {
    channels: usize,
    classes: usize,
    inputs: usize,
}

impl Ends {
    fn new(tensors: &Tensors, stem: &str, head: &str) -> Self {
        let head = |end, dimensions, axis| tensors.sizes(head, end, dimensions, axis);
        let classes = head(".weight", 2, 0).into_iter().chain(head(".bias", 1, 0));
        Self {
            channels: vote(tensors.sizes(stem, ".weight", 4, 1)).unwrap_or(3),
            classes: vote(classes).unwrap_or(1),
            inputs: vote(head(".weight", 2, 1)).unwrap_or(1),
        }
    }

    /// The smallest image that leaves as many positions as the classifier has inputs per channel.
    fn image(&self, width: usize) -> Vec<usize> {
        let [h, w] = sides(self.inputs / width);
        vec![self.channels, SHRINK * h, SHRINK * w]
    }

    fn of(&self, architecture: Architecture, width: usize) -> Inferred {
        Inferred {
            architecture,
            image: self.image(width),
            classes: self.classes,
            sure: true,
        }
    }
}

pub(super) fn vggs(tensors: &Tensors) -> Vec<Inferred> {
    let ends = Ends::new(tensors, "feature_levels.0.", "classifier.");
    let (batch_norm, bias) = (tensors.batch_norm(), tensors.bias());
    let kinds = kinds(|family| match family {
        Family::Vgg(kind) => Some(kind),
        _ => None,
    });
    let settings = |level_activations| Vgg {
        batch_norm,
        bias,
        level_activations,
    };
    let both = kinds
        .into_iter()
        .flat_map(|kind| [false, true].map(|activations| (kind, activations)));
    both.map(|(kind, activations)| ends.of(Architecture::Vgg(kind, settings(activations)), kind.width()))
        .collect()
}

pub(super) fn resnets(tensors: &Tensors) -> Vec<Inferred> {
    let ends = Ends::new(tensors, "conv1.", "linear.");
    let settings = ResNet {
        batch_norm: tensors.batch_norm(),
        head_bias: tensors.shape("linear.bias").is_some(),
    };
    let kinds = kinds(|family| match family {
        Family::ResNet(kind) => Some(kind),
        _ => None,
    });
    let of = |kind| Architecture::ResNet(kind, settings.clone());
    kinds
        .into_iter()
        .map(|kind| ends.of(of(kind), kind.width()))
        .collect()
}
