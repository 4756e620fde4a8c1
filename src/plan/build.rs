//! The expansion of points and seeds into jobs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::key::{Identity, key};
use super::{Base, Cell, Dependency, Fuse, JobSpec, Task, draw};
use crate::manifest::{FusionPoint, ModelOrder, Point, Problem, Resolved, Selection, Settings};
use crate::result::{Input, canonical_json, safe_name};

/// One file to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// Where it is.
    pub path: PathBuf,
    /// blake3 of its content.
    pub hash: String,
}

/// What the plan has to know about the outside: content hashes, gathered before.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Hash of each data set, by [`crate::data::DatasetSettings::id`].
    pub datasets: BTreeMap<String, String>,
    /// Files of each filled-in `base.models` pattern, in model order.
    pub models: BTreeMap<String, Vec<ModelFile>>,
    /// Hash of each filled-in `fusion-set.file`.
    pub fusion_sets: BTreeMap<String, String>,
    /// Paths whose braces are those of names that exist.
    pub literal: BTreeSet<String>,
    /// What is done otherwise than the manifest may mean.
    pub warnings: Vec<Problem>,
}

impl Inputs {
    /// Fills `{parts}`, `{seed}` and `{kind}` into paths, one a line; names that have braces themselves stay as they are.
    pub fn fill(&self, paths: &str, settings: &Settings, seed: u64) -> String {
        let line = |path: &str| match self.literal.contains(path) {
            true => path.to_string(),
            false => fill(path, settings, seed),
        };
        paths.lines().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Jobs in manifest order, each after those it needs.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The jobs.
    pub jobs: Vec<Arc<JobSpec>>,
    /// For each job the positions of those it needs.
    pub needs: Vec<Vec<usize>>,
}

impl Plan {
    /// For each job the positions of those that need it.
    pub fn dependents(&self) -> Vec<Vec<usize>> {
        let mut dependents = vec![Vec::new(); self.jobs.len()];
        for (job, needs) in self.needs.iter().enumerate() {
            for &need in needs {
                dependents[need].push(job);
            }
        }
        dependents
    }
}

/// Fills `{parts}`, `{seed}` and `{kind}` into a path.
fn fill(pattern: &str, settings: &Settings, seed: u64) -> String {
    let kind = serde_json::to_value(settings.split.kind).unwrap_or(Value::Null);
    pattern
        .replace("{parts}", &settings.split.parts.to_string())
        .replace("{seed}", &seed.to_string())
        .replace("{kind}", kind.as_str().unwrap_or_default())
}

/// Two jobs have the same name.
#[derive(Debug, thiserror::Error)]
#[error("two jobs of the plan have the name `{name}`, and with it the same files")]
pub struct DuplicateName {
    /// The name.
    pub name: String,
}

/// Most bytes of a job's name: file systems take 255, and endings and temporary names need some.
const LONGEST_NAME: usize = 167;
/// Digits of the key at the end of a job's name.
const KEY_DIGITS: usize = 16;

/// Makes the jobs of a resolved manifest. `device` is the kind of device they will run on, `cpu` or `cuda`.
///
/// # Errors
/// [`DuplicateName`], for two keys with the same readable part and the same first digits.
pub fn build(manifest: &Resolved, inputs: &Inputs, device: &str) -> Result<Plan, DuplicateName> {
    let mut builder = Builder {
        inputs,
        device,
        plan: Plan::default(),
        known: HashMap::new(),
        settings: HashMap::new(),
    };
    for point in &manifest.points {
        let seeds: Vec<HashSet<u64>> = point
            .fusions
            .iter()
            .map(|fusion| fusion.seeds.iter().copied().collect())
            .collect();
        for &seed in &point.seeds {
            let mut made = Made {
                bases: builder.bases(point, seed),
                fusions: Vec::new(),
            };
            let fusions = point.fusions.iter().zip(&seeds);
            for (fusion, _) in fusions.filter(|(_, seeds)| seeds.contains(&seed)) {
                for pick in picks(fusion, &point.settings) {
                    // A method without randomness would give the same again.
                    let method_seeds = match fusion.method.is_random() {
                        true => &manifest.method_seeds[..],
                        false => &[0],
                    };
                    for &method_seed in method_seeds {
                        let fused = builder.fuse(point, fusion, (seed, method_seed), &pick, &made.bases);
                        made.fusions.push(fused);
                    }
                }
            }
            if let Some(finetune) = &point.settings.finetune {
                builder.finetune(point, finetune, &made);
            }
        }
    }
    check_names(builder.plan.jobs.iter().map(|job| job.name.as_str()))?;
    Ok(builder.plan)
}

fn check_names<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), DuplicateName> {
    let mut known = HashSet::with_capacity(names.size_hint().0);
    let twice = names.find(|name| !known.insert(*name));
    twice.map_or(Ok(()), |name| Err(DuplicateName { name: name.into() }))
}

