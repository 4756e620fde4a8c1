//! What multiplies is counted before it is expanded.

use std::collections::BTreeMap;

use figment::value::{Dict, Num, Value};

use super::axes::Axis;
use super::groups::{MAX_GROUPS, Selection};
use super::points::MODEL_SET;
use super::recipe::FINETUNE;
use super::resolve::{FusionPoint, Resolver};
use super::settings::SplitSettings;

/// Most jobs of a manifest; each takes some 5 kB of memory.
const MAX_JOBS: u64 = 1_000_000;

/// Most combinations of the axes of sections, and most fusions: each of them is read by itself.
const MAX_POINTS: u64 = 100_000;

/// What runs at every point and seed.
pub(super) struct Work {
    /// How many fusions there are of each selection of models.
    fusions: BTreeMap<String, (Selection, u64)>,
    /// How many there are, every seed of the method counted.
    pub(super) listed: usize,
    method_seeds: usize,
}

/// How much has been expanded so far.
#[derive(Default)]
pub(super) struct Size {
    points: u64,
    included: u64,
}

impl Work {
    pub fn of(fusions: &[FusionPoint], method_seeds: &[u64]) -> Self {
        let mut by_selection = BTreeMap::new();
        for fusion in fusions {
            let key = format!("{:?}", fusion.selection);
            let (_, number) = by_selection.entry(key).or_insert((fusion.selection, 0));
            *number += match fusion.method.is_random() {
                true => method_seeds.len() as u64,
                false => 1,
            };
        }
        Self {
            fusions: by_selection,
            listed: fusions.len(),
            method_seeds: method_seeds.len(),
        }
    }

    /// Jobs of one point and seed with so many models.
    pub(super) fn jobs(&self, models: u64) -> u64 {
        let fusions = self.fusions.values().map(|(selection, number)| match selection {
            Selection::All | Selection::First(_) => *number,
            Selection::Groups(groups) => {
                let groups = groups
                    .number(models as usize)
                    .map_or(MAX_GROUPS, |(_, number)| number);
                number.saturating_mul(groups)
            }
        });
        fusions.fold(models, u64::saturating_add)
    }
}

impl Resolver<'_> {
    /// Whether the axes make more than can be meant, which is a problem; the points on top of those made before.
    pub(super) fn too_many(
        &mut self,
        axes: &[Axis],
        seeds: usize,
        dict: &Dict,
        work: &Work,
        size: &mut Size,
    ) -> bool {
        let points = product(axes);
        let models = models(axes, dict);
        let each = points / (models.len() as u64).max(1);
        let jobs = models.iter().fold(0_u64, |jobs, &models| {
            let of_models = work
                .jobs(models)
                .saturating_mul(each)
                .saturating_mul(seeds as u64);
            jobs.saturating_add(of_models)
        });
        // What is fine-tuned is a job of its own.
        let jobs = jobs.saturating_mul(1 + u64::from(dict.contains_key(FINETUNE)));
        size.points = size.points.saturating_add(points);
        let (number, limit, what) = if jobs > MAX_JOBS {
            (jobs, MAX_JOBS, "jobs")
        } else if size.points > MAX_POINTS {
            (size.points, MAX_POINTS, "combinations of axes")
        } else {
            return false;
        };
        let mut factors = factors(axes);
        let mut add = |number: usize, name: &str| {
            if number > 1 {
                factors.push(format!("{number} {name}"));
            }
        };
        if what == "jobs" {
            add(seeds, "seeds");
            add(
                models.iter().copied().max().unwrap_or_default() as usize,
                "models",
            );
            add(work.listed, "fusions");
            add(work.method_seeds, "method seeds");
        }
        let longest = axes.iter().max_by_key(|axis| axis.values.len());
        let at = match longest.filter(|axis| axis.values.len() >= seeds) {
            Some(axis) => axis.path.clone(),
            None => vec!["seeds".to_string()],
        };
        let factors = factors.join(" x ");
        let message = format!(
            "the manifest makes {} {what}, and {limit} is the limit: {factors}",
            shown(number)
        );
        let problem = self.layers.problem(&at, true, message);
        self.problems
            .push(problem.hint("give fewer values, divide it into several manifests, or list single combinations as `[[include]]`"));
        true
    }

    /// Counts the jobs that an `[[include]]` adds; whether all of them are more than can be meant, which is a problem.
    pub(super) fn too_many_included(&mut self, path: &[String], jobs: u64, size: &mut Size) -> bool {
        size.included = size.included.saturating_add(jobs);
        if size.included <= MAX_JOBS {
            return false;
        }
        let message =
            format!("the `[[include]]` up to this one add more than {MAX_JOBS} jobs, which is the limit");
        let problem = self.layers.problem(path, true, message);
        self.problems
            .push(problem.hint("divide the manifest into several"));
        true
    }

    /// The same of the axes of one `[[fusion]]`; `before` are the fusions read before it.
    pub(super) fn too_many_fusions(&mut self, path: &[String], axes: &[Axis], before: usize) -> bool {
        let number = product(axes).saturating_add(before as u64);
        if number <= MAX_POINTS {
            return false;
        }
        let message = format!(
            "the manifest makes {} fusions, and {MAX_POINTS} is the limit: {}",
            shown(number),
            factors(axes).join(" x ")
        );
        let problem = self.layers.problem(path, true, message);
        self.problems
            .push(problem.hint("give fewer values, or divide it into several manifests"));
        true
    }
}

fn shown(number: u64) -> String {
    match number {
        u64::MAX => "more than 10^19".to_string(),
        number => number.to_string(),
    }
}

fn product(axes: &[Axis]) -> u64 {
    let lengths = axes.iter().map(|axis| axis.values.len() as u64);
    lengths.fold(1, u64::saturating_mul)
}

/// `3 hidden`, the axes' last names.
fn factors(axes: &[Axis]) -> Vec<String> {
    let factor = |axis: &Axis| {
        format!(
            "{} {}",
            axis.values.len(),
            axis.path.last().map_or("", String::as_str)
        )
    };
    axes.iter().map(factor).collect()
}

/// The numbers of models along their axis, or the only one.
fn models(axes: &[Axis], dict: &Dict) -> Vec<u64> {
    let axis = |section: &str, key: &str| axes.iter().find(|axis| axis.path == [section, key]);
    let given = |section: &str, key: &str| dict.get(section)?.as_dict()?.get(key);
    let length = |value: &Value| value.as_array().map_or(1, |seeds| seeds.len() as u64);
    let number = |value: &Value| {
        let number = value.to_num().and_then(Num::to_u128_lossy);
        number.map_or(1, |parts| u64::try_from(parts).unwrap_or(u64::MAX))
    };
    if dict.contains_key(MODEL_SET) {
        return match axis(MODEL_SET, "seeds") {
            Some(axis) => axis.values.iter().map(length).collect(),
            None => vec![given(MODEL_SET, "seeds").map_or(1, length)],
        };
    }
    match axis("split", "parts") {
        Some(axis) => axis.values.iter().map(number).collect(),
        None => vec![given("split", "parts").map_or(SplitSettings::default().parts as u64, number)],
    }
}
