//! One step from the command line: a small manifest in memory, its jobs run in a folder that goes away.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use figment::value::{Dict, Value};
use tempfile::TempDir;

use super::CliError;
use super::args::{Global, StepArgs};
use super::error::{checkpoint_problem, no_threads};
use super::outfile::{Output, Outputs};
use super::{output, setup, stop, warnings};
use crate::arch::{Architecture, Hints};
use crate::checkpoint::{self, Target};
use crate::data::{DatasetSettings, Sets};
use crate::event::JobEvent;
use crate::files;
use crate::job::{CHECKPOINT_EVERY, DataCache, JobError, Resources, inputs};
use crate::manifest::{FusionPool, Layers, ManifestError, Override, Problem, resolve_partly};
use crate::plan::{JobSpec, Task, build};
use crate::report::{Metric, escaped};
use crate::result::{Failure, Record, Status, Store, StudiedModel};
use crate::schedule::{JobThreads, Listener};

/// What is to be done, and where.
pub struct Step {
    /// Trainings or imports of the models, in order.
    pub bases: Vec<Arc<JobSpec>>,
    /// What is done with them.
    pub others: Vec<Arc<JobSpec>>,
    /// What jobs run with.
    pub resources: Resources,
    /// Whether nobody said how large the fusion set is.
    any_size: bool,
    stop: Arc<AtomicBool>,
    threads: JobThreads,
    /// Holds the store; removed when dropped.
    _folder: TempDir,
}

impl Step {
    /// Reads and checks everything, as for a manifest of these keys. `models` are the files to import, if any: patterns, one a
    /// line.
    pub fn new(
        args: &StepArgs,
        models: Option<&str>,
        keys: Vec<Override>,
        global: &Global,
    ) -> Result<Self, CliError> {
        let sets = &setup::sets(global);
        let says_size = |text: &String| text.trim_start().starts_with("fusion-set");
        let any_size = !args.set.iter().any(says_size)
            && setup::environment()?
                .iter()
                .chain(&keys)
                .all(|key| key.path.first().is_none_or(|section| section != "fusion-set"));
        let layers = layers(args, models, keys, sets)?;
        let cache_dir = setup::cache_dir();
        let (manifest, problems) = resolve_partly(&layers, sets);
        let Some(manifest) = manifest.filter(|_| problems.is_empty()) else {
            let problems = problems.into_iter().map(without_manifest).collect();
            return Err(ManifestError { problems }.into());
        };
        let found = inputs::gather(&layers, &manifest, sets)?;
        warnings::show(&found.warnings);
        let (device, device_name) = setup::device(&args.device)?;
        let plan = build(&manifest, &found, if device.is_cpu() { "cpu" } else { "cuda" })
            .map_err(|error| CliError::Internal(error.to_string()))?;
        let (bases, others) = plan
            .jobs
            .into_iter()
            .partition(|job| matches!(job.task, Task::Train(_) | Task::Evaluate(_)));
        let folder = tempfile::Builder::new().prefix("runner-").tempdir()?;
        let store = Store::open(folder.path())?;
        let limits = &manifest.resources;
        Ok(Self {
            bases,
            others,
            resources: Resources {
                device,
                device_name: device_name.clone(),
                data_dir: global.data_dir.clone(),
                cache_dir,
                timeout: limits.timeout(),
                checkpoint_every: limits.checkpoint().unwrap_or(CHECKPOINT_EVERY),
                store,
                data: Arc::new(DataCache::default()),
                provenance: super::provenance::program(&device_name),
            },
            any_size,
            stop: stop::on_signal()?,
            threads: JobThreads::new(0).map_err(|error| no_threads(&error))?,
            _folder: folder,
        })
    }

    /// The only thing that is done with the models.
    pub fn fusion(&self) -> Result<&Arc<JobSpec>, CliError> {
        match self.others.as_slice() {
            [fusion] => Ok(fusion),
            _ => Err(CliError::usage(
                "these settings are several fusions, but this command does one",
                "put them into a manifest and use `runner exec`",
            )),
        }
    }

