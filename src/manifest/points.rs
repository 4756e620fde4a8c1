//! The points of the base axes: sections read, one combination of values at a time.

use std::collections::HashMap;

use figment::value::{Dict, Value};
use serde_json::Value as Json;

use super::adjust::{Adjustments, Moved, merge};
use super::axes::{self, Axis, Choice};
use super::combine::{Growing, seeds_of};
use super::decode::{Decoder, suggestion};
use super::finetune::completed;
use super::limits::{Size, Work};
use super::recipe::{FINETUNE, check_recipe, finetune};
use super::resolve::{Point, Resolver};
use super::select::{SECTIONS, Selector, Target};
use super::settings::with_warmup;
use super::{ModelSetSettings, OTHER_MODELS, Problem, Settings};
use crate::arch::{ARCHITECTURES, Architecture, DecodeSettings};

/// The section of models with seeds of their own; most manifests have none.
pub(super) const MODEL_SET: &str = "model-set";

/// The points of a manifest.
pub(super) struct Points {
    /// In order, those of `[[include]]` last.
    pub all: Vec<Point>,
    /// Which `[[include]]` made points, or added seeds to one.
    pub included: Vec<bool>,
    /// What changed them.
    pub adjustments: Adjustments,
}

impl Resolver<'_> {
    /// All combinations of the base axes, before include and exclude. `None` where a section cannot be read at all.
    pub(super) fn points(&mut self, seeds: &[u64], work: &Work) -> Option<Points> {
        if !self.layers.dict.contains_key("dataset") {
            self.problems.push(
                Problem::new(format!(
                    "`{}` lacks the section `[dataset]`",
                    self.layers.path().display()
                ))
                .hint("for example `[dataset]` with `name = \"digits\"`"),
            );
        }
        let mut dict = Dict::new();
        for section in SECTIONS {
            dict.insert(section.into(), Value::from(self.dict_at(section)?));
        }
        for section in [MODEL_SET, OTHER_MODELS] {
            if self.layers.dict.contains_key(section) {
                dict.insert(section.into(), Value::from(self.dict_at(section)?));
            }
        }
        if self.layers.dict.contains_key(FINETUNE) {
            dict.insert(FINETUNE.into(), Value::from(completed(self.dict_at(FINETUNE)?)));
        }
        let mut adjustments = self.adjustments();
        let mut size = Size::default();
        let all = self.expand_points(&dict, seeds, None, &mut adjustments, work, &mut size);
        let mut points = Points {
            all,
            included: Vec::new(),
            adjustments,
        };
        self.include(&dict, seeds, &mut points, work, &mut size);
        Some(points)
    }

    /// Adds the points of every `[[include]]`, or their seeds to points that are there.
    fn include(&mut self, dict: &Dict, seeds: &[u64], points: &mut Points, work: &Work, size: &mut Size) {
        let entries = self.entries("include");
        let Some(first) = points.all.first().filter(|_| !entries.is_empty()) else {
            return;
        };
        let settings = serde_json::to_value(&*first.settings).unwrap_or(Json::Null);
        let identity = |point: &Point| serde_json::to_string(&*point.settings).unwrap_or_default();
        let mut known: HashMap<String, usize> = HashMap::new();
        for (i, point) in points.all.iter().enumerate() {
            known.entry(identity(point)).or_insert(i);
        }
        let mut growing = Growing::default();
        points.included = vec![false; entries.len()];
        for (number, (path, include)) in entries.into_iter().enumerate() {
            let Some(selector) = Selector::parse(self.layers, &path, &include, &settings, self.problems)
            else {
                continue;
            };
            let fixed: Vec<(Vec<String>, Value)> = selector
                .terms
                .iter()
                .filter_map(|(target, value)| match target {
                    Target::Base(path) => Some((path.clone(), value.clone())),
                    _ => None,
                })
                .collect();
            let seeds = seeds_of(&selector, seeds);
            for added in self.expand_points(dict, &seeds, Some(&fixed), &mut points.adjustments, work, size) {
                let next = points.all.len();
                let position = *known.entry(identity(&added)).or_insert(next);
                let models = added.settings.split.parts as u64;
                let new = if position == next {
                    points.all.push(added);
                    seeds.len()
                } else {
                    let known = &mut points.all[position].seeds;
                    let before = known.len();
                    growing.extend(position, known, &added.seeds);
                    known.len() - before
                };
                points.included[number] |= new > 0;
                let each = if selector.is_base_only() {
                    work.jobs(models)
                } else {
                    models
                };
                if self.too_many_included(&path, each.saturating_mul(new as u64), size) {
                    return;
                }
            }
        }
    }

    fn expand_points(
        &mut self,
        dict: &Dict,
        seeds: &[u64],
        include: Option<&[(Vec<String>, Value)]>,
        adjustments: &mut Adjustments,
        work: &Work,
        size: &mut Size,
    ) -> Vec<Point> {
        let mut dict = dict.clone();
        let fixed_by_include = include.is_some();
        for (path, value) in include.unwrap_or_default() {
            axes::put(&mut dict, path, value.clone());
        }
        let mut found = Vec::new();
        axes::find(
            self.layers,
            &[],
            &Value::from(dict.clone()),
            &mut found,
            self.problems,
        );
        let mut points = Vec::new();
        if self.too_many(&found, seeds.len(), &dict, work, size) {
            return points;
        }
        self.warn_of_repetitions(&found);
        for choice in axes::combinations(&found) {
            let before = self.problems.len();
            let fixed = axes::fix(&dict, &found, &choice, 0);
            let adjusted = self.adjusted(adjustments, fixed, (&found, &choice));
            if let Some(settings) = self.settings(&adjusted.dict, (&found, &choice), &adjusted.moved) {
                let sound = self.problems.len() == before;
                let settings = std::sync::Arc::new(settings);
                points.push(Point {
                    before: adjusted
                        .before
                        .map_or_else(|| settings.clone(), std::sync::Arc::new),
                    methods: adjusted.methods,
                    settings,
                    axes: found
                        .iter()
                        .map(|axis| (axis.path.join("."), Json::Null))
                        .collect(),
                    seeds: seeds.to_vec(),
                    fusions: Vec::new(),
                    sound,
                    listed: if fixed_by_include {
                        Vec::new()
                    } else {
                        seeds.to_vec()
                    },
                });
            }
        }
        points
    }

    /// Reads the sections of one point.
    pub(super) fn settings(
        &mut self,
        dict: &Dict,
        (found, choice): (&[Axis], &Choice),
        moved: &[Moved],
    ) -> Option<Settings> {
        let decoder = Decoder {
            axes: found,
            choice,
            moved,
            ..Decoder::new(self.layers)
        };
        let section = |key: &str| match dict.get(key) {
            Some(Value::Dict(_, dict)) => dict.clone(),
            _ => Dict::new(),
        };
        let path = |key: &str| vec![key.to_string()];
        let problems = &mut *self.problems;
        let dataset = if dict
            .get("dataset")
            .and_then(Value::as_dict)
            .is_some_and(|d| !d.is_empty())
        {
            decoder.decode::<super::DatasetSettings>(section("dataset"), &path("dataset"), problems)
        } else {
            None
        };
        if let Some(dataset) = &dataset {
            let names: Vec<&str> = crate::data::NAMES.iter().map(|known| known.name).collect();
            if !dataset.is_path() && !names.contains(&dataset.name.as_str()) {
                let at = ["dataset".to_string(), "name".to_string()];
                problems.push(
                    self.layers
                        .problem(
                            &decoder.with_element(&at),
                            false,
                            format!("unknown data set `{}`", dataset.name),
                        )
                        .hint(suggestion(&dataset.name, &names)),
                );
            }
        }
        let before = problems.len();
        let split = decoder.decode::<super::SplitSettings>(section("split"), &path("split"), problems);
        let split_is_sound = problems.len() == before;
        let base = with_warmup(section("base"));
        let base = decoder.decode::<super::BaseSettings>(base, &path("base"), problems);
        if let Some(base) = base.as_ref().filter(|_| problems.len() == before) {
            check_recipe(
                &decoder,
                "base",
                (&base.optimizer, &base.schedule, &base.augment),
                problems,
            );
        }
        let fusion_set =
            decoder.decode::<super::FusionSetSettings>(section("fusion-set"), &path("fusion-set"), problems);
        let before = problems.len();
        let model = architecture(&decoder, "model", section("model"), problems);
        let other_models = match dict.contains_key(OTHER_MODELS) {
            true => {
                let mut keys = Value::from(section("model"));
                merge(&mut keys, Value::from(section(OTHER_MODELS)));
                let keys = keys.into_dict().unwrap_or_default();
                Some(architecture(&decoder, OTHER_MODELS, keys, problems)?)
            }
            false => None,
        };
        let model_is_sound = problems.len() == before;
        let model_set = match dict.contains_key(MODEL_SET) {
            true => {
                Some(decoder.decode::<ModelSetSettings>(section(MODEL_SET), &path(MODEL_SET), problems)?)
            }
            false => None,
        };
        let finetune = match dict.contains_key(FINETUNE) {
            true => Some(finetune(&decoder, section(FINETUNE), problems)?),
            false => None,
        };
        let mut split = split?;
        if let (Some(set), true) = (&model_set, split_is_sound) {
            let parts = section("split").contains_key("parts").then_some(split.parts);
            // An empty list is a problem of its own.
            split.parts = set.seeds.len().max(1);
            self.check_model_set(set, &split, parts, base.as_ref(), &decoder);
        }
        let settings = Settings {
            dataset: dataset?,
            split,
            model_set,
            model: model?,
            other_models,
            base: base?,
            fusion_set: fusion_set?,
            finetune,
        };
        // What stands in for a key that could not be read is not worth a look.
        if split_is_sound {
            self.check_split(&settings, &decoder);
        }
        if model_is_sound {
            self.check_size(&settings, &decoder);
        }
        self.check_fusion_set(&settings);
        self.warn_of_training(&settings, &decoder);
        Some(settings)
    }
}

