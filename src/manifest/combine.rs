//! Which fusions run at which points and seeds: `[[exclude]]`, `[[include]]`, arity, coordinates.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use figment::value::{Dict, Value};
use serde_json::Value as Json;

use super::matching::{Facts, FusionFacts, Index};
use super::resolve::{FusionPoint, Point, Resolver};
use super::select::{Selector, Target};

/// All `[[exclude]]`: those that concern base models, too, and the others.
#[derive(Default)]
struct Excludes {
    number: usize,
    bases: Index,
    fusions: Index,
}

/// Lists of seeds that grow, each by its number: a seed stands in a list once.
#[derive(Default)]
pub(super) struct Growing(HashMap<usize, HashSet<u64>>);

impl Growing {
    /// Appends the seeds that the list lacks; whether there were any.
    pub fn extend(&mut self, number: usize, list: &mut Vec<u64>, seeds: &[u64]) -> bool {
        let before = list.len();
        let known = self
            .0
            .entry(number)
            .or_insert_with(|| list.iter().copied().collect());
        list.extend(seeds.iter().copied().filter(|seed| known.insert(*seed)));
        list.len() > before
    }
}

impl Resolver<'_> {
    /// Fusions at points, less what is excluded, plus what is included, checked for arity; then the coordinates.
    /// `included` says which `[[include]]` have added something already.
    pub(super) fn combine(
        &mut self,
        mut points: Vec<Point>,
        fusions: &[FusionPoint],
        seeds: &[u64],
        mut included: Vec<bool>,
    ) -> Vec<Point> {
        let json: Vec<Json> = points
            .iter()
            .map(|p| serde_json::to_value(&*p.settings).unwrap_or(Json::Null))
            .collect();
        let Some(first) = json.first() else { return points };
        let excludes = self.excludes(first);
        let mut by_base = Index::default();
        let mut includes = Vec::new();
        for (path, dict) in self.entries("include") {
            // Problems of these were reported when the points were made.
            let selector = Selector::parse(self.layers, &path, &dict, first, &mut Vec::new());
            includes.push(selector.map(|selector| {
                by_base.add(includes.len(), &selector.base());
                let extra = self.included_fusions(&path, &selector, fusions);
                (seeds_of(&selector, seeds), extra)
            }));
        }
        included.resize(includes.len(), false);
        for (point, settings) in points.iter_mut().zip(&json) {
            self.without_excluded(point, settings, fusions, &excludes);
            let base = Facts {
                settings,
                seed: 0,
                fusion: None,
            };
            let mut known: HashMap<String, usize> = HashMap::new();
            let mut growing = Growing::default();
            for number in by_base.all(&base) {
                let Some((seeds, extra)) = &includes[number] else {
                    continue;
                };
                if known.is_empty() {
                    known.extend(
                        point
                            .fusions
                            .iter()
                            .enumerate()
                            .map(|(i, fusion)| (fusion.identity(), i)),
                    );
                }
                for fusion in self.adjusted_fusions(&point.methods, extra) {
                    let next = point.fusions.len();
                    let position = *known.entry(fusion.identity()).or_insert(next);
                    if position == next {
                        let seeds = Vec::new();
                        point.fusions.push(FusionPoint { seeds, ..fusion });
                    }
                    included[number] |= growing.extend(position, &mut point.fusions[position].seeds, seeds);
                }
            }
            point.fusions.retain(|fusion| !fusion.seeds.is_empty());
            let of_fusions: BTreeSet<u64> = point
                .fusions
                .iter()
                .flat_map(|fusion| &fusion.seeds)
                .copied()
                .collect();
            let of_fusions: Vec<u64> = of_fusions.into_iter().collect();
            Growing::default().extend(0, &mut point.seeds, &of_fusions);
            self.check_models(point);
            self.check_networks(point);
        }
        self.warn_of_excludes(&excludes);
        for (i, _) in included.iter().enumerate().filter(|(_, added)| !**added) {
            let at = ["include".to_string(), i.to_string()];
            if self.layers.is_shared(&at) {
                continue;
            }
            let warning = self.layers.problem(&at, false, "this `[[include]]` adds nothing");
            self.warnings.push(
                warning
                    .hint("the manifest has these combinations anyway: leave it out, or correct its values"),
            );
        }
        points.retain(|point| !point.seeds.is_empty());
        coordinates(&mut points);
        points
    }

    fn excludes(&mut self, settings: &Json) -> Excludes {
        let entries = self.entries("exclude");
        let mut all = Excludes {
            number: entries.len(),
            ..Excludes::default()
        };
        for (i, (path, dict)) in entries.into_iter().enumerate() {
            let Some(selector) = Selector::parse(self.layers, &path, &dict, settings, self.problems) else {
                continue;
            };
            match selector.is_base_only() {
                true => all.bases.add(i, &selector),
                false => all.fusions.add(i, &selector),
            }
        }
        all
    }

    /// Takes the excluded seeds from the point, and gives it the listed fusions with the seeds that are left to each.
    fn without_excluded(
        &mut self,
        point: &mut Point,
        settings: &Json,
        fusions: &[FusionPoint],
        excludes: &Excludes,
    ) {
        let of_base = |seed| Facts {
            settings,
            seed,
            fusion: None,
        };
        let seeds = std::mem::take(&mut point.seeds);
        let (gone, left): (Vec<u64>, Vec<u64>) = match excludes.bases.is_empty() {
            true => (Vec::new(), seeds),
            false => seeds
                .into_iter()
                .partition(|&seed| excludes.bases.any(&of_base(seed))),
        };
        point.seeds = left;
        let gone: HashSet<u64> = gone.into_iter().collect();
        for fusion in self.adjusted_fusions(&point.methods, fusions) {
            let about = (!excludes.fusions.is_empty()).then(|| FusionFacts::of(&fusion));
            let dropped = |seed| {
                let facts = Facts {
                    fusion: about.as_ref(),
                    ..of_base(seed)
                };
                excludes.fusions.any(&facts) || gone.contains(&seed)
            };
            let seeds = point
                .listed
                .iter()
                .copied()
                .filter(|&seed| !dropped(seed))
                .collect();
            point.fusions.push(FusionPoint { seeds, ..fusion });
        }
    }

    /// What drops nothing; in an extended manifest it may be for others.
    fn warn_of_excludes(&mut self, excludes: &Excludes) {
        let mut drops = vec![false; excludes.number];
        for i in excludes.bases.met().chain(excludes.fusions.met()) {
            drops[i] = true;
        }
        for (i, _) in drops.iter().enumerate().filter(|(_, drops)| !**drops) {
            let at = ["exclude".to_string(), i.to_string()];
            if self.layers.is_shared(&at) {
                continue;
            }
            let warning = self
                .layers
                .problem(&at, false, "this `[[exclude]]` drops nothing");
            self.warnings
                .push(warning.hint("no combination has all these values: leave it out, or correct them"));
        }
    }

    /// The fusions an `[[include]]` adds: those of the method it names with its parameters set, or all.
    fn included_fusions(
        &mut self,
        path: &[String],
        selector: &Selector,
        fusions: &[FusionPoint],
    ) -> Vec<FusionPoint> {
        let method = selector
            .terms
            .iter()
            .find(|(target, _)| *target == Target::Method);
        let mut dict = Dict::new();
        for (target, value) in &selector.terms {
            match target {
                Target::Parameter(name) => dict.insert(name.clone(), value.clone()),
                Target::First => dict.insert("first".into(), value.clone()),
                Target::GroupSize => {
                    let groups = Dict::from([("size".to_string(), value.clone())]);
                    dict.insert("groups".into(), Value::from(groups))
                }
                Target::Seed | Target::Method | Target::Base(_) => None,
            };
        }
        let Some((_, name)) = method else {
            return if selector.is_base_only() {
                fusions.to_vec()
            } else {
                Vec::new()
            };
        };
        dict.insert("method".into(), name.clone());
        if dict.len() == 1 {
            let listed: Vec<_> = fusions
                .iter()
                .filter(|f| Some(f.method.name()) == name.as_str())
                .cloned()
                .collect();
            if !listed.is_empty() {
                return listed;
            }
        }
        self.fusion_entry(path, &dict, fusions.len())
    }
}

