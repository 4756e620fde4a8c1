//! What several commands do first: read the manifest, look at its inputs, plan, choose a device.

use std::path::{Path, PathBuf};
use std::sync::Once;

use candle_core::Device;

use super::CliError;
use super::args::{Global, ManifestArgs, SelectArgs, Where};
use super::output;
use super::planned::table_problems;
use crate::data::Sets;
use crate::files::natural;
use crate::gpu;
use crate::job::inputs;
use crate::manifest::{
    Layers, ManifestError, Override, Point, Problem, ReportSettings, Resolved, in_order, resolve,
    resolve_partly,
};
use crate::plan::{Filter, Plan, build};
use crate::report::Templates;
use crate::result::Store;
use crate::schedule::Slice;
use crate::train::Precision;

/// Variables of the form that set keys in version 0.1, but are set by GitHub's machines or are the program's own.
const FOREIGN: [&str; 2] = ["RUNNER_NAME", super::faults::VARIABLE];

/// A manifest read, checked and planned.
pub struct Experiment {
    /// The texts.
    pub manifest: Resolved,
    /// The jobs.
    pub plan: Plan,
    /// Where its results are.
    pub store: Store,
    /// Where to compute.
    pub device: Device,
    /// The device's name.
    pub device_name: String,
    /// Templates for tables.
    pub templates: Templates,
}

/// Reads the layers of configuration.
pub fn layers(args: &ManifestArgs) -> Result<Layers, CliError> {
    let mut overrides = environment()?;
    for key in &args.unset {
        overrides.push(Override::unset(key, "--unset "));
    }
    for text in &args.set {
        overrides.push(Override::parse(text, "--set ")?);
    }
    for text in &args.overrides {
        overrides.push(Override::parse(text, "command line: ")?);
    }
    let user = user_settings();
    Ok(Layers::read_above(user.as_deref(), &args.manifest, overrides)?)
}

/// The file of the user's own settings: `RUNNER_CONFIG`, or `runner/config.toml` in the user's configuration folder.
fn user_settings() -> Option<PathBuf> {
    if let Some(file) = std::env::var_os("RUNNER_CONFIG") {
        return Some(PathBuf::from(file));
    }
    Some(user_folder("XDG_CONFIG_HOME", ".config")?.join("runner/config.toml"))
}

/// A folder of the user's that a variable names, or that is in the home folder.
fn user_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let folder = |variable| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
    };
    folder(variable).or_else(|| Some(folder("HOME")?.join(below_home)))
}

fn warn_of_old_name(name: &str) {
    let key = name.trim_start_matches("RUNNER_");
    output::warning(format!(
        "variables that set keys of manifests begin with two underscores: write RUNNER__{key} for {name}, which the next \
         version will not read"
    ));
}

/// Keys of the manifest that environment variables set.
pub fn environment() -> Result<Vec<Override>, CliError> {
    static SAID: Once = Once::new();
    let (mut overrides, mut old_names) = (Vec::new(), Vec::new());
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("RUNNER_")) else {
            continue;
        };
        let text = value.to_string_lossy();
        let new = Override::from_environment(name, &text);
        let old = || Override::from_old_environment(name, &text).filter(|_| !FOREIGN.contains(&name));
        let is_old = new.is_none();
        let Some(item) = new.or_else(old) else { continue };
        if value.to_str().is_none() {
            let message = format!("the environment variable {name} is not valid Unicode");
            return Err(CliError::usage(message, "set it to a TOML value, or unset it"));
        }
        if is_old {
            old_names.push(name.to_string());
        }
        overrides.push(item);
    }
    // Some commands read them more than once.
    SAID.call_once(|| old_names.iter().for_each(|name| warn_of_old_name(name)));
    overrides.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(overrides)
}

/// Folder for decoded data sets whose own folder is not writable: `runner` in the user's cache folder.
pub fn cache_dir() -> Option<PathBuf> {
    Some(user_folder("XDG_CACHE_HOME", ".cache")?.join("runner"))
}

