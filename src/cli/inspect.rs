//! `runner inspect`: what is in a checkpoint. Only headers are read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::CliError;
use super::args::{Format as Form, Global, InspectArgs};
use super::error::{checkpoint_problem, data_problem};
use super::{output, setup};
use crate::arch::{Hints, InferError, Inferred, Level, NORM_EPS};
use crate::checkpoint::{self, File, Format, Kind, TensorInfo};
use crate::data::DatasetSettings;
use crate::manifest::ManifestError;
use crate::report::escaped;

/// Runs the command: every file that can be read is shown, then those that cannot are reported.
pub fn run(args: &InspectArgs, global: &Global) -> Result<(), CliError> {
    let labels = match &args.dataset {
        Some(name) => Some(Labels::load(name, global)?),
        None => None,
    };
    let labels = labels.as_ref();
    let mut out = output::out();
    let mut problems = Vec::new();
    let mut shown: Vec<Value> = Vec::new();
    for path in &args.files {
        match checkpoint::open(path) {
            Err(error) => problems.push(checkpoint_problem(&error)),
            Ok(file) => match args.format {
                Form::Human => {
                    for line in describe(&file, labels) {
                        writeln!(out, "{line}")?;
                    }
                }
                Form::Json => shown.push(as_json(&file, labels)),
                Form::Jsonl => out.json_line(&as_json(&file, labels))?,
            },
        }
    }
    if args.format == Form::Json {
        out.json(&Value::Array(shown))?;
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(ManifestError { problems }.into()),
    }
}

/// Numbers in tensors that are not statistics of `BatchNorm` layers.
fn parameters(file: &File) -> u64 {
    let parameters = file.tensors.iter().filter(|info| !info.is_statistic());
    parameters.map(TensorInfo::elements).sum()
}

/// Classes of the training samples of a data set.
struct Labels {
    name: String,
    of_samples: Vec<u32>,
    classes: usize,
}

impl Labels {
    fn load(name: &str, global: &Global) -> Result<Self, CliError> {
        let set = setup::sets(global).load(&DatasetSettings::named(name));
        let set = set.map_err(|error| data_problem(&error, name))?;
        Ok(Self {
            name: name.to_owned(),
            of_samples: set.train.labels().to_vec(),
            classes: set.classes,
        })
    }

    /// How many of the file's samples, training and validation, are of each class; or why that cannot be told.
    fn count(&self, file: &File) -> Result<Vec<u64>, String> {
        let mut counts = vec![0; self.classes];
        let both = [file.indices(true), file.indices(false)];
        if both.iter().all(Option::is_none) {
            return Err("not known: the file does not list its samples".to_owned());
        }
        for &index in both.into_iter().flatten().flatten() {
            let label = usize::try_from(index)
                .ok()
                .and_then(|index| self.of_samples.get(index));
            let Some(count) = label.and_then(|&label| counts.get_mut(label as usize)) else {
                let (name, samples) = (&self.name, self.of_samples.len());
                return Err(format!(
                    "not those of `{name}`: it has no sample {index}, only {samples}"
                ));
            };
            *count += 1;
        }
        Ok(counts)
    }
}

/// `0: 153, 1: 12`; classes without samples are named, too.
fn counted(counts: &[u64]) -> String {
    let counts = counts
        .iter()
        .enumerate()
        .map(|(class, count)| format!("{class}: {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn format_name(format: Format) -> (&'static str, &'static str) {
    match format {
        Format::Safetensors => ("safetensors", "safetensors"),
        Format::TorchZip => ("torch-zip", "PyTorch (zip archive)"),
        Format::TorchLegacy => ("torch-legacy", "PyTorch (legacy, before 1.6)"),
    }
}

fn kind_name(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Native => ("native", "checkpoint of this program"),
        Kind::StateDict => ("state-dict", "state dict"),
        Kind::Module => ("module", "whole module"),
    }
}

/// The types of its tensors, sorted by name.
fn dtypes(file: &File) -> Vec<&'static str> {
    let names: BTreeSet<&str> = file.tensors.iter().map(|info| info.dtype.name()).collect();
    names.into_iter().collect()
}

