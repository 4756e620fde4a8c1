//! Which architecture a file holds, from the names and shapes of its tensors.
//!
//! Names tell the family, shapes its settings; where several settings may be meant, all are tried, and the one whose
//! [`Plan`] has exactly the file's tensors is the answer. What shapes do not tell comes from [`Hints`]:
//!
//! | what | from | else |
//! | --- | --- | --- |
//! | a transformer's heads | hint, where it divides the width | heads of width 32, or the next larger divisor, and not [`Inferred::sure`] |
//! | dropout | hint | the architecture's default |
//! | the image | hint, where it fits | the smallest that fits, as square as may be, of 3 channels or 1 where that is open |

mod conv;
mod mlp;
mod tensors;
mod vit;

use std::borrow::Cow;

use super::{ARCHITECTURES, Architecture, Family, Plan, names};
use tensors::Tensors;

/// What else is known of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hints {
    /// Shape of the images, `[C, H, W]`.
    pub image: Option<Vec<usize>>,
    /// A transformer's heads.
    pub heads: Option<usize>,
    /// Its dropout.
    pub dropout: Option<f64>,
}

/// What a file's tensors are of.
#[derive(Debug, Clone, PartialEq)]
pub struct Inferred {
    /// Architecture and settings; its plan has exactly the file's names and shapes.
    pub architecture: Architecture,
    /// Shape of one image, `[C, H, W]`, for which it has them.
    pub image: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// Whether the function is known: not so where a transformer's heads are assumed.
    pub sure: bool,
}

/// No architecture has these tensors.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InferError {
    /// Names of none of the families.
    #[error("no architecture has tensors with names such as `{0}`")]
    Unknown(String),
    /// Nothing at all.
    #[error("there are no tensors")]
    Empty,
    /// Sizes that no network has.
    #[error("`{name}` has the odd shape {shape:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Settings that a file claims, but that are no network's.
    #[error("it claims to be of `{architecture}`, but {problem}")]
    Settings {
        /// The name.
        architecture: String,
        /// Why not.
        problem: String,
    },
    /// A normalisation adds something else to the variance.
    #[error("`{norm}` normalises with `eps = {eps:?}`, which none of the known architectures does")]
    Eps {
        /// The module.
        norm: String,
        /// What it adds.
        eps: f64,
    },
    /// Nearly one.
    #[error("it resembles `{}`, but {difference}{}", .closest.architecture.name(), and_more(*.more))]
    Near {
        /// What comes closest.
        closest: Box<Inferred>,
        /// The first difference to it.
        difference: String,
        /// How many there are beyond the first.
        more: usize,
    },
}

fn and_more(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " (and one more difference)".to_string(),
        _ => format!(" (and {count} more differences)"),
    }
}

/// The largest size of a dimension: products of a plan's sizes stay far from overflow.
const MAX_SIZE: usize = 1 << 24;

/// Layers of a list for each tensor.
const LAYERS: usize = 100;

/// The same for the sides of a hinted image.
const MAX_SIDE: usize = 1 << 16;

/// Which architecture has exactly these tensors, in any order. Costs a few milliseconds for hundreds of tensors.
pub fn infer(tensors: &[(String, Vec<usize>)], hints: &Hints) -> Result<Inferred, InferError> {
    let Some((first, _)) = tensors.first() else {
        return Err(InferError::Empty);
    };
    let odd = |shape: &[usize]| shape.iter().any(|&n| n == 0 || n > MAX_SIZE);
    if let Some((name, shape)) = tensors.iter().find(|(_, shape)| odd(shape)) {
        return Err(InferError::Shape {
            name: name.clone(),
            shape: shape.clone(),
        });
    }
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    let mut refused = None;
    for names in names::variants(&names) {
        let shapes = tensors.iter().map(|(_, shape)| shape.clone());
        let named: Vec<_> = names.into_iter().map(Cow::into_owned).zip(shapes).collect();
        match infer_named(&named, hints) {
            Ok(found) => return Ok(found),
            // What comes close tells more than that the wrapped names are none.
            Err(error @ InferError::Near { .. }) if !matches!(refused, Some(InferError::Near { .. })) => {
                refused = Some(error);
            }
            Err(error) => drop(refused.get_or_insert(error)),
        }
    }
    Err(refused.unwrap_or(InferError::Unknown(first.clone())))
}

