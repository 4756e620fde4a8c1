//! Every row against a baseline, across seeds.

use super::columns::Columns;
use super::rows::Line;
use super::statistics::{by_repetition, holm, mcnemar, mean, paired_t, smallest_wilcoxon_p, wilcoxon};
use super::{Group, Metric, Observation, ReportError, Test};
use crate::report::error::nearest;

/// p of each row and column, Holm-corrected within a column, and what has to be said about them.
pub struct Comparison {
    /// `[row][column]`; `None` where there is nothing to compare.
    pub p: Vec<Vec<Option<f64>>>,
    /// For below the table.
    pub notes: Vec<String>,
    /// What was asked for and could not be done.
    pub warnings: Vec<String>,
}

/// The level below which a difference is marked.
pub const LEVEL: f64 = 0.05;
/// With less pairs there is no t-test: with two it has one degree of freedom, and the spread of two numbers says nothing.
const LEAST_PAIRS: usize = 3;

/// Compares all rows that are no base models with the row called `baseline`, on what they share.
pub fn compare(
    lines: &[Line],
    columns: &Columns,
    metric: Metric,
    baseline: &str,
    test: Test,
) -> Result<Comparison, ReportError> {
    let base = find(lines, baseline)?;
    let mut p = vec![vec![None; columns.heads.len()]; lines.len()];
    let mut conditional = false;
    let (mut asked, mut done) = (0, 0);
    // Of the column where Wilcoxon's test can tell least: its smallest corrected p, fewest pairs, and rows.
    let mut limit: Option<(f64, usize, usize)> = None;
    for column in 0..columns.heads.len() {
        let Some(reference) = lines[base].groups[column] else {
            continue;
        };
        let mut tested: Vec<(usize, f64)> = Vec::new();
        let mut fewest = usize::MAX;
        for (row, line) in lines.iter().enumerate() {
            let Some(group) = line.groups[column].filter(|_| row != base && line.rank.is_none()) else {
                continue;
            };
            if group.statistics(metric).is_none() || reference.statistics(metric).is_none() {
                continue;
            }
            let pairs = pairs(group, reference, metric);
            let found = match test {
                // It asks which test examples are right, whatever the table is of.
                Test::McNemar if metric == Metric::Accuracy => examples(group, reference),
                Test::McNemar => None,
                Test::T | Test::Wilcoxon => paired(test, &pairs.differences),
            };
            asked += 1;
            if let Some(found) = found {
                done += 1;
                fewest = fewest.min(pairs.differences.len());
                conditional |= pairs.one_set && test != Test::McNemar;
                tested.push((row, found));
            }
        }
        if !tested.is_empty() {
            let own = (
                smallest_wilcoxon_p(fewest) * tested.len() as f64,
                fewest,
                tested.len(),
            );
            limit = Some(limit.filter(|worst| worst.0 >= own.0).unwrap_or(own));
        }
        let raw: Vec<f64> = tested.iter().map(|(_, p)| *p).collect();
        for ((row, _), corrected) in tested.iter().zip(holm(&raw)) {
            p[*row][column] = Some(corrected);
        }
    }
    let name = &lines[base].name();
    let mut notes = Vec::new();
    let why = match test {
        Test::McNemar if metric != Metric::Accuracy => "McNemar's test is of accuracy alone",
        Test::McNemar => "McNemar's test needs one run of each, and its answers to the test examples",
        Test::T => "the paired t-test needs three pairs of runs",
        Test::Wilcoxon => "Wilcoxon's test needs two pairs of runs",
    };
    // Answers are kept where they were computed, but not committed.
    let kept = match test {
        Test::McNemar if metric == Metric::Accuracy => {
            "; answers are in `cache/predictions` of the results, which git does not keep: `runner exec --force` makes them anew"
        }
        _ => "",
    };
    let mut warnings = Vec::new();
    if done < asked {
        warnings.push(format!(
            "{} of {asked} differences from {name} could not be tested: {why}{kept}",
            asked - done
        ));
    }
    let Some((least, n, rows)) = limit else {
        notes.push(format!("No difference from {name} can be tested: {why}."));
        return Ok(Comparison { p, notes, warnings });
    };
    let any = p.iter().flatten().any(|p| is_significant(*p));
    notes.push(format!(
        "{} from {name} at the level {LEVEL} ({}, Holm-corrected within a column).",
        if any { "*: differs" } else { "Nothing differs" },
        test.title()
    ));
    if done < asked {
        notes.push(format!("Not every difference could be tested: {why}."));
    }
    if conditional {
        notes.push(
            "Pairs differ in the method's seed alone: this says nothing about other base models.".to_string(),
        );
    }
    if test == Test::Wilcoxon && least >= LEVEL {
        let written = |p: f64| format!("{p:.4}").trim_end_matches('0').to_string();
        let corrected = match rows {
            1 => String::new(),
            rows => format!(
                ", {} after Holm's correction over {rows} rows",
                written(least.min(1.0)).trim_end_matches('.')
            ),
        };
        notes.push(format!(
                "With n = {n} pairs Wilcoxon's p cannot go below {}{corrected}, so nothing can be significant there.",
                written(smallest_wilcoxon_p(n)),
            ));
    }
    Ok(Comparison { p, notes, warnings })
}