/// The seeds a selector names, or all.
pub(super) fn seeds_of(selector: &Selector, all: &[u64]) -> Vec<u64> {
    let named = selector.terms.iter().find(|(target, _)| *target == Target::Seed);
    let Some((_, value)) = named else {
        return all.to_vec();
    };
    let single = value.deserialize::<u64>().ok().map(|seed| vec![seed]);
    single.or_else(|| value.deserialize().ok()).unwrap_or_default()
}

/// Fills in where each point stands: every key that is an axis somewhere, and every parameter in which two fusions
/// of one method differ at some point; which models are fused stands there wherever it is not all of them.
fn coordinates(points: &mut [Point]) {
    let keys: BTreeSet<String> = points
        .iter()
        .flat_map(|point| point.axes.keys().cloned())
        .collect();
    let json: Vec<Json> = points
        .iter()
        .map(|p| serde_json::to_value(&*p.settings).unwrap_or(Json::Null))
        .collect();
    for (point, settings) in points.iter_mut().zip(&json) {
        for key in &keys {
            let value = key.split('.').fold(settings, |value, part| &value[part]);
            point.axes.insert(key.clone(), value.clone());
        }
    }
    // A parameter that depends on the point alone is no coordinate: the point has its own.
    let mut varying: BTreeSet<(&'static str, String)> = BTreeSet::new();
    for point in points.iter() {
        let mut firsts: BTreeMap<&'static str, Json> = BTreeMap::new();
        for fusion in &point.fusions {
            let name = fusion.method.name();
            let value = serde_json::to_value(&fusion.method).unwrap_or(Json::Null);
            // All are equal where each equals the first.
            let Some(first) = firsts.get(name) else {
                firsts.insert(name, value);
                continue;
            };
            let fields = [first, &value].into_iter().filter_map(Json::as_object);
            for key in fields.flat_map(|fields| fields.keys()) {
                if key != "importance" && first[key.as_str()] != value[key.as_str()] {
                    varying.insert((name, key.clone()));
                }
            }
        }
    }
    for fusion in points.iter_mut().flat_map(|point| &mut point.fusions) {
        let value = serde_json::to_value(&fusion.method).unwrap_or(Json::Null);
        let name = fusion.method.name();
        for (key, value) in value.as_object().into_iter().flatten() {
            if varying.contains(&(name, key.clone())) {
                fusion.axes.insert(format!("fusion.{key}"), value.clone());
            }
        }
        if let Some((key, value)) = fusion.selection.axis() {
            fusion.axes.insert(format!("fusion.{key}"), value);
        }
    }
}
