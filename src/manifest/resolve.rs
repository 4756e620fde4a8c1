//! The expansion of a manifest into points, and all the checks that need nothing but its text.

use std::collections::{BTreeMap, BTreeSet};

use figment::value::{Dict, Value};
use serde_json::Value as Json;

use super::axes::{self, Axis};
use super::decode::{Decoder, suggestion, unknown_key};
use super::select::{SECTIONS, Selector, Target};
use super::{Layers, ManifestError, Problem, ReportSettings, ResourceSettings, Settings};
use crate::arch::{ARCHITECTURES, Architecture};
use crate::fusion::{Arity, METHODS, Method};

const TOP: [&str; 14] = [
    "name",
    "description",
    "extends",
    "seeds",
    "method-seeds",
    "dataset",
    "split",
    "model",
    "base",
    "fusion-set",
    "fusion",
    "include",
    "exclude",
    "resources",
];

/// A manifest with defaults filled in, axes expanded and everything checked.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Name of the experiment; its results lie in a folder of that name.
    pub name: String,
    /// Seeds of the base models.
    pub seeds: Vec<u64>,
    /// Seeds of the fusion's own randomness.
    pub method_seeds: Vec<u64>,
    /// The points of the base axes, in order.
    pub points: Vec<Point>,
    /// Tables to render.
    pub reports: Vec<ReportSettings>,
    /// Bounds on jobs.
    pub resources: ResourceSettings,
    /// The whole manifest with defaults, axes unexpanded.
    pub manifest: Json,
}

/// One combination of the base axes, and the fusions to run there.
#[derive(Debug, Clone)]
pub struct Point {
    /// All settings but the method's.
    pub settings: std::sync::Arc<Settings>,
    /// Coordinates on the axes that vary.
    pub axes: BTreeMap<String, Json>,
    /// Seeds that run here.
    pub seeds: Vec<u64>,
    /// Fusions, with the seeds they run for.
    pub fusions: Vec<FusionPoint>,
}

/// One fusion at one point.
#[derive(Debug, Clone)]
pub struct FusionPoint {
    /// Method and parameters.
    pub method: Method,
    /// Row label.
    pub label: Option<String>,
    /// Parameters that tell this point from others of the same method, as `fusion.<parameter>`.
    pub axes: BTreeMap<String, Json>,
    /// Seeds it runs for.
    pub seeds: Vec<u64>,
    /// Where it stands, for messages.
    entry: Vec<String>,
}

/// Expands and checks.
pub fn resolve(layers: &Layers) -> Result<Resolved, ManifestError> {
    let mut problems = Vec::new();
    let resolved = Resolver {
        layers,
        problems: &mut problems,
    }
    .run();
    // One mistake shows up at every point of the axes; it is one problem.
    let mut unique: Vec<Problem> = Vec::new();
    for problem in problems {
        if !unique.contains(&problem) {
            unique.push(problem);
        }
    }
    match resolved {
        Some(resolved) if unique.is_empty() => Ok(resolved),
        _ => Err(ManifestError { problems: unique }),
    }
}

struct Resolver<'a> {
    layers: &'a Layers,
    problems: &'a mut Vec<Problem>,
}

