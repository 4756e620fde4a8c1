//! What jobs are likely to take, for deciding which come first.

use std::collections::HashMap;

use crate::plan::JobSpec;
use crate::result::Store;

/// Likely durations, from what earlier jobs took.
#[derive(Debug, Default)]
pub struct Costs {
    by_name: HashMap<String, f64>,
    /// Mean of the jobs whose names begin alike.
    by_class: HashMap<String, f64>,
}

impl Costs {
    /// From the ledger of the experiment.
    pub fn of_store(store: &Store) -> Self {
        let mut sums: HashMap<String, (f64, u32)> = HashMap::new();
        let mut by_name = HashMap::new();
        for (job, known) in store.known() {
            by_name.insert(stem(job).to_string(), known.seconds);
            let (sum, n) = sums.entry(class(job).to_string()).or_default();
            *sum += known.seconds;
            *n += 1;
        }
        let mean = |(class, (sum, n)): (String, (f64, u32))| (class, sum / f64::from(n));
        let by_class = sums.into_iter().map(mean).collect();
        Self { by_name, by_class }
    }

    /// Seconds that the job is likely to take: as long as an earlier one of its name, or else as its like did on average,
    /// or else a guess that has nothing but the order right.
    pub fn of(&self, job: &JobSpec) -> f64 {
        let known = self.by_name.get(stem(&job.name));
        let known = known.or_else(|| self.by_class.get(class(&job.name)));
        known.copied().unwrap_or_else(|| job.task.likely_seconds())
    }
}

/// The name without the hash: a job with other settings takes about as long.
fn stem(job: &str) -> &str {
    job.rsplit_once('-').map_or(job, |(stem, _)| stem)
}

/// `train-model_3` of `train-model_3-parts=4-seed=1-06be1f55`: what stands before the axes.
fn class(job: &str) -> &str {
    let end = job
        .find('=')
        .map_or(job.len(), |end| job[..end].rfind('-').unwrap_or(end));
    &job[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_what_stands_before_the_axes() {
        assert_eq!(class("train-model_3-parts=4-seed=1-06be1f55"), "train-model_3");
        assert_eq!(
            class("fuse-kf-gradient-importance=uniform-seed=1-06be1f55"),
            "fuse-kf-gradient"
        );
        assert_eq!(
            stem("train-model_3-parts=4-seed=1-06be1f55"),
            "train-model_3-parts=4-seed=1"
        );
    }
}