/// The data sets, in the folder of the options or of each manifest.
pub fn sets(global: &Global) -> Sets {
    Sets::new(global.data_dir.as_deref(), cache_dir().as_deref())
}

/// Everything up to the plan; all that can be wrong before a job runs is found here.
pub fn experiment(args: &ManifestArgs, global: &Global) -> Result<Experiment, CliError> {
    experiment_with(args, global, Mode::default())
}

/// Where an experiment's jobs run, and how far the file system is trusted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mode {
    /// Devices elsewhere need not be here.
    pub place: Where,
    /// Whether data sets are read even where nobody has touched them since they were read last.
    pub reread: bool,
    /// Whether nothing will be written, so that a name which another manifest has as well is no more than a warning.
    pub writes_nothing: bool,
}

/// Like [`experiment`].
pub fn experiment_with(args: &ManifestArgs, global: &Global, mode: Mode) -> Result<Experiment, CliError> {
    let here = match mode.place {
        Where::Local => Some(device(&args.device)?),
        Where::Slurm => None,
    };
    let layers = layers(args)?;
    let sets = sets(global).reread(mode.reread);
    // Each step adds to one report; only what a problem makes meaningless is left out.
    let (manifest, mut problems) = resolve_partly(&layers, &sets);
    let templates = Templates::load(Some(&global.templates));
    if let Err(error) = &templates {
        let mut problem = Problem::new(super::error::chain(error));
        problem.hint = error.hint();
        problems.push(problem);
    }
    let (mut inputs, mut shared) = (None, None);
    if let Some(manifest) = &manifest {
        shared = shared_results(&args.manifest, &manifest.name, &layers);
        // Of nodes elsewhere it is not known what they have.
        let on_cpu = here.as_ref().is_some_and(|(device, _)| device.is_cpu());
        problems.extend(needs_gpu(&layers, manifest).filter(|_| on_cpu));
        match inputs::gather(&layers, manifest, &sets) {
            Ok(found) => inputs = Some(found),
            Err(error) => problems.extend(error.problems),
        }
        if let Ok(templates) = &templates {
            problems.extend(report_problems(&layers, &manifest.reports, templates));
        }
    }
    if !mode.writes_nothing || !problems.is_empty() {
        problems.extend(shared.take());
    }
    let (Some(mut manifest), Some(inputs), Ok(templates), []) =
        (manifest, inputs, templates, problems.as_slice())
    else {
        return Err(ManifestError {
            problems: in_order(problems),
        }
        .into());
    };
    let (device, device_name) = match here {
        Some(here) => here,
        None => (Device::Cpu, device_elsewhere(&args.device, &manifest)?),
    };
    let kind = device_name.split(':').next().unwrap_or_default();
    let plan = build(&manifest, &inputs, kind).map_err(|error| CliError::Internal(error.to_string()))?;
    let problems = table_problems(&layers, (&manifest, &plan), &templates);
    if !problems.is_empty() {
        return Err(ManifestError {
            problems: in_order(problems),
        }
        .into());
    }
    manifest.warnings.extend(inputs.warnings);
    manifest.warnings.extend(shared);
    let store = Store::at(global.results.join(&manifest.name));
    Ok(Experiment {
        manifest,
        plan,
        store,
        device,
        device_name,
        templates,
    })
}

/// A precision that only GPUs have.
fn needs_gpu(layers: &Layers, manifest: &Resolved) -> Option<Problem> {
    let reduced = |point: &Point| point.settings.base.precision != Precision::F32;
    manifest.points.iter().any(reduced).then(|| {
        let at = ["base", "precision"].map(String::from);
        let message = "`base.precision` other than \"f32\" is for GPUs, and this runs on the CPU".to_string();
        let problem = layers.problem(&at, true, message);
        problem.hint("use `--device cuda`, or drop the key: the CPU has no faster products than f32")
    })
}

