//! Many selectors at once: those that hold at a combination are looked up, not tried one by one.
//!
//! Selectors of the same keys share a table from the keys' values to the selectors. So a combination costs as much as
//! there are different sets of keys, however many selectors there are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use figment::value::Value;
use serde_json::Value as Json;

use super::groups::Selection;
use super::resolve::FusionPoint;
use super::select::{Selector, Target};

/// Most entries of one selector; one that lists more values is tried by itself.
const MAX_ENTRIES: usize = 64;

/// What selectors ask about.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    /// The point's settings.
    pub settings: &'a Json,
    /// Seed of the base models.
    pub seed: u64,
    /// Absent for base models.
    pub fusion: Option<&'a FusionFacts>,
}

/// What they ask about a fusion.
pub(super) struct FusionFacts {
    name: &'static str,
    parameters: Json,
    selection: Selection,
}

impl FusionFacts {
    pub fn of(fusion: &FusionPoint) -> Self {
        Self {
            name: fusion.method.name(),
            parameters: serde_json::to_value(&fusion.method).unwrap_or(Json::Null),
            selection: fusion.selection,
        }
    }
}

impl Facts<'_> {
    /// The value of a key, in a form in which equal values are equal texts.
    fn value(&self, target: &Target) -> String {
        match target {
            Target::Seed => comparable(&Json::from(self.seed)),
            Target::Base(path) => {
                comparable(path.iter().fold(self.settings, |value, key| &value[key.as_str()]))
            }
            Target::Method => comparable(&self.fusion.map_or(Json::Null, |fusion| Json::from(fusion.name))),
            Target::Parameter(name) => comparable(
                self.fusion
                    .map_or(&Json::Null, |fusion| &fusion.parameters[name.as_str()]),
            ),
            Target::First => comparable(&match self.fusion.map(|fusion| fusion.selection) {
                Some(Selection::First(n)) => Json::from(n),
                _ => Json::Null,
            }),
            Target::GroupSize => comparable(&match self.fusion.map(|fusion| fusion.selection) {
                Some(Selection::Groups(groups)) => Json::from(groups.size),
                _ => Json::Null,
            }),
        }
    }
}

/// 4 and 4.0 are the same number.
pub(super) fn comparable(value: &Json) -> String {
    value
        .as_f64()
        .map_or_else(|| value.to_string(), |number| format!("{:x}", number.to_bits()))
}

/// The values that fulfil a term: the one given, and where that is a list any of its entries; nothing, where that is how
/// one of them is written.
fn accepted(wanted: &Value, is_left_out: bool) -> Vec<String> {
    let wanted = serde_json::to_value(wanted).unwrap_or(Json::Null);
    let entries = wanted.as_array().into_iter().flatten();
    let nothing = is_left_out.then_some(&Json::Null);
    let all = std::iter::once(&wanted).chain(entries).chain(nothing);
    all.map(comparable).collect()
}

/// Selectors by their keys and values.
#[derive(Debug, Default)]
pub(super) struct Index {
    shapes: Vec<Shape>,
    by_targets: HashMap<Vec<Target>, usize>,
}

/// The selectors of the same keys.
#[derive(Debug)]
struct Shape {
    targets: Vec<Target>,
    by_values: HashMap<Vec<String>, Entry>,
    /// Those of very many values: what fulfils each key.
    long: Vec<(Vec<Vec<String>>, Entry)>,
}

/// Selectors that hold at the same combinations.
#[derive(Debug, Default)]
struct Entry {
    selectors: Vec<usize>,
    met: AtomicBool,
}

impl Index {
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// Adds a selector under a number of the caller's.
    pub fn add(&mut self, number: usize, selector: &Selector) {
        let mut terms: Vec<(&Target, Vec<String>)> = selector
            .terms
            .iter()
            .map(|(target, wanted)| (target, accepted(wanted, selector.left_out.contains(target))))
            .collect();
        terms.sort();
        let targets: Vec<Target> = terms.iter().map(|(target, _)| (*target).clone()).collect();
        let values: Vec<Vec<String>> = terms.into_iter().map(|(_, values)| values).collect();
        let next = self.shapes.len();
        let position = *self.by_targets.entry(targets.clone()).or_insert(next);
        if position == next {
            self.shapes.push(Shape {
                targets,
                by_values: HashMap::new(),
                long: Vec::new(),
            });
        }
        let shape = &mut self.shapes[position];
        let entries = values.iter().map(Vec::len).try_fold(1, usize::checked_mul);
        if entries.is_none_or(|entries| entries > MAX_ENTRIES) {
            let entry = Entry {
                selectors: vec![number],
                met: AtomicBool::new(false),
            };
            shape.long.push((values, entry));
            return;
        }
        let combinations = values.into_iter().fold(vec![Vec::new()], |all, values| {
            let longer = |start: Vec<String>| {
                let with = move |value: &String| [start.as_slice(), std::slice::from_ref(value)].concat();
                values.iter().map(with).collect::<Vec<_>>()
            };
            all.into_iter().flat_map(longer).collect()
        });
        for values in combinations {
            let entry = shape.by_values.entry(values).or_default();
            // A list with a value twice.
            if entry.selectors.last() != Some(&number) {
                entry.selectors.push(number);
            }
        }
    }

    /// Calls `found` with what holds.
    fn look_up<'a>(&'a self, facts: &Facts, mut found: impl FnMut(&'a Entry)) {
        for shape in &self.shapes {
            let values: Vec<String> = shape.targets.iter().map(|target| facts.value(target)).collect();
            let entry = shape.by_values.get(&values);
            let fulfilled = |accepted: &[Vec<String>]| {
                accepted
                    .iter()
                    .zip(&values)
                    .all(|(accepted, value)| accepted.contains(value))
            };
            let long = shape.long.iter().filter(|(accepted, _)| fulfilled(accepted));
            for entry in entry.into_iter().chain(long.map(|(_, entry)| entry)) {
                entry.met.store(true, Ordering::Relaxed);
                found(entry);
            }
        }
    }

    /// Whether any selector holds.
    pub fn any(&self, facts: &Facts) -> bool {
        let mut any = false;
        self.look_up(facts, |_| any = true);
        any
    }

    /// The numbers of those that hold, ascending.
    pub fn all(&self, facts: &Facts) -> Vec<usize> {
        let mut all = Vec::new();
        self.look_up(facts, |entry| all.extend_from_slice(&entry.selectors));
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The numbers of those that held anywhere.
    pub fn met(&self) -> impl Iterator<Item = usize> {
        self.shapes.iter().flat_map(|shape| {
            // The order does not matter: callers mark them.
            #[allow(clippy::iter_over_hash_type)]
            let listed = shape.by_values.values();
            let long = shape.long.iter().map(|(_, entry)| entry);
            let met = listed
                .chain(long)
                .filter(|entry| entry.met.load(Ordering::Relaxed));
            met.flat_map(|entry| entry.selectors.iter().copied())
        })
    }
}