fn architecture(
    decoder: &Decoder,
    section: &str,
    mut dict: Dict,
    problems: &mut Vec<Problem>,
) -> Option<Architecture> {
    let names: Vec<&str> = ARCHITECTURES.iter().map(|info| info.name).collect();
    let path = vec![section.to_string()];
    let at = vec![section.to_string(), "architecture".to_string()];
    let name = match dict.remove("architecture") {
        None => "mlp".to_string(),
        Some(Value::String(_, name)) => name,
        Some(_) => {
            problems.push(
                decoder
                    .layers
                    .problem(&at, false, "`model.architecture` must be a name"),
            );
            return None;
        }
    };
    let Some(info) = ARCHITECTURES.iter().find(|info| info.name == name) else {
        let message = format!("unknown architecture `{name}`");
        let problem = decoder.layers.problem(&decoder.with_element(&at), false, message);
        problems.push(problem.hint(suggestion(&name, &names)));
        return None;
    };
    Architecture::decode(
        info,
        FromManifest {
            decoder,
            dict,
            path: &path,
            problems,
        },
    )
}

/// Decodes a section of the manifest.
struct FromManifest<'a, 'b> {
    decoder: &'a Decoder<'b>,
    dict: Dict,
    path: &'a [String],
    problems: &'a mut Vec<Problem>,
}

impl DecodeSettings for FromManifest<'_, '_> {
    fn settings<T: serde::de::DeserializeOwned + serde::Serialize + schemars::JsonSchema>(self) -> Option<T> {
        self.decoder.decode(self.dict, self.path, self.problems)
    }
}