/// The same for names as an architecture has them.
fn infer_named(tensors: &[(String, Vec<usize>)], hints: &Hints) -> Result<Inferred, InferError> {
    let first = tensors.first().map(|(name, _)| name.clone()).unwrap_or_default();
    let tensors = Tensors::new(tensors);
    let has = |start: &str| tensors.names().any(|name| name.starts_with(start));
    let ends = |end: &str| tensors.names().any(|name| name.ends_with(end));
    let candidates = if has("feature_levels.") {
        conv::vggs(&tensors)
    } else if has("layer1.0.") {
        conv::resnets(&tensors)
    } else if has("level1.") {
        vec![mlp::candidate(&tensors)]
    } else if has("blocks.") && (ends(".pos_emb") || ends(".msa.q.weight")) {
        vec![vit::vit(&tensors, hints)]
    } else if has("blocks.") && (ends(".pos_embed") || ends(".self_attn.in_proj_weight")) {
        vec![vit::small_vit(&tensors, hints)]
    } else {
        return Err(InferError::Unknown(first));
    };
    choose(&tensors, candidates, hints).ok_or(InferError::Unknown(first))?
}

/// Whether a file that says what it is has exactly those tensors.
pub fn verify(model: Inferred, tensors: &[(String, Vec<usize>)]) -> Result<Inferred, InferError> {
    let refuse = |problem: String| InferError::Settings {
        architecture: model.architecture.name().to_string(),
        problem,
    };
    // Before anything is made for each of them. Only layers of a list may have no tensors.
    let (parts, most) = match &model.architecture {
        Architecture::Mlp(mlp) => (mlp.hidden.len(), tensors.len()),
        Architecture::Vit(vit) => (vit.depth, tensors.len()),
        Architecture::SmallVit(vit) => (vit.depth, tensors.len()),
        Architecture::Sequential(list) => (list.layers.len(), LAYERS.saturating_mul(tensors.len().max(1))),
        Architecture::Vgg(..) | Architecture::ResNet(..) => (0, 0),
    };
    if parts > most {
        return Err(refuse(format!(
            "{} tensors are too few for {parts} layers or blocks",
            tensors.len()
        )));
    }
    let settings = serde_json::to_value(&model.architecture).unwrap_or_default();
    if model.classes > MAX_SIZE || !is_usable(&model.image) || !is_bounded(&settings) {
        return Err(refuse("its sizes are beyond reason".to_string()));
    }
    if let Err(error) = model.architecture.plan(&model.image, model.classes) {
        return Err(refuse(error.to_string()));
    }
    let fallback = refuse("its tensors are others".to_string());
    choose(&Tensors::new(tensors), vec![model], &Hints::default()).unwrap_or(Err(fallback))
}

/// Whether a plan for such images overflows nowhere.
fn is_usable(image: &[usize]) -> bool {
    matches!(image, [c, h, w] if *c <= MAX_SIZE && h.max(w) <= &MAX_SIDE)
}

fn is_bounded(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Array(items) => items.iter().all(is_bounded),
        serde_json::Value::Object(fields) => fields.values().all(is_bounded),
        value => value.as_f64().is_none_or(|number| number <= MAX_SIZE as f64),
    }
}

/// The first candidate without a difference, or how far off the closest is; nothing if none has a plan.
fn choose(
    tensors: &Tensors,
    candidates: Vec<Inferred>,
    hints: &Hints,
) -> Option<Result<Inferred, InferError>> {
    let mut closest: Option<(Inferred, Difference)> = None;
    let hinted = hints.image.as_ref().filter(|image| is_usable(image));
    for candidate in candidates {
        for image in hinted.into_iter().chain([&candidate.image]) {
            let Ok(plan) = candidate.architecture.plan(image, candidate.classes) else {
                continue;
            };
            let candidate = Inferred {
                image: image.clone(),
                ..candidate.clone()
            };
            match difference(&plan, tensors) {
                None => return Some(Ok(candidate)),
                Some(found) if closest.as_ref().is_none_or(|(_, best)| found.count < best.count) => {
                    closest = Some((candidate, found));
                }
                Some(_) => {}
            }
        }
    }
    closest.map(|(closest, found)| {
        Err(InferError::Near {
            closest: Box::new(closest),
            difference: found.first,
            more: found.count - 1,
        })
    })
}

