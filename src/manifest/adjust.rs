//! `[adjust.NAME]`: other values where others hold, such as the epochs of a training by the number of parts.

use std::collections::btree_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use figment::value::{Dict, Value};
use serde_json::Value as Json;

use super::axes::{self, Axis, Choice};
use super::decode::{Decoder, unknown_key};
use super::matching::{Facts, FusionFacts, Index};
use super::recipe::FINETUNE;
use super::resolve::{FusionPoint, Resolver, method};
use super::select::{SECTIONS, Selector, Target};
use super::{OTHER_MODELS, Settings};
use crate::fusion::METHODS;

/// Key of the condition.
const WHEN: &str = "when";

/// A key's own path, and the path where its value was given instead.
pub(super) type Moved = (Vec<String>, Vec<String>);

/// All `[adjust.NAME]`.
#[derive(Default)]
pub(super) struct Adjustments {
    all: Vec<Adjustment>,
    /// Their conditions as read for points that have the same keys.
    read: HashMap<String, Rc<Conditions>>,
    /// Which of them held at a point.
    held: BTreeSet<usize>,
}

impl Adjustments {
    /// Whether any of them sets the key, which is two names.
    pub fn set(&self, [section, key]: [&str; 2]) -> bool {
        let mut sections = self.all.iter().filter_map(|one| one.set.get(section)?.as_dict());
        sections.any(|keys| keys.contains_key(key))
    }
}

/// What the adjustments ask of points, and of the fusions there.
struct Conditions {
    of_points: Index,
    of_fusions: Vec<Option<Selector>>,
}

/// One `[adjust.NAME]`.
struct Adjustment {
    /// Its path.
    at: Vec<String>,
    /// Where it holds; everywhere without.
    when: Option<Dict>,
    /// What it sets, by section or method.
    set: Dict,
}

/// Parameters for a method's fusions at one point.
#[derive(Debug, Clone)]
pub(super) struct MethodKeys {
    name: String,
    keys: Dict,
    at: Vec<String>,
    /// What the fusion has to be, besides of the method; nothing where any will do.
    when: Option<Arc<Index>>,
}

/// What holds at one point.
#[derive(Default)]
pub(super) struct Adjusted {
    /// The sections.
    pub dict: Dict,
    /// Where values stand that the sections do not have themselves.
    pub moved: Vec<Moved>,
    /// What is left for fusions.
    pub methods: Vec<MethodKeys>,
    /// The settings without any adjustment, where there is one.
    pub before: Option<Settings>,
}

