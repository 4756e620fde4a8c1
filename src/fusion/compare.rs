//! Whether networks fit each other, told from their skeletons: before anything runs, and by the methods themselves.

use super::FusionError;
use crate::arch::{Layer, LayerKind, Network, Plan};

/// What a method asks of the models' skeletons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The same shapes everywhere.
    Shapes,
    /// The same layers, but for their widths.
    Layers,
    /// As many levels.
    Levels,
}

/// Where two skeletons differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The layer, or what else.
    pub what: String,
    /// How it is in the first.
    pub first: String,
    /// How it is in the other.
    pub other: String,
}

impl Difference {
    /// For the method of this name, which has these needs.
    pub fn message(&self, method: &str, needs: Needs) -> String {
        format!(
            "`{method}` needs {}, but {} is {} in `[model]` and {} in `[other-models]`",
            needs.text(),
            self.what,
            self.first,
            self.other
        )
    }
}

impl Needs {
    /// In messages, after "needs".
    pub fn text(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Shapes => "models of one architecture",
            Self::Layers => "models whose layers differ in nothing but their widths",
            Self::Levels => "models of as many levels",
        }
    }

    /// The first difference that matters.
    pub fn difference(self, first: &Plan, other: &Plan) -> Option<Difference> {
        match self {
            Self::Nothing => None,
            Self::Shapes => number("layers", first.layers.len(), other.layers.len())
                .or_else(|| shapes(first, other))
                .or_else(|| layers(first, other)),
            Self::Layers => {
                number("layers", first.layers.len(), other.layers.len()).or_else(|| layers(first, other))
            }
            Self::Levels => number("levels", first.levels.len(), other.levels.len()),
        }
    }
}

/// Refuses models that differ from the first where the method needs them not to.
pub(super) fn require(method: &'static str, needs: Needs, models: &[Network]) -> Result<(), FusionError> {
    let Some((first, others)) = models.split_first() else {
        return Ok(());
    };
    for (at, other) in others.iter().enumerate() {
        if let Some(Difference { what, first, other }) = needs.difference(&first.plan, &other.plan) {
            return Err(FusionError::Mismatch {
                method,
                needs: needs.text(),
                what,
                first,
                other,
                model: at + 1,
            });
        }
    }
    Ok(())
}

fn number(of: &str, first: usize, other: usize) -> Option<Difference> {
    (first != other).then(|| Difference {
        what: format!("the number of {of}"),
        first: first.to_string(),
        other: other.to_string(),
    })
}

fn shapes(first: &Plan, other: &Plan) -> Option<Difference> {
    let pairs = first.parameters.iter().zip(&other.parameters).enumerate();
    let mut differing = pairs.filter(|(_, (a, b))| a.shape != b.shape);
    match differing.next() {
        Some((at, (a, b))) => Some(Difference {
            what: owner(first, at),
            first: format!("{:?}", a.shape),
            other: format!("{:?}", b.shape),
        }),
        None => number("tensors", first.parameters.len(), other.parameters.len()),
    }
}

/// The layer that a parameter belongs to, or its own name where it belongs to none.
fn owner(plan: &Plan, at: usize) -> String {
    let owns = |layer: &&Layer| layer.weight == at || layer.bias == Some(at);
    match plan.layers.iter().find(owns) {
        Some(layer) => format!("layer `{}`", layer.name),
        None => format!("`{}`", plan.parameters[at].name),
    }
}

fn layers(first: &Plan, other: &Plan) -> Option<Difference> {
    let same = |a: &Layer, b: &Layer| {
        (a.kind, &a.shape[2..], a.positions, a.source, a.order)
            == (b.kind, &b.shape[2..], b.positions, b.source, b.order)
    };
    let mut pairs = first.layers.iter().zip(&other.layers);
    let (a, b) = pairs.find(|(a, b)| !same(a, b))?;
    Some(Difference {
        what: format!("layer `{}`", a.name),
        first: described(a),
        other: described(b),
    })
}

fn described(layer: &Layer) -> String {
    let shape = &layer.shape;
    let text = match layer.kind {
        LayerKind::Linear => format!("linear, {shape:?}"),
        LayerKind::Conv { stride, padding } => {
            format!("a convolution, {shape:?} with stride {stride} and padding {padding}")
        }
    };
    match layer.positions {
        0 | 1 => text,
        positions => format!("{text} after {positions} positions were flattened"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Architecture, Mlp, Vgg, VggKind};

    fn mlp(hidden: &[usize]) -> Plan {
        let architecture = Architecture::Mlp(Mlp {
            hidden: hidden.to_vec(),
            bias: true,
            level_activations: false,
        });
        architecture.plan(&[1, 2, 3], 4).expect("plan")
    }

    #[test]
    fn the_layer_and_both_shapes_are_named() {
        let of = |needs: Needs, first: &Plan, other: &Plan| {
            needs
                .difference(first, other)
                .map(|found| format!("{}: {}; {}", found.what, found.first, found.other))
        };
        let (a, b, deep) = (mlp(&[5, 3]), mlp(&[5, 2]), mlp(&[5, 3, 3]));
        assert_eq!(of(Needs::Shapes, &a, &a), None);
        assert_eq!(
            of(Needs::Shapes, &a, &b).as_deref(),
            Some("layer `fc2`: [3, 5]; [2, 5]")
        );
        assert_eq!(of(Needs::Layers, &a, &b), None);
        assert_eq!(
            of(Needs::Layers, &a, &deep).as_deref(),
            Some("the number of layers: 3; 4")
        );
        assert_eq!(
            of(Needs::Levels, &a, &deep).as_deref(),
            Some("the number of levels: 3; 4")
        );
        let vgg = |size: usize| {
            let vgg = Architecture::Vgg(VggKind::Vgg11Half, Vgg::default());
            vgg.plan(&[1, size, size], 4).expect("plan")
        };
        let found = of(Needs::Layers, &vgg(32), &vgg(64)).expect("other positions");
        assert!(
            found.contains("linear, ") && found.contains("4 positions"),
            "{found}"
        );
    }
}