/// Templates and metrics that do not exist, templates that do not parse.
fn report_problems(layers: &Layers, reports: &[ReportSettings], templates: &Templates) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (i, report) in reports.iter().enumerate() {
        let mut add = |path: &[&str], error: &crate::report::ReportError| {
            let mut at = vec!["report".to_string(), i.to_string()];
            at.extend(path.iter().map(ToString::to_string));
            let mut problem = layers.problem(&at, false, super::error::chain(error));
            problem.hint = error.hint();
            problems.push(problem);
        };
        if let Err(error) = templates.check(&report.template) {
            add(&["template"], &error);
        }
        for (key, names) in [("metric", &report.metric), ("columns", &report.columns)] {
            for (j, name) in names.iter().enumerate() {
                if let Err(error) = name.parse::<crate::report::Metric>() {
                    add(&[key, &j.to_string()], &error);
                }
            }
        }
        if let Some(Err(error)) = report.test.as_deref().map(str::parse::<crate::report::Test>) {
            add(&["test"], &error);
        }
        if report.test.is_some() && report.baseline.is_none() {
            let at = ["report", &i.to_string(), "test"].map(String::from);
            let message = "a test compares rows with a `baseline`, and there is none".to_string();
            let problem = layers.problem(&at, false, message);
            problems.push(problem.hint("add the key, such as `baseline = \"vanilla-averaging\"`"));
        }
    }
    problems
}

/// The device of nodes that this machine does not know: a GPU where the manifest asks for one.
fn device_elsewhere(text: &str, manifest: &Resolved) -> Result<String, CliError> {
    let gpu = manifest.resources.gpus.unwrap_or_default() > 0.0 || manifest.slurm.gres.is_some();
    match text {
        "auto" if gpu => Ok("cuda".into()),
        "auto" => Ok("cpu".into()),
        other if other == "cpu" || other.split(':').next() == Some("cuda") => Ok(other.into()),
        other => Err(unknown_device(other)),
    }
}

fn unknown_device(text: &str) -> CliError {
    CliError::usage(
        format!("unknown device `{text}`"),
        "one of `auto`, `cpu`, `cuda`, `cuda:0`, `cuda:1`, ...",
    )
}

/// Reads `auto`, `cpu`, `cuda` or `cuda:N`; the name says which GPU it is. `auto` is the first GPU if one answers.
pub fn device(text: &str) -> Result<(Device, String), CliError> {
    let cuda = |index: usize| {
        let (device, info) = gpu::open(index)?;
        tracing::debug!(index, ?info, "GPU");
        Ok((device, format!("cuda:{index} ({})", info.name)))
    };
    let asked = |opened: Result<_, gpu::GpuError>| {
        opened.map_err(|error| CliError::usage(format!("--device {text}: {error}"), error.hint()))
    };
    let cpu = (Device::Cpu, "cpu".to_string());
    // Workers are told a device by the name that this function gave it.
    let text = text.split(' ').next().unwrap_or_default();
    match text {
        "auto" => Ok(cuda(0).unwrap_or_else(|reason| {
            tracing::debug!(%reason, "no GPU");
            cpu
        })),
        "cpu" => Ok(cpu),
        "cuda" => asked(cuda(0)),
        other => match other.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
            Some(index) => asked(cuda(index)),
            None => Err(unknown_device(other)),
        },
    }
}

/// Parses `-E` and `--partition`.
pub fn selection(args: &SelectArgs) -> Result<(Vec<Filter>, Option<Slice>), CliError> {
    let filters = args
        .filters
        .iter()
        .map(|text| filter(text))
        .collect::<Result<_, _>>()?;
    let slice = args.partition.as_deref().map(slice).transpose()?;
    Ok((filters, slice))
}

/// Parses one filter.
pub fn filter(text: &str) -> Result<Filter, CliError> {
    Filter::parse(text).map_err(|message| {
        CliError::usage(
            message,
            "terms are joined by `,`: `kind=fuse,parts=2`, `!method=ensemble`, `*seed=1*`",
        )
    })
}