/// The file in lines.
fn describe(file: &File, labels: Option<&Labels>) -> Vec<String> {
    let mut lines = vec![
        ("format", format_name(file.format).1.to_owned()),
        ("kind", kind_name(file.kind).1.to_owned()),
    ];
    if let Some(class) = &file.class {
        lines.push(("class", class.clone()));
    }
    if let Some(under) = &file.under {
        lines.push(("under", format!("`{under}` of a training loop's dictionary")));
    }
    lines.extend(architecture(file));
    if let Some(meta) = file.meta.as_ref().filter(|_| file.origin.is_none()) {
        lines.push(("job", meta.job.clone()));
        lines.push(("key", meta.key.clone()));
    }
    let others = file.norms.iter().filter(|(_, eps)| **eps != NORM_EPS);
    lines.extend(others.map(|(norm, eps)| ("eps", format!("{eps:?} of `{norm}`"))));
    lines.push(("tensors", file.tensors.len().to_string()));
    lines.push(("parameters", parameters(file).to_string()));
    let statistics = file.tensors.iter().filter(|info| info.is_statistic());
    match statistics.map(TensorInfo::elements).sum() {
        0_u64 => {}
        statistics => lines.push(("statistics", statistics.to_string())),
    }
    lines.push(("types", dtypes(file).join(", ")));
    for (name, train) in [("train", true), ("validation", false)] {
        if let Some(found) = file.indices(train) {
            lines.push((name, indices(found)));
        }
    }
    if let Some(counts) = labels.map(|labels| labels.count(file)) {
        lines.push((
            "classes",
            counts.map_or_else(|problem| problem, |counts| counted(&counts)),
        ));
    }
    if let Some(origin) = &file.origin {
        lines.push(("from", format!("{} (blake3 {})", origin.file, origin.blake3)));
    }
    lines.extend(extras(file));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = lines
        .iter()
        .map(|(name, value)| format!("  {name:<width$}  {value}"));
    let title = file.path.display().to_string();
    [title]
        .into_iter()
        .chain(lines)
        .chain([String::new()])
        .chain(table(&file.tensors))
        .chain([String::new()])
        .collect()
}

/// What the file's model is, said by the file or inferred.
fn architecture(file: &File) -> Vec<(&'static str, String)> {
    let model = match file.model(&Hints::default()) {
        Ok(model) => model,
        Err(error) => return vec![("architecture", format!("not known: {error}"))],
    };
    let inferred = match (&file.meta, model.sure) {
        (Some(_), _) => "",
        (None, true) => " (inferred)",
        (None, false) => " (inferred; the number of heads is not in the file but assumed)",
    };
    let settings = compact(&model.architecture);
    let input = format!("{}, {} classes", shape(&model.image), model.classes);
    let mut lines = vec![
        ("architecture", format!("{settings}{inferred}")),
        ("input", input),
    ];
    let levels = levels(&model);
    if !levels.is_empty() {
        lines.push(("levels", outline(&levels)));
    }
    lines
}

/// The model's levels; none if its settings do not fit its own image, which only a file by hand could have.
fn levels(model: &Inferred) -> Vec<Level> {
    let plan = model.architecture.plan(&model.image, model.classes);
    plan.map(|plan| plan.levels).unwrap_or_default()
}

/// How many levels are named one by one.
const NAMED: usize = 12;

/// `2: level1 (256), level2 (10)`, with the widths; long lists without their middle.
fn outline(levels: &[Level]) -> String {
    let name = |level: &Level| format!("{} ({})", level.name, level.width);
    let mut names: Vec<String> = levels.iter().map(name).collect();
    if names.len() > NAMED {
        let last = names.split_off(names.len() - 2);
        names.truncate(NAMED / 2);
        names.push("...".to_owned());
        names.extend(last);
    }
    format!("{}: {}", levels.len(), names.join(", "))
}