impl Resolver<'_> {
    /// Reads all `[adjust.NAME]`, in the order of their names, as far as that can be done without a point.
    pub(super) fn adjustments(&mut self) -> Adjustments {
        let methods = METHODS.iter().map(|info| info.name);
        let valid: Vec<&str> = [WHEN, FINETUNE, OTHER_MODELS]
            .into_iter()
            .chain(SECTIONS)
            .chain(methods)
            .collect();
        let mut all = Vec::new();
        for (name, table) in self.dict_at("adjust").unwrap_or_default() {
            let at = vec!["adjust".to_string(), name];
            let Value::Dict(_, mut set) = table else {
                let message = format!("`{}` must be a table", at.join("."));
                let problem = self.layers.problem(&at, true, message);
                self.problems.push(problem.hint(
                    "adjustments have names: `[adjust.four-parts]` with `when = { parts = 4 }` and `base.epochs = 150`",
                ));
                continue;
            };
            let key = |key: &str| [at.as_slice(), &[key.to_string()]].concat();
            let before = self.problems.len();
            let when = match set.remove(WHEN) {
                None => None,
                Some(Value::Dict(_, when)) => Some(when),
                Some(_) => {
                    let problem = self.layers.problem(&key(WHEN), false, "`when` must be a table");
                    self.problems
                        .push(problem.hint("for example `when = { parts = 4 }`"));
                    continue;
                }
            };
            for (name, value) in &set {
                if !valid.contains(&name.as_str()) {
                    let problem = unknown_key(self.layers, &key(name), &valid);
                    self.problems.push(problem);
                } else if !matches!(value, Value::Dict(..)) {
                    let message = format!("`{name}` must be a table of keys to set");
                    let problem = self.layers.problem(&key(name), false, message);
                    self.problems.push(
                        problem
                            .hint("for example `base.epochs = 150`, or `kf-gradient.level = { lr = 1e-4 }`"),
                    );
                }
            }
            if set.is_empty() {
                let problem = self.layers.problem(&at, false, "this adjustment sets nothing");
                self.problems
                    .push(problem.hint("for example `base.epochs = 150`"));
            }
            let mut found = Vec::new();
            axes::find(
                self.layers,
                &[],
                &Value::from(set.clone()),
                &mut found,
                &mut Vec::new(),
            );
            for axis in found {
                let path = axis.path.join(".");
                let message = format!("`{path}` must be a single value here");
                let problem = self
                    .layers
                    .problem(&[&at[..], &axis.path].concat(), false, message);
                self.problems.push(problem.hint(
                    "a list is an axis, and axes stand in the sections themselves; several adjustments with different \
                     `when` set different values",
                ));
            }
            if self.problems.len() == before {
                all.push(Adjustment { at, when, set });
            }
        }
        Adjustments {
            all,
            ..Adjustments::default()
        }
    }

    /// The sections as they are at one point, the last adjustment on top. Whether one holds depends on the values that
    /// the point had without any.
    pub(super) fn adjusted(
        &mut self,
        adjustments: &mut Adjustments,
        dict: Dict,
        (found, choice): (&[Axis], &Choice),
    ) -> Adjusted {
        let mut adjusted = Adjusted {
            dict,
            ..Adjusted::default()
        };
        if adjustments.all.is_empty() {
            return adjusted;
        }
        // What cannot be read is reported when it is read for good.
        let before = [self.problems.len(), self.warnings.len()];
        let plain = self.settings(&adjusted.dict, (found, choice), &[]);
        self.problems.truncate(before[0]);
        self.warnings.truncate(before[1]);
        let Some(plain) = plain else { return adjusted };
        let json = serde_json::to_value(&plain).unwrap_or(Json::Null);
        let conditions = self.conditions(adjustments, &json);
        let facts = Facts {
            settings: &json,
            seed: 0,
            fusion: None,
        };
        for number in conditions.of_points.all(&facts) {
            let adjustment = &adjustments.all[number];
            adjustments.held.insert(number);
            let when = conditions.of_fusions[number].as_ref();
            let asks = when.filter(|when| !when.terms.is_empty()).map(|when| {
                let mut index = Index::default();
                index.add(0, when);
                Arc::new(index)
            });
            for (name, value) in &adjustment.set {
                let Value::Dict(_, keys) = value else { continue };
                let at = [adjustment.at.as_slice(), std::slice::from_ref(name)].concat();
                if METHODS.iter().any(|info| info.name == name) {
                    adjusted.methods.push(MethodKeys {
                        name: name.clone(),
                        keys: keys.clone(),
                        at,
                        when: asks.clone(),
                    });
                } else if asks.is_some() {
                    let message = "`when` speaks of fusions, but this is set for models, too";
                    let problem = self.layers.problem(&at, true, message);
                    self.problems
                        .push(problem.hint("make two adjustments of it, one of them for methods alone"));
                } else {
                    moved_keys(std::slice::from_ref(name), keys, &at, &mut adjusted.moved);
                    let section = adjusted.dict.entry(name.clone());
                    merge(section.or_insert_with(|| Value::from(Dict::new())), value.clone());
                }
            }
        }
        adjusted.before = Some(plain);
        adjusted
    }

    /// Reads the conditions, once for all points of the same keys.
    fn conditions(&mut self, adjustments: &mut Adjustments, settings: &Json) -> Rc<Conditions> {
        let keys = keys_of(settings);
        if let Some(known) = adjustments.read.get(&keys) {
            return known.clone();
        }
        let mut conditions = Conditions {
            of_points: Index::default(),
            of_fusions: Vec::with_capacity(adjustments.all.len()),
        };
        for (number, adjustment) in adjustments.all.iter().enumerate() {
            let read = self.condition(adjustment, settings);
            if let Some((of_points, _)) = &read {
                conditions.of_points.add(number, of_points);
            }
            conditions.of_fusions.push(read.map(|(_, of_fusions)| of_fusions));
        }
        let conditions = Rc::new(conditions);
        adjustments.read.insert(keys, conditions.clone());
        conditions
    }

    /// What the adjustment asks of points, and of fusions; `None` where it cannot be read.
    fn condition(&mut self, adjustment: &Adjustment, settings: &Json) -> Option<(Selector, Selector)> {
        let Some(when) = &adjustment.when else {
            let always = Selector::default();
            return Some((always.clone(), always));
        };
        let at = [adjustment.at.as_slice(), &[WHEN.to_string()]].concat();
        let selector = Selector::parse(self.layers, &at, when, settings, self.problems)?;
        let Selector { terms, left_out } = selector;
        let (base, fusion): (Vec<_>, Vec<_>) = terms
            .into_iter()
            .partition(|(target, _)| matches!(target, Target::Base(_) | Target::Seed));
        if base.iter().any(|(target, _)| *target == Target::Seed) {
            let message = "`when` cannot speak of seeds: all seeds are treated alike";
            self.problems.push(self.layers.problem(&at, false, message));
            return None;
        }
        let of_points = Selector {
            terms: base,
            left_out,
        };
        let of_fusions = Selector {
            terms: fusion,
            ..Selector::default()
        };
        Some((of_points, of_fusions))
    }

    /// Warns of adjustments that change nothing, when all points are made. In extended manifests they may be for others.
    pub(super) fn warn_of_adjustments(&mut self, adjustments: &Adjustments, fusions: &[FusionPoint]) {
        let listed: BTreeSet<&str> = fusions.iter().map(|fusion| fusion.method.name()).collect();
        for (number, adjustment) in adjustments.all.iter().enumerate() {
            if self.layers.is_shared(&adjustment.at) {
                continue;
            }
            let at = |key: &str| [adjustment.at.as_slice(), &[key.to_string()]].concat();
            if !adjustments.held.contains(&number) {
                let warning = self.layers.problem(&at(WHEN), false, "this `when` never holds");
                self.warnings.push(
                    warning.hint(
                        "no combination has all these values: leave the adjustment out, or correct them",
                    ),
                );
                continue;
            }
            let methods = adjustment
                .set
                .keys()
                .filter(|name| METHODS.iter().any(|info| info.name == *name));
            for name in methods {
                let place = at(name);
                if self.adjusted_methods.contains(&place) {
                    continue;
                }
                let warning = if listed.contains(name.as_str()) {
                    let message = format!("this `when` fits no fusion by `{name}`");
                    self.layers.problem(&at(WHEN), false, message)
                } else {
                    let message = format!("no `[[fusion]]` has the method `{name}`");
                    self.layers.problem(&place, true, message)
                };
                self.warnings
                    .push(warning.hint("leave the adjustment out, or correct it"));
            }
        }
    }

    /// The fusions with the parameters that a point's adjustments give them.
    pub(super) fn adjusted_fusions(
        &mut self,
        keys: &[MethodKeys],
        fusions: &[FusionPoint],
    ) -> Vec<FusionPoint> {
        if keys.is_empty() {
            return fusions.to_vec();
        }
        let mut by_name: HashMap<&str, Vec<&MethodKeys>> = HashMap::new();
        for own in keys {
            by_name.entry(&own.name).or_default().push(own);
        }
        let mut all: Vec<FusionPoint> = Vec::with_capacity(fusions.len());
        let mut known = BTreeSet::new();
        for fusion in fusions {
            let mut changed = fusion.clone();
            let name = fusion.method.name();
            let mut dict = Value::from(fusion.given.clone());
            let mut moved = Vec::new();
            let about = FusionFacts::of(fusion);
            let facts = Facts {
                settings: &Json::Null,
                seed: 0,
                fusion: Some(&about),
            };
            let asked = |own: &&&MethodKeys| own.when.as_ref().is_none_or(|when| when.any(&facts));
            for own in by_name.get(name).into_iter().flatten().filter(asked) {
                if !self.adjusted_methods.contains(&own.at) {
                    self.adjusted_methods.insert(own.at.clone());
                }
                moved_keys(&fusion.entry, &own.keys, &own.at, &mut moved);
                merge(&mut dict, Value::from(own.keys.clone()));
            }
            if let (false, Value::Dict(_, dict)) = (moved.is_empty(), dict) {
                let decoder = Decoder {
                    moved: &moved,
                    ..Decoder::new(self.layers)
                };
                match method(name, &decoder, dict, &fusion.entry, self.problems) {
                    Some(method) => changed.method = method,
                    None => continue,
                }
            }
            // What told two fusions apart may be set to one value for both.
            if known.insert(changed.identity()) {
                all.push(changed);
            }
        }
        all
    }
}