/// The models of one fusion.
struct Pick {
    /// Their positions among the base models.
    models: Vec<usize>,
    /// How many of them are fused, where their accuracy decides which.
    first: Option<usize>,
    /// Whether they are one group of several.
    is_group: bool,
}

fn picks(fusion: &FusionPoint, settings: &Settings) -> Vec<Pick> {
    let parts = settings.split.parts;
    let pick = |models: Vec<usize>| Pick {
        models,
        first: None,
        is_group: false,
    };
    match fusion.selection {
        Selection::All => vec![pick((0..parts).collect())],
        Selection::First(n) => match settings.base.order {
            ModelOrder::TestAccuracy if n < parts => vec![Pick {
                first: Some(n),
                ..pick((0..parts).collect())
            }],
            ModelOrder::Index | ModelOrder::TestAccuracy => vec![pick((0..n).collect())],
        },
        Selection::Groups(groups) => draw(&groups, parts)
            .into_iter()
            .map(|group| Pick {
                is_group: true,
                ..pick(group)
            })
            .collect(),
    }
}

pub(super) struct Builder<'a> {
    inputs: &'a Inputs,
    device: &'a str,
    pub(super) plan: Plan,
    known: HashMap<String, usize>,
    settings: HashMap<(usize, TaskId), (Arc<Settings>, Arc<str>)>,
}

/// What the settings of a job depend on, besides those of its point.
type TaskId = (
    std::mem::Discriminant<Task>,
    bool,
    Option<(String, Option<usize>)>,
);