    /// Trains or imports the models; their records. A fusion set of the size that nobody asked for becomes as large as what
    /// the first model was trained on, where that is less; standard error says so.
    pub fn make(&mut self) -> Result<Vec<Record>, CliError> {
        let records: Vec<Record> = self
            .bases
            .iter()
            .map(|job| self.run(job))
            .collect::<Result<_, _>>()?;
        let Some(most) = records.first().and_then(|record| self.trained_on(record)) else {
            return Ok(records);
        };
        for job in &mut self.others {
            let set = &job.settings.fusion_set;
            let needs = job
                .task
                .fusion()
                .is_some_and(|fuse| fuse.method.uses_fusion_set());
            if self.any_size && needs && set.from == FusionPool::Model0 && most < set.samples {
                output::note(format!(
                    "the fusion set has {most} samples, all that model 0 was trained on, and not {}; `--samples N` takes less",
                    set.samples
                ));
                Arc::make_mut(&mut Arc::make_mut(job).settings).fusion_set.samples = most;
            }
        }
        Ok(records)
    }

    /// How many images a model was trained on, where its file says so.
    fn trained_on(&self, record: &Record) -> Option<usize> {
        let path = self.resources.store.checkpoint_path(&record.job);
        let meta = checkpoint::load(&path, None).ok()?.meta;
        let count = meta.train_indices.len() + meta.val_indices.len();
        (count > 0).then_some(count)
    }

    /// Runs one job.
    pub fn run(&self, job: &Arc<JobSpec>) -> Result<Record, CliError> {
        let record = self.threads.execute(job, &self.resources, &mut self.listener());
        let record = record.map_err(|error| failed(&error))?;
        match (record.status, record.error) {
            (Status::Ok, _) => Ok(Record {
                error: None,
                ..record
            }),
            (_, error) => Err(problem(error.unwrap_or_else(|| Failure {
                chain: vec![format!("`{}` did not finish", job.name)],
                hint: None,
            }))),
        }
    }

    /// Studies the models that were made: `look` gets what jobs run with, and whom to report to.
    pub fn study<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Resources, &mut Listener) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, CliError> {
        let resources = self.resources.clone();
        let work = move |on_event: &mut Listener| look(&resources, on_event);
        let found = self
            .threads
            .run(self.resources.timeout, work, &mut self.listener());
        found.map_err(|error| failed(&error))
    }

    /// What jobs report to: it tells them whether to go on.
    fn listener(&self) -> impl FnMut(JobEvent) -> ControlFlow<()> {
        let stop = self.stop.clone();
        move |_| match stop.load(Ordering::SeqCst) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Writes the network that a job made, in the format that the name's ending says.
    pub fn export(&self, record: &Record, to: &Output) -> Result<(), CliError> {
        let path = self.resources.store.checkpoint_path(&record.job);
        match Target::of(&to.path) {
            Some(target @ Target::StateDict) => {
                let written =
                    checkpoint::open(&path).and_then(|file| checkpoint::convert(file, &to.target, target));
                written.map_err(|error| checkpoint_problem(&error).into())
            }
            _ => to.write(&files::read(&path)?),
        }
    }

    /// What may be written of it: not over the files that are read.
    pub fn outputs(&self, force: bool) -> Outputs {
        let fusions = self.others.iter().filter_map(|job| job.task.fusion());
        let sets = fusions.filter_map(|fuse| fuse.fusion_set.clone());
        Outputs::new(force, self.files().into_iter().chain(sets).collect())
    }

    /// The models' files and what they hold, for a study.
    pub fn studied(&self) -> Vec<StudiedModel> {
        let models = self.bases.iter().zip(self.files());
        let of = |(job, file): (&Arc<JobSpec>, PathBuf)| StudiedModel {
            file: file.display().to_string(),
            blake3: job
                .inputs
                .iter()
                .find(|input| input.role.starts_with("model_"))
                .map(|input| input.hash.clone())
                .unwrap_or_default(),
        };
        models.map(of).collect()
    }

    /// The models' files, in the order of their numbers.
    pub fn files(&self) -> Vec<PathBuf> {
        let file = |job: &Arc<JobSpec>| job.task.base().and_then(|base| base.file.clone());
        self.bases.iter().filter_map(file).collect()
    }
}