/// The keys of settings, and of what kind their values are: a selector that can be read for one can be for the other.
fn keys_of(settings: &Json) -> String {
    match settings {
        Json::Object(fields) => {
            let field = |(key, value): (&String, &Json)| format!("{key}={}", keys_of(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
        Json::Number(_) => "number".to_string(),
        Json::String(_) => "text".to_string(),
        Json::Bool(_) => "bool".to_string(),
        Json::Null | Json::Array(_) => String::new(),
    }
}

/// Notes for every value below `keys`, which belongs at `own`, that it stands at `at`.
fn moved_keys(own: &[String], keys: &Dict, at: &[String], moved: &mut Vec<Moved>) {
    for (key, value) in keys {
        let key = std::slice::from_ref(key);
        let (own, at) = ([own, key].concat(), [at, key].concat());
        match value {
            Value::Dict(_, keys) => moved_keys(&own, keys, &at, moved),
            _ => moved.push((own, at)),
        }
    }
}

/// Puts `above` over `below`, table by table; lists are replaced as a whole.
pub(super) fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Dict(_, below), Value::Dict(_, above)) => {
            for (key, value) in above {
                match below.entry(key) {
                    Entry::Vacant(place) => {
                        place.insert(value);
                    }
                    Entry::Occupied(mut place) => merge(place.get_mut(), value),
                }
            }
        }
        (below, above) => *below = above,
    }
}