/// How a file's tensors differ from a plan's.
struct Difference {
    count: usize,
    first: String,
}

fn difference(plan: &Plan, tensors: &Tensors) -> Option<Difference> {
    let mut found: Vec<String> = Vec::new();
    for parameter in &plan.parameters {
        match tensors.shape(&parameter.name) {
            None => found.push(format!("it lacks `{}`", parameter.name)),
            Some(shape) if shape != parameter.shape => found.push(format!(
                "`{}` has shape {shape:?} instead of {:?}",
                parameter.name, parameter.shape
            )),
            Some(_) => {}
        }
    }
    let known: std::collections::BTreeSet<&str> = plan.parameters.iter().map(|p| p.name.as_str()).collect();
    let extra = tensors.names().filter(|name| !known.contains(name));
    found.extend(extra.map(|name| format!("`{name}` has no place in it")));
    Some(Difference {
        count: found.len(),
        first: found.into_iter().next()?,
    })
}

/// Height and width of `positions` pixels, as square as may be, the width not below the height.
fn sides(positions: usize) -> [usize; 2] {
    let positions = positions.max(1);
    let height = (1..=positions.isqrt())
        .rev()
        .find(|h| positions.is_multiple_of(*h));
    let height = height.unwrap_or(1);
    [height, positions / height]
}

/// `values` numbers as channels and the side of a square: 1 or 3 channels where one of them fits (never both: 3 is no
/// square), else single pixels.
fn channels(values: usize) -> [usize; 2] {
    let side = |c: usize| (values.is_multiple_of(c)).then(|| (values / c).isqrt());
    let fits = |c: usize| side(c).filter(|side| c * side * side == values);
    [1, 3]
        .into_iter()
        .find_map(|c| Some([c, fits(c)?]))
        .unwrap_or([values, 1])
}

impl Architecture {
    /// What a manifest's `[model]` has to say for it: the name, and settings that are not the default.
    ///
    /// ```
    /// # use runner::arch::{Architecture, Mlp};
    /// let mlp = Architecture::Mlp(Mlp { hidden: vec![8], ..Mlp::default() });
    /// assert_eq!(mlp.as_settings(), r#"architecture = "mlp", hidden = [8]"#);
    /// ```
    pub fn as_settings(&self) -> String {
        let name = self.name();
        let default = serde_json::json!({ "architecture": name });
        let default: Option<Self> = serde_json::from_value(default).ok();
        let fields = |architecture: &Self| serde_json::to_value(architecture).unwrap_or_default();
        let (own, default) = (fields(self), default.as_ref().map(fields).unwrap_or_default());
        let changed = own
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| *key != "architecture" && default[key.as_str()] != **value)
            // JSON's numbers, booleans and lists of them are TOML's.
            .map(|(key, value)| format!("{key} = {value}"));
        [format!("architecture = {name:?}")]
            .into_iter()
            .chain(changed)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// A transformer's heads.
    pub fn heads(&self) -> Option<usize> {
        match self {
            Self::Vit(vit) => Some(vit.heads),
            Self::SmallVit(vit) => Some(vit.heads),
            _ => None,
        }
    }
}

/// The known kinds of a family.
fn kinds<K>(kind: impl Fn(Family) -> Option<K>) -> Vec<K> {
    ARCHITECTURES
        .iter()
        .filter_map(|info| kind(info.family))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_as_square_as_may_be() {
        assert_eq!([1, 4, 6, 7].map(sides), [[1, 1], [2, 2], [2, 3], [1, 7]]);
        assert_eq!(
            [784, 3072, 48, 10].map(channels),
            [[1, 28], [3, 32], [3, 4], [10, 1]]
        );
    }
}
