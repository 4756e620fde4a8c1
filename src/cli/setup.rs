//! What several commands do first: read the manifest, look at its inputs, plan, choose a device.

use std::path::{Path, PathBuf};

use candle_core::Device;

use super::CliError;
use super::args::{Global, ManifestArgs, SelectArgs};
use crate::job::inputs;
use crate::manifest::{Layers, Override, Resolved, resolve};
use crate::plan::{Filter, Plan, build};
use crate::report::Templates;
use crate::result::Store;
use crate::schedule::Slice;

/// Environment variables of the program itself; the others that begin with `RUNNER_` set keys of the manifest.
const OWN_VARIABLES: [&str; 6] = [
    "RUNNER_RESULTS",
    "RUNNER_TEMPLATES",
    "RUNNER_DATA",
    "RUNNER_SHARED",
    "RUNNER_LOG",
    "RUNNER_LOG_FORMAT",
];

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
    let mut overrides: Vec<Override> = std::env::vars()
        .filter(|(name, _)| !OWN_VARIABLES.contains(&name.as_str()))
        .filter_map(|(name, value)| Override::from_environment(&name, &value))
        .collect();
    overrides.sort_by(|a, b| a.path.cmp(&b.path));
    for text in &args.set {
        overrides.push(Override::parse(text, "--set ")?);
    }
    for text in &args.overrides {
        overrides.push(Override::parse(text, "command line: ")?);
    }
    Ok(Layers::read(&args.manifest, overrides)?)
}

/// Everything up to the plan; all that can be wrong before a job runs is found here.
pub fn experiment(args: &ManifestArgs, global: &Global) -> Result<Experiment, CliError> {
    let (device, device_name) = device(&args.device)?;
    let layers = layers(args)?;
    let manifest = resolve(&layers)?;
    refuse_shared_results(&args.manifest, &manifest.name, &layers)?;
    let inputs = inputs::gather(&layers, &manifest, global.data_dir.as_deref())?;
    let templates = Templates::load(Some(&global.templates))?;
    for (i, report) in manifest.reports.iter().enumerate() {
        let at = |key: &str, message: String| {
            layers.problem(
                &["report".to_string(), i.to_string(), key.to_string()],
                false,
                message,
            )
        };
        let problem = |key: &str, error: &crate::report::ReportError| {
            let mut problem = at(key, super::error::chain(error));
            problem.hint = error.hint();
            problem
        };
        templates
            .check(&report.template)
            .map_err(|error| problem("template", &error))?;
        for metric in &report.metric {
            metric
                .parse::<crate::report::Metric>()
                .map_err(|error| problem("metric", &error))?;
        }
    }
    let kind = if device.is_cpu() { "cpu" } else { "cuda" };
    let plan = build(&manifest, &inputs, kind);
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

/// Reads `auto`, `cpu`, `cuda` or `cuda:N`.
pub fn device(text: &str) -> Result<(Device, String), CliError> {
    let cuda = |index: usize| {
        Device::new_cuda(index)
            .map(|device| (device, format!("cuda:{index}")))
            .map_err(|error| {
                CliError::usage(
                    format!("device `cuda:{index}` cannot be used: {error}"),
                    "build with `--features cuda` on a machine with an NVIDIA GPU, or use `--device cpu`",
                )
            })
    };
    let cpu = Ok((Device::Cpu, "cpu".to_string()));
    match text {
        "cpu" => cpu,
        "auto" if candle_core::utils::cuda_is_available() => cuda(0).or(cpu),
        "auto" => cpu,
        "cuda" => cuda(0),
        other => match other.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
            Some(index) => cuda(index),
            None => Err(CliError::usage(
                format!("unknown device `{other}`"),
                "one of `auto`, `cpu`, `cuda`, `cuda:0`, `cuda:1`, ...",
            )),
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

/// The store of an experiment given by its manifest or its name.
pub fn store_of(experiment: &str, global: &Global) -> Result<Store, CliError> {
    let name = if Path::new(experiment).extension().is_some_and(|ext| ext == "toml") {
        let args = ManifestArgs {
            manifest: PathBuf::from(experiment),
            overrides: Vec::new(),
            set: Vec::new(),
            device: "auto".into(),
        };
        resolve(&layers(&args)?)?.name
    } else {
        experiment.to_string()
    };
    let store = Store::at(global.results.join(&name));
    if store.root().join("index.json").is_file() {
        return Ok(store);
    }
    let known: Vec<String> = std::fs::read_dir(&global.results)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("index.json").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
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
fn refuse_shared_results(manifest: &Path, name: &str, layers: &Layers) -> Result<(), CliError> {
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
                path.display()
            );
            return Err(layers
                .problem(&["name".to_string()], false, message)
                .hint("give each manifest its own `name`")
                .into());
        }
    }
    Ok(())
}