/// Whether there is such a row, in a table of results that are still to come: what stands behind a row's name is only known
/// then.
pub fn check(lines: &[Line], wanted: &str) -> Result<(), ReportError> {
    let begins = |line: &Line| {
        let longer = wanted.to_lowercase();
        longer.starts_with(&(line.label.to_lowercase() + ", "))
    };
    if lines.iter().any(begins) {
        return Ok(());
    }
    find(lines, wanted).map(drop)
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
        let of = |line: &Line| names(line).into_iter().flatten().collect::<Vec<_>>();
        let all: Vec<String> = lines.iter().flat_map(of).collect();
        // The row's label is a name of every row.
        let shown = lines.iter().map(|line| format!("`{}`", line.name()));
        ReportError::UnknownBaseline {
            name: wanted.to_string(),
            nearest: nearest(wanted, all.iter().map(String::as_str)),
            known: shown.collect(),
        }
    })
}

/// Differences of two groups' values.
struct Pairs {
    differences: Vec<f64>,
    /// Whether they share their base models, and differ in the method's seed alone.
    one_set: bool,
}

/// Pairs what two groups have in common: the means of each seed, and of each group of models where groups are sampled.
/// Where that is one, the runs that differ in the method's seed are paired; a method without randomness has one run, which
/// is paired with each.
fn pairs(group: &Group, reference: &Group, metric: Metric) -> Pairs {
    let values = |group: &Group| group.statistics(metric).map(|found| found.values.clone());
    let (ours, theirs) = (
        values(group).unwrap_or_default(),
        values(reference).unwrap_or_default(),
    );
    let theirs = by_repetition(&theirs);
    let common: Vec<(Vec<&Observation>, &Vec<&Observation>)> = by_repetition(&ours)
        .into_iter()
        .filter_map(|(own, members)| {
            let (_, others) = theirs.iter().find(|(other, _)| *other == own)?;
            Some((members, others))
        })
        .collect();
    if let [(own, others)] = common.as_slice() {
        let differences = match (own.as_slice(), others.as_slice()) {
            (own, [other]) => own.iter().map(|own| own.value - other.value).collect(),
            ([own], others) => others.iter().map(|other| own.value - other.value).collect(),
            (own, others) => {
                let pair = |own: &&Observation| {
                    let other = others.iter().find(|other| other.method_seed == own.method_seed)?;
                    Some(own.value - other.value)
                };
                own.iter().filter_map(pair).collect()
            }
        };
        return Pairs {
            differences,
            one_set: true,
        };
    }
    let differences = common.iter().map(|(own, others)| mean(own) - mean(others));
    Pairs {
        differences: differences.collect(),
        one_set: false,
    }
}

/// p of a test of paired differences; nothing for too few.
fn paired(test: Test, differences: &[f64]) -> Option<f64> {
    let least = if test == Test::T { LEAST_PAIRS } else { 2 };
    if differences.len() < least {
        return None;
    }
    // The tests do not know what to make of it.
    if differences.iter().all(|difference| *difference == 0.0) {
        return Some(1.0);
    }
    match test {
        Test::T => paired_t(differences).map(|test| test.p),
        _ => wilcoxon(differences).map(|test| test.p),
    }
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

/// Whether a difference is to be marked.
pub(super) fn is_significant(p: Option<f64>) -> bool {
    p.is_some_and(|p| p < LEVEL)
}
