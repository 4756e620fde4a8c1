//! The expansion of a manifest into points, and all the checks that need nothing but its text.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use figment::value::{Dict, Value};
use serde_json::Value as Json;

use super::adjust::MethodKeys;
use super::axes;
use super::choose::with_baselines;
use super::complete::complete;
use super::decode::{Decoder, suggestion, unknown_key};
use super::diagnostic::in_order;
use super::groups::{Baseline, Selection};
use super::limits::Work;
use super::reference::TOP_KEYS;
use super::slurm::SlurmSettings;
use super::{Layers, ManifestError, NotifySettings, Problem, ReportSettings, ResourceSettings, Settings};
use crate::data::Sets;
use crate::fusion::{FusionMethod, METHODS, Method, ParameterReader};

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
    /// How they are submitted to Slurm.
    pub slurm: SlurmSettings,
    /// Who hears of the end.
    pub notify: NotifySettings,
    /// The whole manifest with defaults, axes unexpanded.
    pub manifest: Json,
    /// What can be done and surely is not meant, in the order of the text.
    pub warnings: Vec<Problem>,
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
    /// The settings without what `[adjust]` changes.
    pub(super) before: std::sync::Arc<Settings>,
    /// Parameters that `[adjust]` gives the fusions here.
    pub(super) methods: Vec<MethodKeys>,
    /// Whether all of it could be read; what stands in for the rest is not worth further checks.
    pub(super) sound: bool,
    /// Seeds for which all listed fusions run; at others only those that an `[[include]]` names do.
    pub(super) listed: Vec<u64>,
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
    /// Which of the point's models it takes.
    pub selection: Selection,
    /// What goes along with it for each group.
    pub(super) with: Vec<Baseline>,
    /// Where it stands, for messages.
    pub(super) entry: Vec<String>,
    /// Its parameters as given.
    pub(super) given: Dict,
    /// Where it says how many models it takes; `None` where another fusion, which says so itself, brought it along.
    pub(super) size_at: Option<Vec<String>>,
}

impl FusionPoint {
    /// The path of one of its keys, for messages.
    pub fn key(&self, key: &str) -> Vec<String> {
        [self.entry.as_slice(), &[key.to_string()]].concat()
    }

    /// What its jobs depend on: two of the same identity are the same jobs.
    pub(super) fn identity(&self) -> String {
        serde_json::to_string(&(&self.method, self.selection.axis())).unwrap_or_default()
    }
}

/// Expands and checks, as far as can be done without a look at data.
pub fn resolve(layers: &Layers) -> Result<Resolved, ManifestError> {
    match resolve_partly(layers, &Sets::unseen()) {
        (Some(resolved), problems) if problems.is_empty() => Ok(resolved),
        (_, problems) => Err(ManifestError { problems }),
    }
}

/// Expands and checks; after a problem goes on with what is sound, so that later checks can add to the same report.
/// `sets` tells shapes and counts of the data.
pub fn resolve_partly(layers: &Layers, sets: &Sets) -> (Option<Resolved>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut resolved = Resolver {
        layers,
        sets,
        problems: &mut problems,
        warnings: layers.warnings.clone(),
        adjusted_methods: BTreeSet::new(),
    }
    .run();
    if let Some(resolved) = &mut resolved {
        resolved.points.retain(|point| point.sound);
        // Of points that are missing, much would seem to have no effect.
        if !problems.is_empty() {
            resolved.warnings = Vec::new();
        }
    }
    // One mistake shows up at every point of the axes; it is one problem.
    (resolved, in_order(problems))
}

pub(super) struct Resolver<'a> {
    pub layers: &'a Layers,
    pub sets: &'a Sets,
    pub problems: &'a mut Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// Where adjustments of methods stand that changed some fusion.
    pub adjusted_methods: BTreeSet<Vec<String>>,
}