impl Builder<'_> {
    fn bases(&mut self, point: &Point, seed: u64) -> Vec<usize> {
        let settings = &point.settings;
        let files = settings.base.models.as_deref().map(|pattern| {
            self.inputs
                .models
                .get(&self.inputs.fill(pattern, settings, seed))
                .cloned()
                .unwrap_or_default()
        });
        let dataset = self.dataset(settings);
        let mut axes = point.axes.clone();
        axes.retain(|key, _| {
            !["fusion-set.", "finetune."]
                .iter()
                .any(|section| key.starts_with(section))
        });
        (0..settings.split.parts)
            .map(|model| {
                let mut inputs = vec![dataset.clone()];
                let task = match &files {
                    None => Task::Train(Base { model, file: None }),
                    Some(files) => {
                        let file = files.get(model);
                        inputs.push(Input {
                            role: format!("model_{model}"),
                            hash: file.map(|file| file.hash.clone()).unwrap_or_default(),
                        });
                        Task::Evaluate(Base {
                            model,
                            file: file.map(|file| file.path.clone()),
                        })
                    }
                };
                // A model with a seed of its own is the same wherever it stands in the list.
                let own = settings
                    .model_set
                    .as_ref()
                    .map(|set| set.seeds.get(model).copied());
                let job = JobSpec {
                    name: format!("model_{model}"),
                    key: String::new(),
                    task,
                    settings: settings.of_model(model),
                    seed: own.flatten().unwrap_or(seed),
                    method_seed: None,
                    axes: axes.clone(),
                    label: None,
                    also: Vec::new(),
                    inputs,
                    needs: Vec::new(),
                };
                let part = own.is_none().then_some(model);
                self.add(job, part, Vec::new())
            })
            .collect()
    }

    fn fuse(
        &mut self,
        point: &Point,
        fusion: &FusionPoint,
        (seed, method_seed): (u64, u64),
        pick: &Pick,
        bases: &[usize],
    ) -> usize {
        let settings = &point.settings;
        let mut inputs = vec![self.dataset(settings)];
        let mut file = None;
        if let (true, Some(pattern)) = (fusion.method.uses_fusion_set(), &settings.fusion_set.file) {
            let path = self.inputs.fill(pattern, settings, seed);
            inputs.push(Input {
                role: "fusion-set".into(),
                hash: self.inputs.fusion_sets.get(&path).cloned().unwrap_or_default(),
            });
            file = Some(PathBuf::from(path));
        }
        let mut needs = Vec::new();
        let members: Vec<usize> = pick.models.iter().map(|&model| bases[model]).collect();
        // By position among the members: a job is known by its models, not by what else is in their set.
        for (model, &base) in members.iter().enumerate() {
            let job = &self.plan.jobs[base];
            needs.push(Dependency {
                job: job.name.clone(),
                key: job.key.clone(),
            });
            inputs.push(Input {
                role: format!("model_{model}"),
                hash: job.key.clone(),
            });
        }
        let mut axes = point.axes.clone();
        axes.retain(|key, _| !key.starts_with("finetune."));
        if !fusion.method.uses_fusion_set() {
            axes.retain(|key, _| !key.starts_with("fusion-set."));
        }
        axes.extend(fusion.axes.clone());
        let task = Fuse {
            method: fusion.method.clone(),
            fusion_set: file,
            models: pick.models.clone(),
            first: pick.first,
        };
        let name = stem(&task, pick.is_group);
        let job = JobSpec {
            name,
            key: String::new(),
            task: Task::Fuse(Box::new(task)),
            settings: settings.clone(),
            seed,
            method_seed: Some(method_seed),
            axes,
            label: fusion.label.clone(),
            also: Vec::new(),
            inputs,
            needs,
        };
        self.add(job, None, members)
    }

    /// Gives the job its key and full name, and adds it unless it is there.
    pub(super) fn add(&mut self, mut job: JobSpec, model: Option<usize>, needs: Vec<usize>) -> usize {
        let settings = self.canonical_settings(&job);
        job.key = key(&Identity {
            kind: job.kind(),
            version: job.task.version(),
            shared_versions: &job.task.shared_versions(),
            settings: &settings,
            seed: job.seed,
            method_seed: job.method_seed,
            model,
            inputs: &job.inputs,
            device: self.device,
        });
        if let Some(&known) = self.known.get(&job.key) {
            self.also(known, job);
            return known;
        }
        let mut name = format!("{}-{}", job.kind().as_str(), job.name);
        // A group's name has its members instead.
        for (axis, value) in job.axes.iter().filter(|(axis, _)| *axis != "fusion.groups") {
            let leaf = axis.rsplit('.').next().unwrap_or(axis);
            let text = value.as_str().map_or_else(|| value.to_string(), String::from);
            name = format!("{name}-{leaf}={text}");
        }
        let mut end = format!("-seed={}", job.seed);
        if let Some(method_seed) = job.method_seed.filter(|&seed| seed != 0) {
            end = format!("{end}-method-seed={method_seed}");
        }
        end = format!("{end}-{}", &job.key[..KEY_DIGITS]);
        // Long lists on axes are cut, seeds are not.
        let mut name = safe_name(&name);
        name.truncate(LONGEST_NAME - end.len());
        job.name = name + &end;
        let position = self.plan.jobs.len();
        self.known.insert(job.key.clone(), position);
        self.plan.jobs.push(Arc::new(job));
        self.plan.needs.push(needs);
        position
    }

    /// [`JobSpec::identity_settings`] as canonical JSON, made once for jobs that differ in seeds and models alone.
    fn canonical_settings(&mut self, job: &JobSpec) -> Arc<str> {
        // The same settings are the same value in memory: jobs of one point share it.
        let point = Arc::as_ptr(&job.settings) as usize;
        let fusion = job
            .task
            .fusion()
            .map(|fuse| (serde_json::to_string(&fuse.method), fuse.first));
        let fusion = fusion.and_then(|(method, first)| Some((method.ok()?, first)));
        let task = (
            std::mem::discriminant(&job.task),
            job.task.base().is_some(),
            fusion,
        );
        let made = self.settings.entry((point, task));
        let (_, text) = made.or_insert_with(|| {
            let text = canonical_json(&job.identity_settings());
            // Held, so that no other settings come to lie at the same address.
            (job.settings.clone(), text.into())
        });
        text.clone()
    }

    /// Notes that a job stands at a second place.
    fn also(&mut self, known: usize, job: JobSpec) {
        let cell = Cell {
            axes: job.axes,
            label: job.label,
        };
        let known = Arc::make_mut(&mut self.plan.jobs[known]);
        let first = known.axes == cell.axes && known.label == cell.label;
        if !first && !known.also.contains(&cell) {
            known.also.push(cell);
        }
    }

    pub(super) fn dataset(&self, settings: &Settings) -> Input {
        Input {
            role: "dataset".into(),
            hash: self
                .inputs
                .datasets
                .get(&settings.dataset.id())
                .cloned()
                .unwrap_or_default(),
        }
    }
}

/// The jobs of one point and seed that are there already.
#[derive(Default)]
pub(super) struct Made {
    /// Base models, by model.
    pub bases: Vec<usize>,
    /// Fusions.
    pub fusions: Vec<usize>,
}

/// What a fusion's job is called, less what goes before and after.
pub(super) fn stem(fuse: &Fuse, is_group: bool) -> String {
    let mut name = fuse.method.name().to_string();
    if let Some(importance) = fuse.method.importance() {
        name = format!("{name}-{}", importance.as_str());
    }
    if is_group {
        name = format!("{name}-g{}", fuse.group());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_jobs_of_one_name_are_an_error() {
        assert!(check_names(["a", "b"].into_iter()).is_ok());
        let error = check_names(["a", "b", "a"].into_iter()).err();
        assert_eq!(error.map(|error| error.name).as_deref(), Some("a"));
    }
}
