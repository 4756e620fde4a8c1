//! A look at the outside before anything runs: data sets, files to import, recorded fusion sets.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::model_file;
use super::unlisted::{self, at};
use crate::arch::Network;
use crate::checkpoint::{self, CheckpointError};
use crate::data::{self, DataError, DataSetInfo, Sets};
use crate::files;
use crate::manifest::{
    FusionPool, Layers, ManifestError, ModelOrder, Point, Problem, Resolved, Selection, Settings,
};
use crate::plan::{Inputs, ModelFile, draw};

/// Reads and checks everything the manifest refers to, and hashes it. All problems in one report.
pub fn gather(layers: &Layers, manifest: &Resolved, sets: &Sets) -> Result<Inputs, ManifestError> {
    let mut inputs = Inputs::default();
    let mut problems: Vec<Problem> = Vec::new();
    // Files by content are read once, however many points name them.
    let mut read: Files = BTreeMap::new();
    let mut divided = BTreeSet::new();
    for point in &manifest.points {
        let settings = &point.settings;
        let id = settings.dataset.id();
        if let Entry::Vacant(entry) = inputs.datasets.entry(id) {
            match sets.find(&settings.dataset) {
                Ok(found) => {
                    entry.insert(found.hash.clone());
                }
                Err(error) => {
                    let name = &settings.dataset.name;
                    let mut problem = at(layers, &["dataset", "name"], chain(&*error));
                    problem.hint = match &*error {
                        DataError::NoFolder { .. } => Some(format!(
                            "give the folder that holds the files of `{name}` with `--data-dir DIR`, the environment variable \
                             RUNNER_DATA, or `dir = \"...\"` in `[dataset]`"
                        )),
                        _ => error.hint(),
                    };
                    entry.insert(String::new());
                    problems.push(problem);
                }
            }
        }
        let Some(info) = sets.info(&settings.dataset) else {
            continue;
        };
        let what = (settings.dataset.name.as_str(), &info);
        let uses_set = point.fusions.iter().any(|fusion| fusion.method.uses_fusion_set());
        // Many points have the same parts.
        if divided.insert(division(point)) {
            if uses_set {
                check_fusion_set(layers, settings, &info, &mut problems);
                problems.extend(pool_too_small(layers, point, &info, sets));
            }
            problems.extend(parts_too_small(layers, point, &info, sets));
        }
        let given = [&settings.base.models, &settings.fusion_set.file];
        let paths = given.into_iter().flatten().flat_map(|paths| paths.lines());
        for path in paths.filter(|path| files::has_own_braces(path)) {
            inputs.literal.insert(path.to_string());
        }
        for &seed in &point.seeds {
            if let Some(pattern) = &settings.base.models {
                let filled = inputs.fill(pattern, settings, seed);
                if let Entry::Vacant(entry) = inputs.models.entry(filled) {
                    let found = models(layers, entry.key(), settings, &info, &mut read, &mut problems);
                    entry.insert(found);
                }
                let found = inputs.models.get(&inputs.fill(pattern, settings, seed));
                let silent = |model: &ModelFile| match read.get(&model.path) {
                    Some(Ok((_, file))) => !file.lists_samples(),
                    _ => false,
                };
                let silent: Vec<(usize, &ModelFile)> = found
                    .into_iter()
                    .flatten()
                    .enumerate()
                    .filter(|(_, model)| silent(model))
                    .collect();
                if inputs.warnings.is_empty() {
                    inputs
                        .warnings
                        .extend(unlisted::whole_training_set(layers, point, &silent));
                }
                for problem in unlisted::no_class_counts(layers, point, &silent) {
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
            if let (true, Some(pattern)) = (uses_set, &settings.fusion_set.file) {
                let filled = inputs.fill(pattern, settings, seed);
                if let Entry::Vacant(entry) = inputs.fusion_sets.entry(filled) {
                    let hash = recorded_set(entry.key(), what).unwrap_or_else(|message| {
                        problems.push(at(layers, &["fusion-set", "file"], message));
                        String::new()
                    });
                    entry.insert(hash);
                }
            }
        }
    }
    if problems.is_empty() {
        Ok(inputs)
    } else {
        Err(ManifestError { problems })
    }
}

/// All that the sizes of parts and of fusion sets depend on, as text.
fn division(point: &Point) -> String {
    let settings = &point.settings;
    let fusions = point.fusions.iter();
    let selections: BTreeSet<String> = fusions
        .map(|fusion| format!("{:?} {}", fusion.selection, fusion.method.uses_fusion_set()))
        .collect();
    let base = (settings.base.models.is_some(), settings.base.order);
    let of_point = (&settings.dataset, &settings.split, &settings.fusion_set, base);
    format!("{of_point:?} {selections:?} {:?}", point.seeds)
}

/// Hash of a recorded fusion set whose images fit the data set.
fn recorded_set(path: &str, (name, info): (&str, &DataSetInfo)) -> Result<String, String> {
    let bytes = crate::files::read(Path::new(path))
        .map_err(|error| format!("cannot read the fusion set `{path}`: {error}"))?;
    if checkpoint::is_pointer(&bytes) {
        return Err(format!(
            "the fusion set `{path}` is a pointer of Git LFS: `git lfs pull` fetches the file"
        ));
    }
    let fail = |error: safetensors::SafeTensorError| format!("the fusion set `{path}` is not sound: {error}");
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(fail)?;
    let images = file.tensor("fusion.images").map_err(fail)?;
    let shape = images.shape();
    if images.dtype() != safetensors::Dtype::F32
        || shape.len() != 4
        || shape[0] == 0
        || shape[1..] != info.shape
    {
        let [c, h, w] = info.shape;
        return Err(format!(
            "the fusion set `{path}` holds `fusion.images` of type {:?} and shape {shape:?}, but `{name}` needs F32 and [N, {c}, {h}, {w}]",
            images.dtype(),
        ));
    }
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

fn check_fusion_set(layers: &Layers, settings: &Settings, info: &DataSetInfo, problems: &mut Vec<Problem>) {
    let set = &settings.fusion_set;
    let name = &settings.dataset.name;
    let problem = if set.indices.as_ref().is_some_and(Vec::is_empty) {
        at(
            layers,
            &["fusion-set", "indices"],
            "`fusion-set.indices` is empty",
        )
        .hint("name at least one sample, or leave the key out for a sample of `fusion-set.samples`")
    } else if let Some(index) = set.indices.iter().flatten().find(|&&i| i >= info.train) {
        at(
            layers,
            &["fusion-set", "indices"],
            format!(
                "`fusion-set.indices` has {index}, but `{name}` has {} training images",
                info.train
            ),
        )
    } else if set.indices.is_none() && set.file.is_none() && set.samples > info.train {
        at(
            layers,
            &["fusion-set", "samples"],
            format!(
                "`fusion-set.samples` is {}, but `{name}` has only {} training images",
                set.samples, info.train
            ),
        )
    } else {
        return;
    };
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

/// A part without samples, or without any to train on. The job would say so, but so would every other of its split.
fn parts_too_small(layers: &Layers, point: &Point, info: &DataSetInfo, sets: &Sets) -> Option<Problem> {
    let settings = &point.settings;
    let split = &settings.split;
    // With more samples it is as good as impossible, and large data sets are not loaded just to look.
    let in_doubt = info.train / split.parts.max(1) < 200;
    if settings.base.models.is_some() || !in_doubt {
        return None;
    }
    // Whatever else is wrong is reported elsewhere.
    let data = sets.load(&settings.dataset).ok()?;
    point.seeds.iter().find_map(|&seed| {
        let parts = match super::train::parts(split, seed, &data) {
            Ok(parts) => parts,
            Err(error) => {
                let message = format!("{error}, with seed {seed}");
                let problem = at(layers, &["split", "parts"], message);
                return Some(problem.hint("take fewer parts, or another kind of split"));
            }
        };
        // How many are held out depends on their number alone.
        let held_out = |part: &Vec<usize>| {
            data::hold_out(
                part,
                split.val_ratio,
                &mut crate::seed::generator(seed, "hold-out", &[]),
            )
        };
        let (number, error) = parts
            .iter()
            .enumerate()
            .find_map(|(number, part)| Some((number, held_out(part).err()?)))?;
        let message = format!("{error}, in part {number} of {} with seed {seed}", split.parts);
        let problem = at(layers, &["split", "val-ratio"], message);
        Some(problem.hint("hold out less, take fewer parts, or another kind of split"))
    })
}

/// A fusion set that the part of the training set of model 0, or of a group's first model, cannot fill. Sampling would
/// say so, but only after training.
fn pool_too_small(layers: &Layers, point: &Point, info: &DataSetInfo, sets: &Sets) -> Option<Problem> {
    let settings = &point.settings;
    let (set, parts) = (&settings.fusion_set, settings.split.parts);
    let of_parts = set.from == FusionPool::Model0 && settings.base.models.is_none();
    let sampled = set.file.is_none() && set.indices.is_none() && of_parts;
    // Parts are uneven, but hardly more than this; large data sets are not loaded just to look.
    let in_doubt = set.samples <= info.train && set.samples * parts * 10 > info.train;
    if !sampled || !in_doubt {
        return None;
    }
    let fusions = point
        .fusions
        .iter()
        .filter(|fusion| fusion.method.uses_fusion_set());
    let picks: BTreeSet<Vec<usize>> = fusions
        .flat_map(|fusion| match fusion.selection {
            Selection::Groups(groups) => draw(&groups, parts),
            Selection::All | Selection::First(_) => vec![(0..parts).collect()],
        })
        .collect();
    // Whatever else is wrong is reported elsewhere.
    let data = sets.load(&settings.dataset).ok()?;
    point.seeds.iter().find_map(|&seed| {
        let sizes: Vec<usize> =
            super::train::parts(&settings.split, seed, &data).ok()?.iter().map(Vec::len).collect();
        // Ordered by accuracy, any member may turn out to be the first.
        let pool = |members: &Vec<usize>| match settings.base.order {
            ModelOrder::Index => Some((*members.first()?, *sizes.get(*members.first()?)?)),
            ModelOrder::TestAccuracy => Some((0, members.iter().filter_map(|&i| sizes.get(i)).copied().max()?)),
        };
        let smallest = picks.iter().filter_map(pool).min_by_key(|(_, size)| *size);
        let (model, pool) = smallest.filter(|(_, pool)| *pool < set.samples)?;
        let message = format!(
            "`fusion-set.samples` is {}, but model {model} has only {pool} training images with seed {seed} and {parts} parts",
            set.samples
        );
        Some(at(layers, &["fusion-set", "samples"], message).hint("take fewer samples, or drop the combination"))
    })
}

/// Models' files that were read, and the hash of each.
type Files = BTreeMap<PathBuf, Result<(String, model_file::ModelFile), Unreadable>>;

/// A model's file that cannot be read.
struct Unreadable {
    message: String,
    hint: Option<&'static str>,
}

impl Unreadable {
    fn of(error: &CheckpointError) -> Self {
        Self {
            message: chain(error),
            hint: error.hint(),
        }
    }
}

/// The files of the patterns, one a line, those of each in natural order; each file is checked against `[model]`.
fn models(
    layers: &Layers,
    pattern: &str,
    settings: &Settings,
    info: &DataSetInfo,
    read: &mut Files,
    problems: &mut Vec<Problem>,
) -> Vec<ModelFile> {
    let key = ["base", "models"];
    let mut paths: Vec<PathBuf> = Vec::new();
    for line in pattern.lines().filter(|line| !line.trim().is_empty()) {
        match files::matching(line) {
            Ok(mut matched) => paths.append(&mut matched),
            Err(error) => {
                let problem = at(layers, &key, format!("`{line}` is not a pattern: {error}"));
                let hint = files::brackets(line);
                problems.push(Problem { hint, ..problem });
                return Vec::new();
            }
        }
    }
    let parts = settings.split.parts;
    if paths.len() != parts {
        let message = format!(
            "`{pattern}` matches {} files, but the split has {parts} parts",
            paths.len()
        );
        let hint = match paths.len() {
            0 => no_file(pattern),
            number => format!("one file per part: `parts = {number}` in `[split]` takes all of them"),
        };
        problems.push(at(layers, &key, message).hint(hint));
        return Vec::new();
    }
    let mut found = Vec::new();
    for (model, path) in paths.into_iter().enumerate() {
        let architecture = settings.network(model);
        let read = read.entry(path.clone()).or_insert_with(|| {
            let file = model_file::read(&path).map_err(|error| Unreadable::of(&error))?;
            Ok((file.hash.clone(), file))
        });
        match read {
            Err(error) => problems.push(Problem {
                hint: error.hint.map(String::from),
                ..at(layers, &key, error.message.clone())
            }),
            Ok((hash, file)) => {
                let device = candle_core::Device::Cpu;
                let fits = Network::import(architecture, &info.shape, info.classes, file.foreign(), &device);
                let problem = match fits {
                    Err(error) => Some((
                        error.to_string(),
                        error.hint().or_else(|| {
                            model_file::seems(&path, architecture, (&settings.dataset.name, info))
                        }),
                    )),
                    Ok(_) => model_file::other_heads(&path, architecture).map(|heads| {
                        let message = format!("the file's network has {heads} heads");
                        (message, Some(format!("write `heads = {heads}` in `[model]`")))
                    }),
                };
                match problem {
                    Some((message, hint)) => {
                        let message = format!("`{}` does not fit `[model]`: {message}", path.display());
                        problems.push(Problem {
                            hint,
                            ..at(layers, &key, message)
                        });
                    }
                    None => found.push(ModelFile {
                        path: path.clone(),
                        hash: hash.clone(),
                    }),
                }
            }
        }
    }
    found
}

/// What to do where no file matches.
fn no_file(pattern: &str) -> String {
    let published = match pattern.starts_with("example-base-models") {
        true => " (`example-base-models/README.md` says where the paper's are)",
        false => "",
    };
    let hint = format!(
        "paths are relative to the folder `runner` is started in; put the files there{published}, or drop `models`, and they are \
         trained here"
    );
    match files::brackets(pattern) {
        Some(brackets) => format!("{brackets}; {hint}"),
        None => hint,
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        // A transparent wrapper repeats its source.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        source = cause.source();
    }
    text
}
