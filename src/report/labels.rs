//! Words for readers: how methods, importances, models and settings are called in tables.

use serde_json::Value;

use super::Group;
use crate::fusion::{self, METHODS};
use crate::importance::Importance;
use crate::result::Kind;

/// The number of models in a group, among what may stand behind a row's name.
pub const GROUPS: &str = "groups";

/// How many of the first models are fused, likewise.
pub const FIRST: &str = "first";

/// A fusion method's name.
pub fn method(name: &str) -> String {
    fusion::info(name).map_or(name, |info| info.label).to_string()
}

/// Where a method stands in the list of methods; others stand behind it.
pub fn order(method: Option<&str>) -> usize {
    let known = METHODS.iter().position(|info| Some(info.name) == method);
    known.unwrap_or(METHODS.len())
}

/// Where an importance score stands in the list of scores; others stand behind it.
pub fn importance_order(name: &str) -> usize {
    let known = Importance::ALL.iter().position(|known| known.as_str() == name);
    known.unwrap_or(Importance::ALL.len())
}

/// An importance score's name.
pub fn importance(name: &str) -> String {
    Importance::named(name)
        .map_or(name, |score| score.info().label)
        .to_string()
}

/// `2 models`.
pub fn models(count: usize) -> String {
    format!("{count} model{}", if count == 1 { "" } else { "s" })
}

/// `g0-3` for the models 0 and 3, in whatever order they were fused.
pub fn group(models: &[String]) -> String {
    let mut names: Vec<(Option<usize>, &str)> = models
        .iter()
        .map(|model| (rank(model), model.strip_prefix("model_").unwrap_or(model)))
        .collect();
    names.sort_unstable();
    let names: Vec<&str> = names.into_iter().map(|(_, name)| name).collect();
    format!("g{}", names.join("-"))
}

/// A setting's value without its name, for the marks of an axis.
pub fn value(value: &Value) -> String {
    match value {
        Value::Null => "none".to_string(),
        Value::String(text) => text.clone(),
        Value::Array(values) => list(values),
        other => other.to_string(),
    }
}

/// A setting's name: `head lr` for `fusion.head.lr`.
pub fn axis(key: &str) -> String {
    let sections = [
        "base.",
        "dataset.",
        "finetune.",
        "fusion-set.",
        "fusion.",
        "model.",
        "split.",
    ];
    let own = sections.iter().find_map(|section| key.strip_prefix(section));
    match own.unwrap_or(key) {
        "parts" => "number of models".to_string(),
        name => name.replace(['-', '_', '.'], " "),
    }
}

/// `hidden 256`, `head weights`, `no head weights`; nothing for what is not set. `key` may be a dotted path.
pub fn setting(key: &str, value: &Value) -> Option<String> {
    let key = key.replace(['-', '_', '.'], " ");
    if key == GROUPS {
        return Some(format!("groups of {value}"));
    }
    match value {
        Value::Null => None,
        Value::Bool(true) => Some(key),
        Value::Bool(false) => Some(format!("no {key}")),
        Value::String(text) => Some(format!("{key} {text}")),
        Value::Array(values) => Some(format!("{key} {}", list(values))),
        other => Some(format!("{key} {other}")),
    }
}

/// `[256,128]`, and `3 x 32` for equal values.
fn list(values: &[Value]) -> String {
    match values {
        [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|value| value == first) => {
            format!("{} x {first}", values.len())
        }
        _ => Value::from(values).to_string(),
    }
}

/// The label that the plan gives to what is fine-tuned, without what the column says.
fn without_tuning(label: &str) -> String {
    let label = label.strip_suffix(", fine-tuned").unwrap_or(label);
    let label = label
        .rsplit_once(", groups of ")
        .map_or(label, |(label, _)| label);
    label.to_string()
}

/// The rank in a name such as `model_0`.
pub fn rank(model: &str) -> Option<usize> {
    model.strip_prefix("model_")?.parse().ok()
}

impl Group {
    /// Name of the row, without what tells it from rows of the same name; `tuned` says whether it tells fine-tuning.
    pub(super) fn row_label(&self, tuned: bool) -> String {
        let mut label = match (&self.label, &self.method, &self.model) {
            (Some(label), ..) if self.kind == Kind::Finetune && !tuned => return without_tuning(label),
            (Some(label), ..) => return label.clone(),
            (None, Some(name), _) => method(name),
            (None, None, Some(model)) => rank(model).map_or(model.clone(), |rank| format!("Model {rank}")),
            (None, None, None) => self.kind.as_str().to_string(),
        };
        if self.is_ensemble() && self.head_weighted() {
            label.push_str(", head-weighted");
        }
        if tuned {
            label.push_str(", fine-tuned");
        }
        label
    }

    /// The group in words, for messages.
    pub(super) fn title(&self) -> String {
        let importance = self.importance.as_deref().map(importance);
        let words = [
            Some(self.row_label(self.kind == Kind::Finetune)),
            importance,
            Some(models(self.parts)),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Whether it is several networks that vote, and not one.
    pub(super) fn is_ensemble(&self) -> bool {
        self.method.as_deref() == Some("ensemble")
    }

    fn head_weighted(&self) -> bool {
        let axis = self.axes.get("fusion.head-weights");
        let parameter = self.parameters.get("head-weights");
        axis.or(parameter).and_then(Value::as_bool).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_in_words() {
        let words = |key, value| setting(key, &value).unwrap_or_default();
        assert_eq!(words("head.lr", json!(0.001)), "head lr 0.001");
        assert_eq!(words("head-weights", json!(false)), "no head weights");
        assert_eq!(words("loss", json!("kl")), "loss kl");
        assert_eq!(words("hidden", json!([256, 128])), "hidden [256,128]");
        assert_eq!(words("hidden", json!([32, 32, 32])), "hidden 3 x 32");
        assert_eq!(words("hidden", json!([32])), "hidden [32]");
        assert_eq!(words("absent", Value::Null), "");
        assert_eq!(words("groups", json!(2)), "groups of 2");
        assert_eq!(words("first", json!(4)), "first 4");
        assert_eq!(value(&json!(true)), "true");
        assert_eq!(value(&json!([32, 32])), "2 x 32");
        assert_eq!(
            ["model.hidden", "fusion.head.lr", "split.parts"].map(axis),
            ["hidden", "head lr", "number of models"]
        );
    }
}