/// A job's error as the command's own.
pub fn failed(error: &JobError) -> CliError {
    match error {
        JobError::Cancelled => CliError::Interrupted,
        error => problem(error.failure()),
    }
}

/// A problem as one without a manifest can mend it: there are no combinations to drop.
fn without_manifest(mut problem: Problem) -> Problem {
    let own = problem.hint.take().map(|hint| {
        let ends = [
            "; or drop the combination",
            ", or drop the combination",
            "drop the combination",
        ];
        let end = ends.iter().filter_map(|words| hint.find(words)).min();
        end.map_or(hint.clone(), |end| hint[..end].to_string())
    });
    problem.hint = own.map(|hint| match hint.is_empty() {
        true => "give other models, or another method".to_string(),
        false => hint,
    });
    problem
}

fn problem(failure: Failure) -> CliError {
    let mut problem = Problem::new(failure.chain.join(": "));
    problem.hint = failure.hint;
    problem.into()
}

/// A key with the way the user gave it. `text` is `key=value`, below `prefix`, which has a dot at its end or is empty.
pub fn key(prefix: &str, text: &str, origin: &str) -> Result<Override, CliError> {
    let origin = format!("{origin}{text}");
    let parsed = Override::parse(&format!("{prefix}{text}"), "")?;
    Ok(Override { origin, ..parsed })
}

/// A line per model with its metrics.
pub fn show_table(rows: &[(String, &Record)]) -> Result<(), CliError> {
    let widths = rows.iter().map(|(name, _)| escaped(name).chars().count());
    let widest = widths.max().unwrap_or_default();
    let mut out = output::out();
    write!(out, "{:widest$}", "")?;
    for metric in Metric::ALL {
        write!(out, "  {:>13}", metric.title())?;
    }
    writeln!(out)?;
    for (name, record) in rows {
        write!(out, "{:widest$}", escaped(name))?;
        for metric in Metric::ALL {
            let value = metric.of(record);
            let text = value.map_or("--".to_string(), |value| metric.format(value, None));
            write!(out, "  {text:>13}")?;
        }
        writeln!(out)?;
    }
    let mut said = BTreeSet::new();
    for metric in Metric::ALL {
        let metrics = rows.iter().filter_map(|(_, record)| record.metrics.as_ref());
        for why in metrics.filter_map(|found| metric.undefined(found)) {
            let note = format!("--: the {} cannot be computed, as {why}", metric.name());
            if said.insert(note.clone()) {
                writeln!(out, "{note}")?;
            }
        }
    }
    Ok(())
}

