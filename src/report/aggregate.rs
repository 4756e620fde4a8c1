//! From the records of an experiment to statistics over its seeds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::group::parameters;
use super::{Group, Metric, Observation, ReportError, Statistics};
use super::{labels, normalise};
use crate::result::{Confusion, Index, IndexEntry, Place, Record, Status};

/// Version of `summary.json`; raised when a field changes its meaning or disappears.
pub const SUMMARY_SCHEMA: u32 = 1;

/// An experiment's results over its seeds: the content of `summary.json`. Holds no time and no machine, so equal
/// results give equal files.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// [`SUMMARY_SCHEMA`].
    pub schema: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// Name of the data set.
    pub dataset: String,
    /// In the order in which the index first names one of their jobs.
    pub groups: Vec<Group>,
    /// Jobs without a record, of which the index does not say enough to tell their group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unplaced: Vec<String>,
}

impl Summary {
    /// Aggregates the records that the index names, over `seed` and `method-seed`. Other records are ignored: they
    /// stem from an earlier manifest.
    ///
    /// Two finished jobs of one group must differ in their seeds or in the models they fuse; otherwise something
    /// else differs that is neither an axis nor a parameter of the method, and averaging would hide it.
    pub fn from_records(index: &Index, records: &[Record]) -> Result<Self, ReportError> {
        let by_key: HashMap<&str, &Record> = records
            .iter()
            .map(|record| (record.key.as_str(), record))
            .collect();
        one_data_set(index, &by_key)?;
        let found = |entry: &IndexEntry| by_key.get(entry.key.as_str()).copied();
        // One record may stand at several places, and says the first of them.
        let placed = |entry: &IndexEntry, record: &Record| {
            let place = entry.place.clone().unwrap_or_else(|| Place::from(record));
            Group::at(entry.kind, &place, parameters(record))
        };

        // A job without a record has no settings; it joins its place's group where there is just one.
        let mut variants: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut known: HashMap<String, Value> = HashMap::new();
        for (entry, record) in index.jobs.iter().filter_map(|entry| Some((entry, found(entry)?))) {
            let group = placed(entry, record);
            let identity = group.identity(true);
            known.insert(identity.clone(), group.parameters.clone());
            variants
                .entry(group.identity(false))
                .or_default()
                .insert(identity);
        }

        let mut groups: Vec<(Group, Vec<&Record>)> = Vec::new();
        let mut positions: HashMap<String, usize> = HashMap::new();
        let mut unplaced = Vec::new();
        for entry in &index.jobs {
            let record = found(entry);
            let group = match (record, &entry.place) {
                (Some(record), _) => Some(placed(entry, record)),
                (None, Some(place)) => {
                    let mut group = Group::at(entry.kind, place, Value::Null);
                    let candidates = variants.get(&group.identity(false));
                    let only = candidates.and_then(|all| all.first().filter(|_| all.len() == 1));
                    if let Some(parameters) = only.and_then(|identity| known.get(identity)) {
                        group.parameters = parameters.clone();
                    }
                    candidates.is_none_or(|all| all.len() == 1).then_some(group)
                }
                (None, None) => None,
            };
            let Some(group) = group else {
                unplaced.push(entry.job.clone());
                continue;
            };
            let position = *positions.entry(group.identity(true)).or_insert(groups.len());
            if position == groups.len() {
                groups.push((group, Vec::new()));
            }
            let (group, finished) = &mut groups[position];
            group.jobs.add(record.map(|record| record.status));
            finished.extend(record.filter(|record| record.status == Status::Ok));
        }
        let groups = groups.into_iter().map(|(group, finished)| fill(group, finished));
        let mut groups = groups.collect::<Result<Vec<_>, _>>()?;
        normalise::accuracies(&mut groups);
        Ok(Self {
            schema: SUMMARY_SCHEMA,
            experiment: index.experiment.clone(),
            dataset: index.dataset.clone(),
            groups,
            unplaced,
        })
    }
}

/// Computes the statistics of a group.
fn fill(mut group: Group, mut finished: Vec<&Record>) -> Result<Group, ReportError> {
    // Models by their names as text: sums in another order would differ in their last digits from summaries there are.
    finished.sort_by_key(|record| (record.seed, record.method_seed, &record.models));
    let seeds = |record: &Record| (record.seed, record.method_seed);
    // What is fused is worth saying wherever it is not all there is.
    let mut repeated = group.method.is_some() && group.size < group.parts;
    for pair in finished.windows(2) {
        if seeds(pair[0]) == seeds(pair[1]) {
            repeated = true;
            if pair[0].models == pair[1].models {
                return Err(ReportError::Duplicate {
                    group: group.title(),
                    seed: pair[0].seed,
                    first: pair[0].job.clone(),
                    second: pair[1].job.clone(),
                });
            }
        }
    }
    for metric in Metric::ALL.into_iter().chain(Metric::DERIVED) {
        let observation = |record: &&Record| {
            Some(Observation {
                seed: record.seed,
                method_seed: record.method_seed,
                group: repeated.then(|| labels::group(&record.models)),
                models: repeated.then(|| record.models.clone()),
                value: metric.of(record)?,
            })
        };
        if let Some(statistics) = Statistics::of(finished.iter().filter_map(observation).collect()) {
            let results = if metric.is_result() {
                &mut group.metrics
            } else {
                &mut group.derived
            };
            results.insert(metric, statistics);
        }
    }
    for metric in Metric::ALL {
        let metrics = finished.iter().filter_map(|record| record.metrics.as_ref());
        let why: BTreeSet<String> = metrics.filter_map(|found| metric.undefined(found)).collect();
        if !why.is_empty() {
            let why: Vec<String> = why.into_iter().collect();
            group.undefined.insert(metric, why.join("; "));
        }
    }
    group.confusion = pooled(&finished);
    group.keys = finished.iter().map(|record| record.key.clone()).collect();
    Ok(group)
}

/// The sum of the confusion matrices; nothing where they are of different sizes.
fn pooled(finished: &[&Record]) -> Option<Confusion> {
    let mut matrices = finished
        .iter()
        .filter_map(|record| Some(&record.metrics.as_ref()?.confusion_matrix));
    let mut sum = matrices.next()?.clone();
    for matrix in matrices {
        if matrix.len() != sum.len() || matrix.iter().zip(&sum).any(|(a, b)| a.len() != b.len()) {
            return None;
        }
        for (total, count) in sum.iter_mut().flatten().zip(matrix.iter().flatten()) {
            *total += count;
        }
    }
    Some(sum)
}

/// Where the data set is no axis, all records are about one. Otherwise numbers would be compared that are about
/// different things, and nothing in the table would say so.
fn one_data_set(index: &Index, by_key: &HashMap<&str, &Record>) -> Result<(), ReportError> {
    let mut expected: Option<&str> = None;
    for entry in &index.jobs {
        let Some(record) = by_key.get(entry.key.as_str()) else {
            continue;
        };
        let Some(found) = record.settings["dataset"]["name"].as_str() else {
            continue;
        };
        let is_axis = record.axes.keys().any(|key| key.starts_with("dataset"));
        if is_axis {
            continue;
        }
        // Not the index's name, which may be a path where records have none.
        let expected = *expected.get_or_insert(found);
        if found != expected {
            return Err(ReportError::MixedData {
                job: record.job.clone(),
                found: found.to_string(),
                expected: expected.to_string(),
            });
        }
    }
    Ok(())
}
