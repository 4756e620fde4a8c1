//! Accuracy relative to base models.

use super::columns::is_method_axis;
use super::{Group, Metric, Observation, Statistics};
use crate::result::Kind;

/// Fills in [`Metric::NormalisedAccuracy`]: each accuracy over the largest one that a base model of the same seed and
/// split has before fine-tuning, among the fused models where these are not all.
pub fn accuracies(groups: &mut [Group]) {
    let bases: Vec<Group> = groups.iter().filter(|group| is_base(group)).cloned().collect();
    for group in groups {
        let Some(accuracies) = group.metrics.get(&Metric::Accuracy) else {
            continue;
        };
        let relative = accuracies.values.iter().filter_map(|observation| {
            let best = best(&bases, group, observation)?;
            Some(Observation {
                value: observation.value / best,
                ..observation.clone()
            })
        });
        if let Some(statistics) = Statistics::of(relative.collect()) {
            group.derived.insert(Metric::NormalisedAccuracy, statistics);
        }
    }
}

fn is_base(group: &Group) -> bool {
    group.method.is_none() && group.kind != Kind::Finetune
}

/// The accuracy of the best base model; nothing where it is 0.
fn best(bases: &[Group], group: &Group, observation: &Observation) -> Option<f64> {
    let axes = |group: &Group| -> Vec<String> {
        let axes = group.axes.iter().filter(|(key, _)| !is_method_axis(key));
        axes.map(|(key, value)| format!("{key}={value}")).collect()
    };
    let own = axes(group);
    let fused = |base: &Group| match (&observation.models, &base.model) {
        (Some(models), Some(name)) => models.contains(name),
        _ => true,
    };
    let related = || {
        let split = bases
            .iter()
            .filter(|base| base.parts == group.parts && axes(base) == own);
        split.filter_map(|base| Some((base, base.metrics.get(&Metric::Accuracy)?)))
    };
    // Models of a `[model-set]` have seeds of their own, and there is one of each.
    let once = related().all(|(_, found)| found.n == 1);
    let values = related()
        .filter(|(base, _)| fused(base))
        .flat_map(|(_, found)| &found.values);
    let same_seed = values
        .filter(|value| once || value.seed == observation.seed)
        .map(|value| value.value);
    same_seed.reduce(f64::max).filter(|best| *best > 0.0)
}