fn slice(text: &str) -> Result<Slice, CliError> {
    let numbers = text.strip_prefix("slice:").and_then(|rest| rest.split_once('/'));
    let parsed = numbers.and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    match parsed {
        Some((part, of)) if 1 <= part && part <= of => Ok(Slice { part, of }),
        _ => Err(CliError::usage(
            format!("`{text}` is not a partition"),
            "for example `--partition slice:1/4` for the first of four shares",
        )),
    }
}

/// The names of all experiments that have results, sorted.
pub fn with_results(global: &Global) -> Vec<String> {
    let entries = std::fs::read_dir(&global.results).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("index.json").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_by(|a, b| natural(a, b));
    names
}

/// The store of an experiment given by its manifest or its name.
pub fn store_of(experiment: &str, global: &Global) -> Result<Store, CliError> {
    let name = if Path::new(experiment).extension().is_some_and(|ext| ext == "toml") {
        let args = ManifestArgs {
            manifest: PathBuf::from(experiment),
            overrides: Vec::new(),
            set: Vec::new(),
            unset: Vec::new(),
            device: "auto".into(),
        };
        // The name alone is needed: a manifest with mistakes in it can still have results.
        let layers = layers(&args)?;
        match layers.name() {
            Some(name) => name,
            None => resolve(&layers)?.name,
        }
    } else {
        experiment.to_string()
    };
    let store = Store::at(global.results.join(&name));
    if store.root().join("index.json").is_file() {
        return Ok(store.with_ledger());
    }
    let known = with_results(global);
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    let hint = match crate::manifest::nearest(&name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "run `runner exec MANIFEST` first".to_string(),
        None => format!("there are results of {}", names.join(", ")),
    };
    Err(CliError::usage(
        format!(
            "there are no results of `{name}` in `{}`",
            global.results.display()
        ),
        hint,
    ))
}

/// Two manifests of one folder with the same name would overwrite each other's results. A variant that extends
/// another manifest and forgets its own `name` is the usual case.
fn shared_results(manifest: &Path, name: &str, layers: &Layers) -> Option<Problem> {
    let folder = manifest
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let own = manifest.canonicalize().ok();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|ext| ext != "toml") || path.canonicalize().ok() == own {
            continue;
        }
        // Only the name matters here; whatever else is wrong with the neighbour is not this manifest's problem.
        let theirs = Layers::read(&path, Vec::new())
            .ok()
            .and_then(|layers| layers.name());
        if theirs.as_deref() == Some(name) {
            let message = format!(
                "`{}` has the same name: both would write `results/{name}/`",
                path.strip_prefix(".").unwrap_or(&path).display()
            );
            let problem = layers.problem(&["name".to_string()], false, message);
            return Some(problem.hint("give each manifest its own `name`"));
        }
    }
    None
}

/// Results that another manifest of the same name wrote, one that is still there, are not overwritten.
pub fn refuse_foreign_results(store: &Store, manifest: &Path, name: &str) -> Result<(), CliError> {
    let Ok(index) = store.load_index() else {
        return Ok(());
    };
    let theirs = index.manifest_path(store.root());
    // As the user would write it.
    let shown = theirs.canonicalize().unwrap_or_else(|_| theirs.clone());
    let here = std::env::current_dir().unwrap_or_default();
    let theirs = shown.strip_prefix(&here).unwrap_or(&shown);
    let same = |other: &Path| match (manifest.canonicalize(), other.canonicalize()) {
        (Ok(own), Ok(other)) => own == other,
        _ => true,
    };
    let still_named =
        || Layers::read(theirs, Vec::new()).is_ok_and(|layers| layers.name().as_deref() == Some(name));
    if index.manifest.is_empty() || same(theirs) || !still_named() {
        return Ok(());
    }
    Err(CliError::usage(
        format!(
            "`{}` holds the results of `{}`, which has the same name",
            store.root().display(),
            theirs.display()
        ),
        "give one of the two another `name`, or use another folder with `--results DIR`",
    ))
}
