//! What trainings are told, in `[base]` and `[finetune]`: keys that do not go with each other.

use figment::value::Dict;
use serde_json::Value as Json;

use super::decode::{Decoder, or_else};
use super::{FinetuneSettings, Problem};
use crate::data::Augmentation;
use crate::train::{OptimizerSettings, Schedule};

/// The section of what comes after fusion.
pub(super) const FINETUNE: &str = "finetune";

/// Reads `[finetune]`.
pub(super) fn finetune(
    decoder: &Decoder,
    dict: Dict,
    problems: &mut Vec<Problem>,
) -> Option<FinetuneSettings> {
    let before = problems.len();
    let settings = decoder.decode::<FinetuneSettings>(dict, &[FINETUNE.to_string()], problems)?;
    if problems.len() == before {
        if let Some((key, what, hint)) = settings.problem() {
            let at = decoder.with_element(&[FINETUNE, key].map(String::from));
            let message = format!("`{FINETUNE}.{key}` {what}");
            problems.push(decoder.layers.problem(&at, false, message).hint(hint));
        }
        let optimizer = settings.optimizer(0.0);
        check_recipe(
            decoder,
            FINETUNE,
            (&optimizer, &settings.schedule, &settings.augment),
            problems,
        );
    }
    Some(settings)
}

/// Keys of a training that do not go with each other.
pub(super) fn check_recipe(
    decoder: &Decoder,
    section: &str,
    (optimizer, schedule, augment): (&OptimizerSettings, &Schedule, &[Augmentation]),
    problems: &mut Vec<Problem>,
) {
    let name = |value: Json| value.as_str().map_or_else(String::new, String::from);
    let mut add = |keys: &[&str], message: String, hint: &str| {
        let at: Vec<String> = std::iter::once(&section)
            .chain(keys)
            .map(ToString::to_string)
            .collect();
        let place = decoder.with_element(&at);
        let problem = decoder.layers.problem(&place, true, message);
        problems.push(problem.hint(or_else(hint.to_string(), decoder.layers.way_out(&place))));
    };
    if let Some(key) = optimizer.foreign() {
        let kind = name(serde_json::to_value(optimizer.name).unwrap_or(Json::Null));
        let message = format!("`{section}.optimizer.{key}` does nothing for `{kind}`");
        let hint = match key {
            "nesterov" => "Nesterov's is a form of momentum of `sgd`: set `momentum`, too, or drop the key",
            _ => "drop the key, or take `name = \"sgd\"`",
        };
        add(&["optimizer", key], message, hint);
    }
    if let Some(key) = schedule.foreign() {
        let kind = name(serde_json::to_value(schedule.name).unwrap_or(Json::Null));
        let message = format!("`{section}.schedule.{key}` does nothing for `{kind}`");
        add(
            &["schedule", key],
            message,
            "`every` and `gamma` belong to `step`, `period` and `factor` to `restarts`",
        );
    }
    if let Some(problem) = Augmentation::problem(augment) {
        add(
            &["augment"],
            format!("`{section}.augment`: {problem}"),
            "keep one of them",
        );
    }
}
