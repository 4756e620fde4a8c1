//! Which fusions run at which points and seeds: `[[exclude]]`, `[[include]]`, arity, coordinates.

use std::collections::{BTreeMap, BTreeSet};

use figment::value::{Dict, Value};
use serde_json::Value as Json;

use super::resolve::{FusionPoint, Point, Resolver};
use super::select::{Selector, Target};

impl Resolver<'_> {
    /// Fusions at points, less what is excluded, plus what is included, checked for arity; then the coordinates.
    pub(super) fn combine(
        &mut self,
        mut points: Vec<Point>,
        fusions: &[FusionPoint],
        seeds: &[u64],
    ) -> Vec<Point> {
        let json: Vec<Json> = points
            .iter()
            .map(|p| serde_json::to_value(&*p.settings).unwrap_or(Json::Null))
            .collect();
        let Some(first) = json.first() else { return points };
        let mut excludes = Vec::new();
        for (path, dict) in self.entries("exclude") {
            excludes.extend(Selector::parse(self.layers, &path, &dict, first, self.problems));
        }
        let mut includes = Vec::new();
        for (path, dict) in self.entries("include") {
            // Problems of these were reported when the points were made.
            if let Some(selector) = Selector::parse(self.layers, &path, &dict, first, &mut Vec::new()) {
                let extra = self.included_fusions(&path, &selector, fusions);
                includes.push((selector, extra));
            }
        }
        for (point, settings) in points.iter_mut().zip(&json) {
            let dropped = |seed: u64, fusion: Option<&FusionPoint>| {
                excludes
                    .iter()
                    .any(|e| (fusion.is_some() || e.is_base_only()) && e.matches(settings, seed, fusion))
            };
            point.seeds.retain(|&seed| !dropped(seed, None));
            for fusion in &self.adjusted_fusions(&point.methods, fusions) {
                let seeds: Vec<u64> = point
                    .listed
                    .iter()
                    .copied()
                    .filter(|&seed| !dropped(seed, Some(fusion)))
                    .collect();
                point.fusions.push(FusionPoint {
                    seeds,
                    ..fusion.clone()
                });
            }
            for (selector, extra) in &includes {
                let base = Selector {
                    terms: selector
                        .terms
                        .iter()
                        .filter(|(t, _)| matches!(t, Target::Base(_)))
                        .cloned()
                        .collect(),
                };
                if !base.matches(settings, 0, None) {
                    continue;
                }
                let seeds = seeds_of(selector, seeds);
                for fusion in &self.adjusted_fusions(&point.methods, extra) {
                    match point.fusions.iter_mut().find(|f| f.is_same(fusion)) {
                        None => point.fusions.push(FusionPoint {
                            seeds: seeds.clone(),
                            ..fusion.clone()
                        }),
                        Some(known) => {
                            known.seeds.extend(
                                seeds
                                    .iter()
                                    .filter(|s| !known.seeds.contains(s))
                                    .copied()
                                    .collect::<Vec<_>>(),
                            );
                        }
                    }
                }
            }
            point.fusions.retain(|fusion| !fusion.seeds.is_empty());
            for seed in point
                .fusions
                .iter()
                .flat_map(|fusion| fusion.seeds.clone())
                .collect::<BTreeSet<_>>()
            {
                if !point.seeds.contains(&seed) {
                    point.seeds.push(seed);
                }
            }
            self.check_models(point);
            self.check_networks(point);
        }
        points.retain(|point| !point.seeds.is_empty());
        coordinates(&mut points);
        points
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
        self.fusion_entry(path, &dict)
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
        let mut seen: BTreeMap<&'static str, Vec<Json>> = BTreeMap::new();
        for fusion in &point.fusions {
            let value = serde_json::to_value(&fusion.method).unwrap_or(Json::Null);
            let variants = seen.entry(fusion.method.name()).or_default();
            if !variants.contains(&value) {
                variants.push(value);
            }
        }
        for (name, variants) in seen.iter().filter(|(_, variants)| variants.len() > 1) {
            let keys = variants
                .iter()
                .flat_map(|variant| variant.as_object().into_iter().flatten());
            for (key, value) in keys {
                if key != "importance" && variants.iter().any(|other| other[key.as_str()] != *value) {
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