impl Resolver<'_> {
    fn run(&mut self) -> Option<Resolved> {
        let dict = &self.layers.dict;
        for key in dict.keys() {
            if !TOP.contains(&key.as_str()) && key != "report" {
                let mut valid = TOP.to_vec();
                valid.push("report");
                self.problems
                    .push(unknown_key(self.layers, std::slice::from_ref(key), &valid));
            }
        }
        let name = self.name();
        let seeds = self.seeds("seeds", 1);
        let method_seeds = self.seeds("method-seeds", 0);
        let resources = self.table::<ResourceSettings>("resources");
        let reports = self.reports();
        let points = self.points(&seeds);
        let fusions = self.fusions();
        let points = self.combine(points?, &fusions, &seeds);
        let resources = resources.unwrap_or_default();
        self.check_resources(&resources);
        if points.iter().all(|point| point.seeds.is_empty()) && self.problems.is_empty() {
            self.problems.push(Problem::new(
                "nothing is left to do: `[[exclude]]` drops every combination",
            ));
        }
        let manifest = complete(
            dict,
            &points,
            &fusions,
            &seeds,
            &method_seeds,
            &reports,
            &resources,
        );
        Some(Resolved {
            name: name?,
            seeds,
            method_seeds,
            points,
            reports,
            resources,
            manifest,
        })
    }

    fn name(&mut self) -> Option<String> {
        let path = ["name".to_string()];
        let hint = "for example `name = \"mnist-non-iid\"`; results are written to `results/<name>/`";
        match self.layers.dict.get("name") {
            Some(Value::String(_, name)) if is_folder_name(name) => Some(name.clone()),
            Some(_) => {
                let message = "`name` must be made of letters, digits, `-`, `_` and `.`, and begin with a letter or digit";
                self.problems
                    .push(self.layers.problem(&path, false, message).hint(hint));
                None
            }
            None => {
                let message = format!("`{}` lacks the key `name`", self.layers.path().display());
                self.problems.push(Problem::new(message).hint(hint));
                None
            }
        }
    }

    fn seeds(&mut self, key: &str, default: u64) -> Vec<u64> {
        let path = vec![key.to_string()];
        let Some(value) = self.layers.dict.get(key) else {
            return vec![default];
        };
        let single = value.deserialize::<u64>().ok().map(|seed| vec![seed]);
        let Some(seeds) = single.or_else(|| value.deserialize::<Vec<u64>>().ok()) else {
            let message = format!("`{key}` must be a list of whole numbers, 0 or more");
            self.problems.push(
                self.layers
                    .problem(&path, false, message)
                    .hint(format!("for example `{key} = [1, 2, 3]`")),
            );
            return vec![default];
        };
        if seeds.is_empty() {
            self.problems.push(
                self.layers
                    .problem(&path, false, format!("`{key}` is empty"))
                    .hint("give at least one seed"),
            );
        }
        for (i, seed) in seeds.iter().enumerate() {
            if seeds[..i].contains(seed) {
                let at = [key.to_string(), i.to_string()];
                self.problems.push(self.layers.problem(
                    &at,
                    false,
                    format!("seed {seed} stands twice in `{key}`"),
                ));
            }
        }
        seeds
    }

    fn table<T>(&mut self, key: &str) -> Option<T>
    where
        T: serde::de::DeserializeOwned + serde::Serialize + schemars::JsonSchema,
    {
        let path = vec![key.to_string()];
        let dict = self.dict_at(key)?;
        Decoder {
            layers: self.layers,
            axes: &[],
            choice: &[],
        }
        .decode(dict, &path, self.problems)
    }

    fn dict_at(&mut self, key: &str) -> Option<Dict> {
        match self.layers.dict.get(key) {
            Some(Value::Dict(_, dict)) => Some(dict.clone()),
            None => Some(Dict::new()),
            Some(_) => {
                let at = [key.to_string()];
                self.problems.push(self.layers.problem(
                    &at,
                    true,
                    format!("`{key}` must be a table, `[{key}]`"),
                ));
                None
            }
        }
    }

    /// The tables of an array of tables, with their paths.
    fn entries(&mut self, key: &str) -> Vec<(Vec<String>, Dict)> {
        let items = match self.layers.dict.get(key) {
            None => return Vec::new(),
            Some(Value::Array(_, items)) => items.clone(),
            Some(other) => vec![other.clone()],
        };
        let mut tables = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let path = vec![key.to_string(), i.to_string()];
            if let (Value::Dict(_, dict), Some(Value::Array(..))) = (item, self.layers.dict.get(key)) {
                tables.push((path, dict));
            } else {
                let message = format!("`{key}` must be a list of tables, each headed `[[{key}]]`");
                self.problems.push(self.layers.problem(&path[..1], true, message));
            }
        }
        tables
    }

    fn reports(&mut self) -> Vec<ReportSettings> {
        let entries = self.entries("report");
        if !self.layers.dict.contains_key("report") {
            return vec![ReportSettings::default()];
        }
        let mut reports = Vec::new();
        for (path, mut dict) in entries {
            // One metric may be given without brackets.
            if let Some(Value::String(tag, metric)) = dict.get("metric").cloned() {
                dict.insert("metric".into(), Value::Array(tag, vec![Value::from(metric)]));
            }
            let decoder = Decoder {
                layers: self.layers,
                axes: &[],
                choice: &[],
            };
            reports.extend(decoder.decode::<ReportSettings>(dict, &path, self.problems));
        }
        reports
    }

    fn check_resources(&mut self, resources: &ResourceSettings) {
        if let Some(Err(error)) = resources.timeout.as_deref().map(humantime::parse_duration) {
            let at = ["resources".to_string(), "timeout".to_string()];
            self.problems.push(
                self.layers
                    .problem(
                        &at,
                        false,
                        format!("`resources.timeout` is not a duration: {error}"),
                    )
                    .hint("for example `timeout = \"30m\"` or `\"1h 30m\"`"),
            );
        }
    }

    /// All combinations of the base axes, before include and exclude. `None` where a section cannot be read at all.
    fn points(&mut self, seeds: &[u64]) -> Option<Vec<Point>> {
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
        let mut points = self.expand_points(&dict, seeds, &[]);
        for (path, include) in self.entries("include") {
            let Some(first) = points.first() else { break };
            let settings = serde_json::to_value(&*first.settings).unwrap_or(Json::Null);
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
            for added in self.expand_points(&dict, &seeds, &fixed) {
                match points.iter_mut().find(|point| point.settings == added.settings) {
                    None => points.push(added),
                    Some(point) => {
                        for seed in added.seeds {
                            if !point.seeds.contains(&seed) {
                                point.seeds.push(seed);
                            }
                        }
                    }
                }
            }
        }
        Some(points)
    }

    fn expand_points(&mut self, dict: &Dict, seeds: &[u64], fixed: &[(Vec<String>, Value)]) -> Vec<Point> {
        let mut dict = dict.clone();
        for (path, value) in fixed {
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
        for choice in axes::combinations(&found) {
            let fixed = axes::fix(&dict, &found, &choice, 0);
            if let Some(settings) = self.settings(&fixed, &found, &choice) {
                points.push(Point {
                    settings: std::sync::Arc::new(settings),
                    axes: found
                        .iter()
                        .map(|axis| (axis.path.join("."), Json::Null))
                        .collect(),
                    seeds: seeds.to_vec(),
                    fusions: Vec::new(),
                });
            }
        }
        points
    }

    fn settings(&mut self, dict: &Dict, found: &[Axis], choice: &[usize]) -> Option<Settings> {
        let decoder = Decoder {
            layers: self.layers,
            axes: found,
            choice,
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
            let names: Vec<&str> = crate::data::NAMES.iter().map(|info| info.name).collect();
            if !names.contains(&dataset.name.as_str()) {
                let at = ["dataset".to_string(), "name".to_string()];
                problems.push(
                    self.layers
                        .problem(&at, false, format!("unknown data set `{}`", dataset.name))
                        .hint(suggestion(&dataset.name, &names)),
                );
            }
        }
        let split = decoder.decode::<super::SplitSettings>(section("split"), &path("split"), problems);
        let base = decoder.decode::<super::BaseSettings>(section("base"), &path("base"), problems);
        let fusion_set =
            decoder.decode::<super::FusionSetSettings>(section("fusion-set"), &path("fusion-set"), problems);
        let model = architecture(&decoder, section("model"), problems);
        let settings = Settings {
            dataset: dataset?,
            split: split?,
            model: model?,
            base: base?,
            fusion_set: fusion_set?,
        };
        self.check_settings(&settings);
        Some(settings)
    }

    /// What depends on two keys at once.
    fn check_settings(&mut self, settings: &Settings) {
        let split = &settings.split;
        let at = |path: &[&str]| path.iter().map(ToString::to_string).collect::<Vec<_>>();
        if let Some(info) = crate::data::NAMES
            .iter()
            .find(|info| info.name == settings.dataset.name)
        {
            if let Err(error) =
                crate::data::check_split(split.kind, split.parts, split.classes.as_deref(), info)
            {
                self.problems
                    .push(self.layers.problem(&at(&["split"]), false, error.to_string()));
            }
        }
        let set = &settings.fusion_set;
        if set.file.is_some() && set.indices.is_some() {
            let message = "`fusion-set` has both `file` and `indices`";
            self.problems.push(
                self.layers
                    .problem(&at(&["fusion-set", "file"]), true, message)
                    .hint("keep one of them"),
            );
        }
    }

    /// All combinations of the fusion entries' own axes.
    fn fusions(&mut self) -> Vec<FusionPoint> {
        let mut fusions: Vec<FusionPoint> = Vec::new();
        for (path, dict) in self.entries("fusion") {
            for fusion in self.fusion_entry(&path, &dict) {
                if fusions
                    .iter()
                    .any(|other| other.method == fusion.method && other.label == fusion.label)
                {
                    self.problems.push(
                        self.layers
                            .problem(
                                &path,
                                false,
                                format!(
                                    "`{}` is listed twice with the same settings",
                                    fusion.method.name()
                                ),
                            )
                            .hint("drop one of the two `[[fusion]]` entries"),
                    );
                } else if fusion.label.is_some()
                    && fusions
                        .iter()
                        .any(|other| other.label == fusion.label && other.entry != fusion.entry)
                {
                    let mut at = path.clone();
                    at.push("label".into());
                    let message = format!(
                        "two fusions have the label `{}`",
                        fusion.label.as_deref().unwrap_or_default()
                    );
                    self.problems.push(
                        self.layers
                            .problem(&at, false, message)
                            .hint("labels name rows: make them differ"),
                    );
                } else {
                    fusions.push(fusion);
                }
            }
        }
        fusions
    }

    fn fusion_entry(&mut self, path: &[String], dict: &Dict) -> Vec<FusionPoint> {
        let mut dict = dict.clone();
        let names: Vec<&str> = METHODS.iter().map(|info| info.name).collect();
        let at = |key: &str| [path, &[key.to_string()]].concat();
        let name = match dict.remove("method") {
            Some(Value::String(_, name)) => name,
            Some(_) => {
                self.problems.push(
                    self.layers
                        .problem(&at("method"), false, "`method` must be a name")
                        .hint(suggestion("", &names)),
                );
                return Vec::new();
            }
            None => {
                self.problems.push(
                    self.layers
                        .problem(path, false, "this `[[fusion]]` lacks the key `method`")
                        .hint(suggestion("", &names)),
                );
                return Vec::new();
            }
        };
        let label = match dict.remove("label") {
            None => None,
            Some(Value::String(_, label)) => Some(label),
            Some(_) => {
                self.problems
                    .push(self.layers.problem(&at("label"), false, "`label` must be text"));
                None
            }
        };
        if !names.contains(&name.as_str()) {
            let problem = self
                .layers
                .problem(&at("method"), false, format!("unknown method `{name}`"));
            self.problems.push(problem.hint(suggestion(&name, &names)));
            return Vec::new();
        }
        let mut found = Vec::new();
        axes::find(
            self.layers,
            path,
            &Value::from(dict.clone()),
            &mut found,
            self.problems,
        );
        let mut points = Vec::new();
        for choice in axes::combinations(&found) {
            let fixed = axes::fix(&dict, &found, &choice, path.len());
            let decoder = Decoder {
                layers: self.layers,
                axes: &found,
                choice: &choice,
            };
            if let Some(method) = method(&name, &decoder, fixed, path, self.problems) {
                points.push(FusionPoint {
                    method,
                    label: label.clone(),
                    axes: BTreeMap::new(),
                    seeds: Vec::new(),
                    entry: path.to_vec(),
                });
            }
        }
        points
    }

    /// Fusions at points, less what is excluded, plus what is included, checked for arity; then the coordinates.
    fn combine(&mut self, mut points: Vec<Point>, fusions: &[FusionPoint], seeds: &[u64]) -> Vec<Point> {
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
            let dropped = |seed: u64, method: Option<&Method>| {
                excludes
                    .iter()
                    .any(|e| (method.is_some() || e.is_base_only()) && e.matches(settings, seed, method))
            };
            point.seeds.retain(|&seed| !dropped(seed, None));
            for fusion in fusions {
                let seeds: Vec<u64> = point
                    .seeds
                    .iter()
                    .copied()
                    .filter(|&seed| !dropped(seed, Some(&fusion.method)))
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
                for fusion in extra {
                    match point
                        .fusions
                        .iter_mut()
                        .find(|f| f.method == fusion.method && f.label == fusion.label)
                    {
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
            self.check_arity(point);
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
            if let Target::Parameter(name) = target {
                dict.insert(name.clone(), value.clone());
            }
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

    fn check_arity(&mut self, point: &Point) {
        let parts = point.settings.split.parts;
        for fusion in &point.fusions {
            let info = fusion.method.info();
            let fits = match info.arity {
                Arity::Pair => parts == 2,
                Arity::Any => true,
            };
            if !fits {
                let name = info.name;
                let mut at = fusion.entry.clone();
                at.push("method".into());
                self.problems.push(
                    self.layers
                        .problem(&at, false, format!("`{name}` fuses exactly two models, but `split.parts` is {parts} here"))
                        .hint(format!("drop the combination with\n\n    [[exclude]]\n    parts = {parts}\n    method = \"{name}\"")),
                );
            }
        }
    }
}

/// The seeds a selector names, or all.
fn seeds_of(selector: &Selector, all: &[u64]) -> Vec<u64> {
    let named = selector.terms.iter().find(|(target, _)| *target == Target::Seed);
    let Some((_, value)) = named else {
        return all.to_vec();
    };
    value
        .deserialize::<u64>()
        .map(|seed| vec![seed])
        .or_else(|_| value.deserialize::<Vec<u64>>())
        .unwrap_or_default()
}

fn architecture(decoder: &Decoder, mut dict: Dict, problems: &mut Vec<Problem>) -> Option<Architecture> {
    let names: Vec<&str> = ARCHITECTURES.iter().map(|info| info.name).collect();
    let path = vec!["model".to_string()];
    let at = vec!["model".to_string(), "architecture".to_string()];
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
    if let "mlp" = name.as_str() {
        decoder.decode(dict, &path, problems).map(Architecture::Mlp)
    } else {
        let problem = decoder
            .layers
            .problem(&at, false, format!("unknown architecture `{name}`"));
        problems.push(problem.hint(suggestion(&name, &names)));
        None
    }
}

fn method(
    name: &str,
    decoder: &Decoder,
    dict: Dict,
    path: &[String],
    problems: &mut Vec<Problem>,
) -> Option<Method> {
    match name {
        "vanilla-averaging" => decoder.decode(dict, path, problems).map(Method::VanillaAveraging),
        "ensemble" => decoder.decode(dict, path, problems).map(Method::Ensemble),
        "logit-kd" => decoder.decode(dict, path, problems).map(Method::LogitKd),
        "otfusion" => decoder.decode(dict, path, problems).map(Method::OtFusion),
        "git-rebasin" => decoder.decode(dict, path, problems).map(Method::GitRebasin),
        "hf-linear" => decoder.decode(dict, path, problems).map(Method::HfLinear),
        "kf-linear" => decoder.decode(dict, path, problems).map(Method::KfLinear),
        "kf-gradient" => decoder.decode(dict, path, problems).map(Method::KfGradient),
        _ => None,
    }
}

/// Fills in where each point stands: every key that is an axis somewhere, and every parameter in which two fusions
/// of one method differ.
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
    let mut seen: BTreeMap<&'static str, Vec<Json>> = BTreeMap::new();
    for fusion in points.iter().flat_map(|point| &point.fusions) {
        let value = serde_json::to_value(&fusion.method).unwrap_or(Json::Null);
        let variants = seen.entry(fusion.method.name()).or_default();
        if !variants.contains(&value) {
            variants.push(value);
        }
    }
    for fusion in points.iter_mut().flat_map(|point| &mut point.fusions) {
        let value = serde_json::to_value(&fusion.method).unwrap_or(Json::Null);
        let variants = &seen[fusion.method.name()];
        for (key, value) in value.as_object().into_iter().flatten() {
            if key != "importance" && variants.iter().any(|other| other[key.as_str()] != *value) {
                fusion.axes.insert(format!("fusion.{key}"), value.clone());
            }
        }
    }
}

/// The manifest with every default written out; axes stay lists.
fn complete(
    dict: &Dict,
    points: &[Point],
    fusions: &[FusionPoint],
    seeds: &[u64],
    method_seeds: &[u64],
    reports: &[ReportSettings],
    resources: &ResourceSettings,
) -> Json {
    let mut full = points
        .first()
        .and_then(|point| serde_json::to_value(&*point.settings).ok())
        .unwrap_or_else(|| Json::Object(serde_json::Map::default()));
    let given = serde_json::to_value(dict).unwrap_or(Json::Null);
    for section in SECTIONS {
        merge(&mut full[section], &given[section]);
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
            entry
        })
        .collect();
    full["report"] = serde_json::to_value(reports).unwrap_or(Json::Null);
    full["resources"] = serde_json::to_value(resources).unwrap_or(Json::Null);
    for key in ["name", "description", "include", "exclude"] {
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

fn is_folder_name(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}
