//! Every row against a baseline, across seeds.

use super::columns::Columns;
use super::rows::Line;
use super::statistics::{holm, mcnemar, paired_t, smallest_wilcoxon_p, wilcoxon};
use super::{Group, Metric, Observation, ReportError, Test};
use crate::report::error::nearest;

/// p of each row and column, Holm-corrected within a column, and what has to be said about them.
pub struct Comparison {
    /// `[row][column]`; `None` where there is nothing to compare.
    pub p: Vec<Vec<Option<f64>>>,
    /// For below the table.
    pub notes: Vec<String>,
}

/// The level below which a difference is marked.
pub const LEVEL: f64 = 0.05;

/// Compares all rows that are no base models with the row called `baseline`, on what they share: pairs have the same
/// seeds, and the same models where groups are sampled.
pub fn compare(
    lines: &[Line],
    columns: &Columns,
    metric: Metric,
    baseline: &str,
    test: Test,
) -> Result<Comparison, ReportError> {
    let base = find(lines, baseline)?;
    let mut p = vec![vec![None; columns.heads.len()]; lines.len()];
    let mut fewest = usize::MAX;
    for column in 0..columns.heads.len() {
        let Some(reference) = lines[base].groups[column] else {
            continue;
        };
        let mut tested: Vec<(usize, f64)> = Vec::new();
        for (row, line) in lines.iter().enumerate() {
            let Some(group) = line.groups[column].filter(|_| row != base && line.rank.is_none()) else {
                continue;
            };
            let differences = differences(group, reference, metric);
            let found = match test {
                Test::T => paired_t(&differences).map(|test| test.p),
                Test::Wilcoxon => wilcoxon(&differences).map(|test| test.p),
                Test::McNemar => examples(group, reference),
            };
            if let Some(found) = found.filter(|_| test == Test::McNemar || differences.len() > 1) {
                fewest = fewest.min(differences.len());
                tested.push((row, found));
            }
        }
        let raw: Vec<f64> = tested.iter().map(|(_, p)| *p).collect();
        for ((row, _), corrected) in tested.iter().zip(holm(&raw)) {
            p[*row][column] = Some(corrected);
        }
    }
    let name = &lines[base].name();
    let mut notes = Vec::new();
    if fewest == usize::MAX && test == Test::McNemar {
        notes.push(format!(
            "No difference from {name} can be tested: McNemar's test needs one run of each and the answers it stored."
        ));
    } else if fewest == usize::MAX {
        notes.push(format!(
            "No difference from {name} can be tested: there are no two runs to pair."
        ));
    } else {
        notes.push(format!(
            "*: differs from {name} at the level {LEVEL} ({}, Holm-corrected within a column).",
            test.title()
        ));
        if test == Test::Wilcoxon && smallest_wilcoxon_p(fewest) >= LEVEL {
            notes.push(format!(
                "With n = {fewest} pairs Wilcoxon's p cannot go below {}, so nothing can be significant there.",
                format!("{:.4}", smallest_wilcoxon_p(fewest)).trim_end_matches('0')
            ));
        }
    }
    Ok(Comparison { p, notes })
}

fn find(lines: &[Line], wanted: &str) -> Result<usize, ReportError> {
    let names = |line: &Line| {
        let group = line.groups.iter().flatten().next();
        let method = group.and_then(|group| group.method.clone());
        let importance = group.and_then(|group| group.importance.clone());
        let both = method
            .as_ref()
            .zip(importance)
            .map(|(method, importance)| format!("{method}/{importance}"));
        [Some(line.name()), both, method, Some(line.label.clone())]
    };
    let hit = |line: &Line| {
        names(line)
            .iter()
            .flatten()
            .any(|name| name.eq_ignore_ascii_case(wanted))
    };
    lines.iter().position(hit).ok_or_else(|| {
        let mut known: Vec<String> = lines
            .iter()
            .flat_map(|line| names(line)[..2].to_vec())
            .flatten()
            .collect();
        known.dedup();
        let quoted = known.iter().map(|name| format!("`{name}`")).collect();
        ReportError::UnknownBaseline {
            name: wanted.to_string(),
            nearest: nearest(wanted, known.iter().map(String::as_str)),
            known: quoted,
        }
    })
}

/// The differences of two groups' values on the seeds, and models, they share.
pub fn differences(group: &Group, reference: &Group, metric: Metric) -> Vec<f64> {
    let values = |group: &Group| {
        group
            .statistics(metric)
            .map(|found| found.values.clone())
            .unwrap_or_default()
    };
    let same = |a: &Observation, b: &Observation| {
        let seeds = a.method_seed.zip(b.method_seed).is_none_or(|(a, b)| a == b);
        a.seed == b.seed && a.group == b.group && seeds
    };
    let theirs = values(reference);
    let pairs = values(group).into_iter().filter_map(|own| {
        let other = theirs.iter().find(|other| same(&own, other))?;
        Some(own.value - other.value)
    });
    pairs.collect()
}

/// McNemar's p over the test examples, where each group has one run that kept its answers. Several runs answer the same
/// examples, which are then no independent trials.
fn examples(group: &Group, reference: &Group) -> Option<f64> {
    let answers = |group: &Group| match group.correct.as_slice() {
        [one] => one.clone(),
        _ => None,
    };
    Some(mcnemar(&answers(group)?, &answers(reference)?)?.p)
}
