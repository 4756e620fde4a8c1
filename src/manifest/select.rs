//! `[[exclude]]` and `[[include]]`: picking combinations by key and value.

use figment::value::{Dict, Value};
use serde_json::Value as Json;

use super::decode::suggestion;
use super::reference::{choices_of_parameter, choices_of_setting, is_setting, keys_of_section};
use super::{Layers, Problem, Settings};
use crate::fusion::{self, METHODS};

/// Sections whose keys can be named in a selector.
pub(super) const SECTIONS: [&str; 5] = ["dataset", "split", "model", "base", "fusion-set"];

const FIRST: &str = "first";
const GROUP_SIZE: &str = "groups.size";

/// What a key of a selector speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    /// The base models' seed.
    Seed,
    /// The fusion method's name.
    Method,
    /// A setting of the base models or the fusion set, as a path.
    Base(Vec<String>),
    /// How many of the first models a fusion takes.
    First,
    /// How many models its groups have.
    GroupSize,
    /// A parameter of the fusion method.
    Parameter(String),
}

/// One `[[exclude]]` or `[[include]]` table.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    pub terms: Vec<(Target, Value)>,
    /// Keys of which it asks for the default, where settings leave that out.
    pub left_out: Vec<Target>,
}

impl Selector {
    /// Reads the table at `path`; `settings` is a resolved point, whose keys are the valid ones.
    pub fn parse(
        layers: &Layers,
        path: &[String],
        dict: &Dict,
        settings: &Json,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let parameters: Vec<&str> = fusion::parameters().iter().map(String::as_str).collect();
        let mut terms = Vec::new();
        let mut left_out = Vec::new();
        let mut sound = true;
        for (key, value) in dict {
            let mut at = path.to_vec();
            at.push(key.clone());
            if let Some(target) = target(key, settings, &parameters) {
                for (element, wanted) in each(&at, value) {
                    if let Some(problem) = misfit(layers, key, &element, &target, &wanted, settings) {
                        problems.push(problem);
                        sound = false;
                    } else if is_left_out(settings, &target, &wanted) {
                        left_out.push(target.clone());
                    }
                }
                terms.push((target, value.clone()));
            } else {
                let mut valid = vec!["seed", "method", FIRST, GROUP_SIZE];
                for section in SECTIONS {
                    if let Some(fields) = settings[section].as_object() {
                        valid.extend(fields.keys().map(String::as_str));
                    }
                    valid.extend(keys_of_section(section));
                }
                valid.extend(&parameters);
                problems.push(
                    layers
                        .problem(&at, true, format!("unknown key `{key}`"))
                        .hint(suggestion(key, &valid)),
                );
                sound = false;
            }
        }
        if terms.is_empty() && sound {
            problems.push(
                layers
                    .problem(path, false, format!("`{}` is empty", path[0]))
                    .hint("name what it is about, for example `parts = 4` and `method = \"hf-linear\"`"),
            );
            return None;
        }
        sound.then_some(Self { terms, left_out })
    }

    /// What it says of base models.
    pub fn base(&self) -> Self {
        let of_bases = |(target, _): &&(Target, Value)| matches!(target, Target::Base(_));
        Self {
            terms: self.terms.iter().filter(of_bases).cloned().collect(),
            left_out: self.left_out.clone(),
        }
    }

    /// Whether it speaks of base models only, so that it concerns training jobs too.
    pub fn is_base_only(&self) -> bool {
        self.terms
            .iter()
            .all(|(target, _)| matches!(target, Target::Seed | Target::Base(_)))
    }
}

/// Whether settings with this value do not have the key at all, because it is the default.
fn is_left_out(settings: &Json, target: &Target, wanted: &Json) -> bool {
    let Target::Base(path) = target else { return false };
    let mut with = settings.clone();
    let mut place = &mut with;
    for key in path {
        if !place.is_object() {
            *place = Json::Object(serde_json::Map::default());
        }
        place = &mut place[key.as_str()];
    }
    *place = wanted.clone();
    let read = serde_json::from_value::<Settings>(with);
    read.and_then(serde_json::to_value).is_ok_and(|written| {
        path.iter()
            .fold(&written, |value, key| &value[key.as_str()])
            .is_null()
    })
}

/// The values a term lists, or its only one, each with its path.
fn each(at: &[String], value: &Value) -> Vec<(Vec<String>, Json)> {
    match serde_json::to_value(value).unwrap_or(Json::Null) {
        Json::Array(values) => {
            let element = |i: usize| [at, &[i.to_string()]].concat();
            values
                .into_iter()
                .enumerate()
                .map(|(i, value)| (element(i), value))
                .collect()
        }
        single => vec![(at.to_vec(), single)],
    }
}

/// A value that no combination can have: a name that does not exist, or text where a number belongs.
fn misfit(
    layers: &Layers,
    key: &str,
    at: &[String],
    target: &Target,
    wanted: &Json,
    settings: &Json,
) -> Option<Problem> {
    let (choices, example) = match target {
        Target::Seed | Target::First | Target::GroupSize => (Vec::new(), Json::from(0)),
        Target::Method => (
            METHODS.iter().map(|info| info.name.to_string()).collect(),
            Json::from(""),
        ),
        Target::Base(path) => {
            let actual = path.iter().fold(settings, |value, key| &value[key.as_str()]);
            (choices_of_setting(path), actual.clone())
        }
        Target::Parameter(name) => (choices_of_parameter(name), Json::Null),
    };
    let names: Vec<&str> = choices.iter().map(String::as_str).collect();
    if let Some(text) = wanted.as_str()
        && !names.is_empty()
        && !names.contains(&text)
    {
        let problem = layers.problem(at, false, format!("unknown value `{text}` for `{key}`"));
        return Some(problem.hint(suggestion(text, &names)));
    }
    let kind = |value: &Json| match value {
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Bool(_) => "true or false",
        // Lists and absent values are compared as they are.
        _ => "",
    };
    let (expected, found) = (kind(&example), kind(wanted));
    (!expected.is_empty() && !found.is_empty() && expected != found)
        .then(|| layers.problem(at, false, format!("`{key}` is {expected}, not {found}")))
}

fn target(key: &str, settings: &Json, parameters: &[&str]) -> Option<Target> {
    match key {
        "seed" => return Some(Target::Seed),
        "method" => return Some(Target::Method),
        FIRST => return Some(Target::First),
        GROUP_SIZE => return Some(Target::GroupSize),
        _ => {}
    }
    if let Some((section, rest)) = key.split_once('.') {
        let path: Vec<String> = std::iter::once(section)
            .chain(rest.split('.'))
            .map(String::from)
            .collect();
        let exists = path
            .iter()
            .try_fold(settings, |value, part| value.get(part))
            .is_some()
            || is_setting(&path);
        return exists.then_some(Target::Base(path));
    }
    let below = |section: &&str| vec![(*section).to_string(), key.to_string()];
    let known = SECTIONS
        .iter()
        .find(|section| settings[**section].get(key).is_some())
        .or_else(|| {
            // Of the sections whose keys depend on one of them, only those that are there.
            let fixed = SECTIONS.iter().filter(|section| **section != "model");
            fixed.into_iter().find(|section| is_setting(&below(section)))
        });
    known.map(|section| Target::Base(below(section))).or_else(|| {
        parameters
            .contains(&key)
            .then(|| Target::Parameter(key.to_string()))
    })
}
