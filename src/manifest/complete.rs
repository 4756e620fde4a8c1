//! A manifest with every default written out.

use figment::value::Dict;
use serde_json::Value as Json;

use super::groups::Selection;
use super::recipe::FINETUNE;
use super::resolve::{FusionPoint, Point};
use super::select::SECTIONS;
use super::{OTHER_MODELS, ReportSettings, ResourceSettings};

/// The manifest with every default written out; axes stay lists.
pub(super) fn complete(
    dict: &Dict,
    points: &[Point],
    fusions: &[FusionPoint],
    (seeds, method_seeds): (&[u64], &[u64]),
    reports: &[ReportSettings],
    resources: &ResourceSettings,
    adjusts_epochs: bool,
) -> Json {
    let mut full = points
        .first()
        .and_then(|point| serde_json::to_value(&*point.before).ok())
        .unwrap_or_else(|| Json::Object(serde_json::Map::default()));
    let given = serde_json::to_value(dict).unwrap_or(Json::Null);
    for section in SECTIONS {
        merge(&mut full[section], &given[section]);
    }
    // It follows from the epochs, which differ from point to point.
    if given["base"]["warmup-epochs"].is_null()
        && (given["base"]["epochs"].is_array() || adjusts_epochs)
        && let Some(base) = full["base"].as_object_mut()
    {
        base.remove("warmup-epochs");
    }
    if !given["model-set"].is_null() {
        merge(&mut full["model-set"], &given["model-set"]);
        // Their number differs along an axis of sets; where it is not given, it follows.
        if let (true, Some(split)) = (given["split"]["parts"].is_null(), full["split"].as_object_mut()) {
            split.remove("parts");
        }
    }
    for section in [FINETUNE, OTHER_MODELS] {
        if !given[section].is_null() {
            merge(&mut full[section], &given[section]);
        }
    }
    full["seeds"] = Json::from(seeds);
    full["method-seeds"] = Json::from(method_seeds);
    full["fusion"] = fusions
        .iter()
        .map(|fusion| {
            let mut entry = serde_json::to_value(&fusion.method).unwrap_or(Json::Null);
            if let Some(label) = &fusion.label {
                entry["label"] = Json::from(label.as_str());
            }
            if let Some((key, value)) = fusion.selection.axis() {
                entry[key] = value;
            }
            if let Selection::Groups(_) = fusion.selection {
                // Those of the list stand there as fusions of their own.
                entry["groups"]["with"] = Json::Array(Vec::new());
            }
            entry
        })
        .collect();
    full["report"] = serde_json::to_value(reports).unwrap_or(Json::Null);
    full["resources"] = serde_json::to_value(resources).unwrap_or(Json::Null);
    for key in ["name", "description", "adjust", "include", "exclude", "notify"] {
        if !given[key].is_null() {
            full[key] = given[key].clone();
        }
    }
    full
}

fn merge(below: &mut Json, above: &Json) {
    match (below, above) {
        (Json::Object(below), Json::Object(above)) => {
            for (key, value) in above {
                merge(below.entry(key.clone()).or_insert(Json::Null), value);
            }
        }
        (_, Json::Null) => {}
        (below, above) => *below = above.clone(),
    }
}