/// The manifest: environment variables, then the options, then `--set`.
fn layers(
    args: &StepArgs,
    models: Option<&str>,
    keys: Vec<Override>,
    sets: &Sets,
) -> Result<Layers, CliError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for pattern in models.iter().flat_map(|models| models.lines()) {
        let hint = || files::brackets(pattern).unwrap_or_else(|| HINT.to_string());
        let found = files::matching(pattern);
        let found = found
            .map_err(|error| CliError::usage(format!("`{pattern}` is not a pattern: {error}"), hint()))?;
        if found.is_empty() {
            return Err(CliError::usage(format!("no file matches `{pattern}`"), hint()));
        }
        paths.extend(found);
    }
    let given = |path: &str, value: String, origin: String| Override {
        path: path.split('.').map(String::from).collect(),
        value,
        origin,
    };
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut overrides = setup::environment()?;
    if let Some(patterns) = models {
        let origin = format!("--models {}", patterns.replace('\n', " "));
        overrides.push(given("split.parts", paths.len().to_string(), origin.clone()));
        overrides.push(given("base.models", quoted(patterns), origin));
    }
    let dataset = format!("--dataset {}", args.dataset);
    overrides.push(given("dataset.name", quoted(&args.dataset), dataset));
    if let Some(seed) = args.seed {
        overrides.push(given("seeds", seed.to_string(), format!("--seed {seed}")));
    }
    // `fusion.0` sets a key of a table that has to be there.
    let fusions = keys
        .iter()
        .any(|key| key.path.first().is_some_and(|section| section == "fusion"));
    overrides.extend(keys);
    for text in &args.set {
        overrides.push(Override::parse(text, "--set ")?);
    }
    let mut dict = Dict::from([("name".to_string(), Value::from("step"))]);
    if fusions {
        let entry = Value::from(Dict::new());
        dict.insert("fusion".to_string(), Value::from(vec![entry]));
    }
    let model = |path: &PathBuf| inferred(path, &args.dataset, &overrides, sets);
    if let Some((first, others)) = paths.split_first()
        && let Some(first) = model(first)?
    {
        dict.insert("model".to_string(), value(&first)?);
        let says = |item: &Override| item.path.first().is_some_and(|table| table == "other-models");
        if !overrides.iter().any(says)
            && let Some(other) = second_architecture(&first, others, &model)?
        {
            dict.insert("other-models".to_string(), value(&other)?);
        }
    }
    Ok(Layers::in_memory(dict, overrides)?)
}

fn value(architecture: &Architecture) -> Result<Value, CliError> {
    Value::serialize(architecture).map_err(|error| CliError::Internal(error.to_string()))
}

/// The architecture of all models but the first, where it is another.
fn second_architecture(
    first: &Architecture,
    others: &[PathBuf],
    model: &dyn Fn(&PathBuf) -> Result<Option<Architecture>, CliError>,
) -> Result<Option<Architecture>, CliError> {
    let mut found: Option<(&PathBuf, Architecture)> = None;
    for path in others {
        let Some(other) = model(path)? else {
            return Ok(None);
        };
        match &found {
            None => found = Some((path, other)),
            Some((_, before)) if *before == other => {}
            Some((before, _)) => {
                return Err(CliError::usage(
                    format!(
                        "`{}` and `{}` are of two architectures",
                        before.display(),
                        path.display()
                    ),
                    "all models but the first have to be of one architecture, which may differ from the first's",
                ));
            }
        }
    }
    Ok(found.map(|(_, other)| other).filter(|other| other != first))
}

/// The architecture as the file tells it, for what no override says; nothing where overrides name the architecture themselves,
/// or where the file cannot be read, which is reported with all other problems later.
fn inferred(
    path: &Path,
    dataset: &str,
    overrides: &[Override],
    sets: &Sets,
) -> Result<Option<Architecture>, CliError> {
    let given = |key: &str| {
        let says = |item: &Override| item.path.get(1).is_none_or(|name| name == key);
        overrides
            .iter()
            .any(|item| item.path.first().is_some_and(|table| table == "model") && says(item))
    };
    if given("architecture") {
        return Ok(None);
    }
    let Ok(file) = checkpoint::open(path) else {
        return Ok(None);
    };
    let info = sets.info(&DatasetSettings::named(dataset));
    let model = file.model(&Hints {
        image: info.map(|info| info.shape.to_vec()),
        ..Hints::default()
    });
    let name = path.display();
    let model = model.map_err(|error| {
        CliError::usage(
            format!("the architecture of `{name}` cannot be told: {error}"),
            "give it as `[model]` in a manifest would: `--set model.architecture=NAME --set model.KEY=VALUE`",
        )
    })?;
    if !model.sure && !given("heads") {
        return Err(CliError::usage(
            format!(
                "`{name}` seems to be of `{}`, but its number of heads is not in the file",
                model.architecture.name()
            ),
            "give it with `--set model.heads=N`",
        ));
    }
    Ok(Some(model.architecture))
}

const HINT: &str = "give the models' files, or a pattern in quotes, for example `--models 'dir/model_*.pt'`";
