//! Models whose files do not list the samples that they were trained on.

use crate::manifest::{FusionPoint, FusionPool, Layers, ModelOrder, Point, Problem, Selection, Settings};
use crate::plan::{ModelFile, draw};

/// The models that a fusion takes: one list, or one for each group.
fn members(fusion: &FusionPoint, settings: &Settings) -> Vec<Vec<usize>> {
    let parts = settings.split.parts;
    match fusion.selection {
        Selection::Groups(groups) => draw(&groups, parts),
        Selection::First(n) if settings.base.order == ModelOrder::Index => vec![(0..n.min(parts)).collect()],
        // Ordered by accuracy, any model may turn out to be one of the first.
        Selection::All | Selection::First(_) => vec![(0..parts).collect()],
    }
}

/// A warning where a fusion set is a sample of what model 0 was trained on, and its file does not say what that is, as
/// that of a state dict. `silent` are such files, by the number of their model.
pub(super) fn whole_training_set(
    layers: &Layers,
    point: &Point,
    silent: &[(usize, &ModelFile)],
) -> Option<Problem> {
    let settings = &point.settings;
    let set = &settings.fusion_set;
    if silent.is_empty() || set.from != FusionPool::Model0 || set.file.is_some() || set.indices.is_some() {
        return None;
    }
    let fusions = point
        .fusions
        .iter()
        .filter(|fusion| fusion.method.uses_fusion_set());
    let lists: Vec<Vec<usize>> = fusions.flat_map(|fusion| members(fusion, settings)).collect();
    let may_be_first = |number: usize| {
        lists.iter().any(|list| match settings.base.order {
            ModelOrder::Index => list.first() == Some(&number),
            ModelOrder::TestAccuracy => list.contains(&number),
        })
    };
    let (_, model) = silent.iter().find(|(number, _)| may_be_first(*number))?;
    let message = format!(
        "`{}` does not list the samples that it was trained on: the fusion set is drawn from the whole training set",
        model.path.display()
    );
    let hint = "`fusion-set.from = \"training-set\"` says that this is meant; checkpoints of `runner` list their samples";
    Some(at(layers, &["fusion-set", "from"], message).hint(hint))
}

/// Fusions that weight classes by the samples that each model was trained on, of files that do not list them.
pub(super) fn no_class_counts(
    layers: &Layers,
    point: &Point,
    silent: &[(usize, &ModelFile)],
) -> Vec<Problem> {
    let weighted = point
        .fusions
        .iter()
        .filter(|fusion| fusion.method.needs_class_counts());
    let weighted = weighted.filter(|_| !silent.is_empty());
    let problem = |fusion: &FusionPoint| {
        let lists = members(fusion, &point.settings);
        let takes = |number: usize| lists.iter().any(|list| list.contains(&number));
        let (_, model) = silent.iter().find(|(number, _)| takes(*number))?;
        let message = format!(
            "`head-weights` need the samples that each model was trained on, but `{}` does not list them",
            model.path.display()
        );
        let problem = layers.problem(&fusion.key("head-weights"), false, message);
        let hint = "leave `head-weights` out, or give files that list their samples: checkpoints of `runner`";
        Some(problem.hint(hint))
    };
    weighted.filter_map(problem).collect()
}

pub(super) fn at(layers: &Layers, path: &[&str], message: impl Into<String>) -> Problem {
    let path: Vec<String> = path.iter().map(ToString::to_string).collect();
    layers.problem(&path, false, message)
}