impl Resolver<'_> {
    fn run(&mut self) -> Option<Resolved> {
        let dict = &self.layers.dict;
        for key in dict.keys() {
            if !TOP_KEYS.contains(&key.as_str()) {
                self.problems
                    .push(unknown_key(self.layers, std::slice::from_ref(key), &TOP_KEYS));
            }
        }
        let name = self.name();
        let seeds = self.seeds("seeds", 1);
        let method_seeds = self.seeds("method-seeds", 0);
        let resources = self.table::<ResourceSettings>("resources");
        let slurm = self.table::<SlurmSettings>("slurm").unwrap_or_default();
        self.check_slurm(&slurm);
        let notify = self.table::<NotifySettings>("notify").unwrap_or_default();
        let reports = self.reports();
        let fusions = self.fusions();
        let points = self.points(&seeds, &Work::of(&fusions, &method_seeds))?;
        let adjustments = points.adjustments;
        let points = self.combine(points.all, &fusions, &seeds, points.included);
        self.warn_of_adjustments(&adjustments, &fusions);
        let resources = resources.unwrap_or_default();
        self.check_resources(&resources);
        if points.iter().all(|point| point.seeds.is_empty()) && self.problems.is_empty() {
            self.problems.push(Problem::new(
                "nothing is left to do: `[[exclude]]` drops every combination",
            ));
        }
        let mut manifest = complete(
            dict,
            &points,
            &fusions,
            (&seeds, &method_seeds),
            &reports,
            &resources,
            adjustments.set(["base", "epochs"]),
        );
        if slurm != SlurmSettings::default() {
            manifest["slurm"] = serde_json::to_value(&slurm).unwrap_or(Json::Null);
        }
        Some(Resolved {
            name: name?,
            seeds,
            method_seeds,
            points,
            reports,
            resources,
            slurm,
            notify,
            manifest,
            warnings: in_order(std::mem::take(&mut self.warnings)),
        })
    }

    fn table<T>(&mut self, key: &str) -> Option<T>
    where
        T: serde::de::DeserializeOwned + serde::Serialize + schemars::JsonSchema,
    {
        let path = vec![key.to_string()];
        let dict = self.dict_at(key)?;
        Decoder::new(self.layers).decode(dict, &path, self.problems)
    }

    pub(super) fn dict_at(&mut self, key: &str) -> Option<Dict> {
        match self.layers.dict.get(key) {
            Some(Value::Dict(_, dict)) => Some(dict.clone()),
            None => Some(Dict::new()),
            Some(_) => {
                let at = [key.to_string()];
                let problem = self
                    .layers
                    .problem(&at, true, format!("`{key}` must be a table, `[{key}]`"));
                let hint = match self.layers.dict.get(key).and_then(Value::as_str) {
                    Some(name) if key == "dataset" => {
                        Some(format!("for example `dataset = {{ name = \"{name}\" }}`"))
                    }
                    _ => None,
                };
                self.problems.push(Problem { hint, ..problem });
                None
            }
        }
    }

    /// The tables of an array of tables, with their paths.
    pub(super) fn entries(&mut self, key: &str) -> Vec<(Vec<String>, Dict)> {
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

    /// All combinations of the fusion entries' own axes.
    fn fusions(&mut self) -> Vec<FusionPoint> {
        let mut fusions: Vec<FusionPoint> = Vec::new();
        let mut known = HashSet::new();
        let mut labels: HashMap<String, Vec<String>> = HashMap::new();
        for (path, dict) in self.entries("fusion") {
            for fusion in self.fusion_entry(&path, &dict, fusions.len()) {
                // Labels are no part of a job's identity: the second would be the same job and vanish from the table.
                if !known.insert(fusion.identity()) {
                    let at = [path.as_slice(), &["method".to_string()]].concat();
                    let message = format!(
                        "`{}` is listed twice with the same settings",
                        fusion.method.name()
                    );
                    self.problems.push(
                        self.layers
                            .problem(&at, false, message)
                            .hint("drop one of the two"),
                    );
                } else if let Some(label) = &fusion.label
                    && *labels
                        .entry(label.clone())
                        .or_insert_with(|| fusion.entry.clone())
                        != fusion.entry
                {
                    let mut at = path.clone();
                    at.push("label".into());
                    let message = format!("two fusions have the label `{label}`");
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
        with_baselines(&fusions)
    }

    /// The fusions of one entry; `before` is how many others there are.
    pub(super) fn fusion_entry(&mut self, path: &[String], dict: &Dict, before: usize) -> Vec<FusionPoint> {
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
        if self.too_many_fusions(path, &found, before) {
            return points;
        }
        for choice in axes::combinations(&found) {
            let mut fixed = axes::fix(&dict, &found, &choice, path.len());
            let decoder = Decoder {
                axes: &found,
                choice: &choice,
                ..Decoder::new(self.layers)
            };
            let chosen = self.chosen(&decoder, &mut fixed, path);
            let method = method(&name, &decoder, fixed.clone(), path, self.problems);
            if let (Some(chosen), Some(method)) = (chosen, method) {
                points.push(FusionPoint {
                    method,
                    label: label.clone(),
                    axes: BTreeMap::new(),
                    seeds: Vec::new(),
                    selection: chosen.selection,
                    with: chosen.with,
                    entry: path.to_vec(),
                    given: fixed,
                    size_at: Some(chosen.size_at),
                });
            }
        }
        points
    }
}

pub(super) fn method(
    name: &str,
    decoder: &Decoder,
    dict: Dict,
    path: &[String],
    problems: &mut Vec<Problem>,
) -> Option<Method> {
    struct Reader<'a, 'b> {
        decoder: &'a Decoder<'b>,
        dict: Dict,
        path: &'a [String],
        problems: &'a mut Vec<Problem>,
    }
    impl ParameterReader for Reader<'_, '_> {
        fn read<M: FusionMethod>(self) -> Option<M> {
            self.decoder.decode(self.dict, self.path, self.problems)
        }
    }
    let reader = Reader {
        decoder,
        dict,
        path,
        problems,
    };
    Method::read(name, reader)
}