/// Attributes and metadata beyond what has lines of its own.
fn extras(file: &File) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for (name, attribute) in &file.attributes {
        let is_shown = name == "train_indices" || name == "val_indices";
        if let Some(value) = attribute.to_json().filter(|_| !is_shown) {
            lines.push(("attribute", format!("{name} = {value}")));
        }
    }
    for (name, value) in &file.metadata {
        if !name.starts_with("runner") {
            let value: String = value.chars().take(100).collect();
            lines.push(("metadata", format!("{name} = {value:?}")));
        }
    }
    lines
}

/// A line for each tensor.
fn table(tensors: &[TensorInfo]) -> impl Iterator<Item = String> {
    let width = tensors
        .iter()
        .map(|info| escaped(&info.name).chars().count())
        .max();
    let width = width.unwrap_or_default();
    tensors.iter().map(move |info| {
        let (name, dtype) = (escaped(&info.name), info.dtype.name());
        format!("  {name:<width$}  {dtype:<4}  {}", shape(&info.shape))
    })
}

/// `256 x 784`; a single number is a `scalar`.
fn shape(shape: &[usize]) -> String {
    match shape {
        [] => "scalar".to_owned(),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
    }
}

fn indices(indices: &[u64]) -> String {
    match (indices.iter().min(), indices.iter().max()) {
        (Some(first), Some(last)) => format!("{} indices, {first} to {last}", indices.len()),
        _ => "no indices".to_owned(),
    }
}

fn compact(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn as_json(file: &File, labels: Option<&Labels>) -> Value {
    let tensor =
        |info: &TensorInfo| json!({"name": info.name, "dtype": info.dtype.name(), "shape": info.shape});
    let indices = |train| {
        let found = file.indices(train)?;
        let (first, last) = (found.iter().min(), found.iter().max());
        Some(json!({"count": found.len(), "min": first, "max": last}))
    };
    // Indices are told by number and range: thousands of them drown the rest.
    let attributes = file.attributes.iter().filter_map(|(name, attribute)| {
        let is_long = name == "train_indices" || name == "val_indices";
        Some((name.clone(), attribute.to_json().filter(|_| !is_long)?))
    });
    let metadata = file
        .metadata
        .iter()
        .filter(|(name, _)| !name.starts_with("runner"));
    let model = file.model(&Hints::default());
    let level = |level: &Level| json!({"name": level.name, "width": level.width});
    json!({
        "file": file.path.to_string_lossy(),
        "format": format_name(file.format).0,
        "kind": kind_name(file.kind).0,
        "class": file.class,
        "under": file.under,
        "eps": file.norms,
        "architecture": model.as_ref().map(|model| &model.architecture).ok(),
        "image": model.as_ref().map(|model| &model.image).ok(),
        "classes": model.as_ref().map(|model| model.classes).ok(),
        "levels": model.as_ref().map(|model| levels(model).iter().map(level).collect::<Vec<_>>()).ok(),
        "inferred": file.meta.is_none() && model.is_ok(),
        "assumed": model.as_ref().is_ok_and(|model| !model.sure).then_some(["heads"]),
        "unknown": model.as_ref().err().map(InferError::to_string),
        "job": file.meta.as_ref().map(|meta| &meta.job),
        "key": file.meta.as_ref().map(|meta| &meta.key),
        "parameters": parameters(file),
        "dtypes": dtypes(file),
        "train-indices": indices(true),
        "val-indices": indices(false),
        "class-counts": labels.and_then(|labels| labels.count(file).ok()),
        "attributes": attributes.collect::<serde_json::Map<_, _>>(),
        "origin": file.origin.as_ref().map(|origin| json!({"file": origin.file, "blake3": origin.blake3})),
        "metadata": metadata.collect::<std::collections::BTreeMap<_, _>>(),
        "tensors": file.tensors.iter().map(tensor).collect::<Vec<_>>(),
    })
}
