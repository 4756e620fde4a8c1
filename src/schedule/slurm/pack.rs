//! Which jobs share a task, and which tasks an array.

use std::collections::{BTreeMap, BTreeSet};

/// The tasks of one stage: jobs that need none of each other, all of whose needs are in earlier stages.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// The jobs of each task, in the plan's order; by task number, which need not be contiguous.
    pub tasks: BTreeMap<usize, Vec<usize>>,
    /// Whether each task needs jobs of the task of the same number in the stage before, and of no other.
    pub corresponds: bool,
}

/// Divides the jobs `todo` into stages and tasks. `needs` is the plan's; `share` is the part of a task that a job fills,
/// so that a task's jobs add up to 1 at most, or are one.
///
/// Where jobs that depend on each other fit into one task per stage, they get tasks of the same number: such a task can
/// begin when that of the stage before has ended, whatever the others do.
pub fn stages(todo: &BTreeSet<usize>, needs: &[Vec<usize>], share: &dyn Fn(usize) -> f64) -> Vec<Stage> {
    let depth = depths(todo, needs);
    let count = depth.values().max().map_or(0, |deepest| deepest + 1);
    let mut stages: Vec<Stage> = (0..count).map(|_| Stage::default()).collect();
    if let Some(groups) = groups(todo, needs, &depth, share) {
        for (number, group) in groups.iter().enumerate() {
            for &job in group {
                stages[depth[&job]].tasks.entry(number).or_default().push(job);
            }
        }
        for stage in 1..count {
            let (before, after) = stages.split_at_mut(stage);
            let earlier = &before[stage - 1].tasks;
            after[0].corresponds = after[0].tasks.keys().all(|task| earlier.contains_key(task));
        }
        return stages;
    }
    for (number, stage) in stages.iter_mut().enumerate() {
        let jobs = todo.iter().copied().filter(|job| depth[job] == number);
        let mut filled = f64::INFINITY;
        for job in jobs {
            filled += share(job);
            if filled > 1.0 + 1e-9 {
                filled = share(job);
                stage.tasks.insert(stage.tasks.len(), Vec::new());
            }
            if let Some(mut task) = stage.tasks.last_entry() {
                task.get_mut().push(job);
            }
        }
    }
    stages
}

/// For each job how many stages come before it.
fn depths(todo: &BTreeSet<usize>, needs: &[Vec<usize>]) -> BTreeMap<usize, usize> {
    let mut depth: BTreeMap<usize, usize> = BTreeMap::new();
    // Jobs come after those they need.
    for &job in todo {
        let deepest = needs[job]
            .iter()
            .filter_map(|need| depth.get(need))
            .max()
            .map_or(0, |deepest| deepest + 1);
        depth.insert(job, deepest);
    }
    depth
}

/// Whole families of dependent jobs, as many together as fit into one task of each stage; `None` where one does not fit.
fn groups(
    todo: &BTreeSet<usize>,
    needs: &[Vec<usize>],
    depth: &BTreeMap<usize, usize>,
    share: &dyn Fn(usize) -> f64,
) -> Option<Vec<Vec<usize>>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut filled: BTreeMap<usize, f64> = BTreeMap::new();
    for family in families(todo, needs) {
        let mut own: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for job in &family {
            let entry = own.entry(depth[job]).or_default();
            entry.0 += share(*job);
            entry.1 += 1;
        }
        if own.values().any(|&(share, jobs)| share > 1.0 + 1e-9 && jobs > 1) {
            return None;
        }
        let fits = |(stage, (share, _)): (&usize, &(f64, usize))| {
            filled.get(stage).copied().unwrap_or_default() + share <= 1.0 + 1e-9
        };
        if groups.is_empty() || !own.iter().all(fits) {
            groups.push(Vec::new());
            filled.clear();
        }
        for (stage, (share, _)) in own {
            *filled.entry(stage).or_default() += share;
        }
        if let Some(group) = groups.last_mut() {
            group.extend(family);
            group.sort_unstable();
        }
    }
    Some(groups)
}

/// Jobs that depend on each other, directly or not, in the order of their first.
fn families(todo: &BTreeSet<usize>, needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut parent: BTreeMap<usize, usize> = todo.iter().map(|&job| (job, job)).collect();
    for &job in todo {
        for &need in needs[job].iter().filter(|need| todo.contains(need)) {
            let (a, b) = (root(&mut parent, job), root(&mut parent, need));
            parent.insert(a.max(b), a.min(b));
        }
    }
    let mut families: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &job in todo {
        let first = root(&mut parent, job);
        families.entry(first).or_default().push(job);
    }
    families.into_values().collect()
}

/// The first of a job's family, as far as it is known; shortens the way there.
fn root(parent: &mut BTreeMap<usize, usize>, job: usize) -> usize {
    let mut top = job;
    while parent[&top] != top {
        top = parent[&top];
    }
    let mut next = job;
    while next != top {
        next = parent.insert(next, top).unwrap_or(top);
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two models and two fusions of both, three times: jobs 0 1 | 2 3, 4 5 | 6 7, 8 9 | 10 11.
    fn needs() -> Vec<Vec<usize>> {
        (0..12)
            .map(|job| match job % 4 {
                0 | 1 => vec![],
                k => vec![job - k, job - k + 1],
            })
            .collect()
    }

    fn tasks(stage: &Stage) -> Vec<(usize, Vec<usize>)> {
        stage.tasks.iter().map(|(&n, jobs)| (n, jobs.clone())).collect()
    }

    #[test]
    fn families_that_fit_share_the_number_of_their_tasks() {
        let todo = (0..12).collect();
        let found = stages(&todo, &needs(), &|_| 0.25);
        assert_eq!(found.len(), 2);
        assert_eq!(tasks(&found[0]), [(0, vec![0, 1, 4, 5]), (1, vec![8, 9])]);
        assert_eq!(tasks(&found[1]), [(0, vec![2, 3, 6, 7]), (1, vec![10, 11])]);
        assert!(found[1].corresponds);
        // The models of the second family are there: nothing before its fusions to wait for.
        let todo = [0, 1, 2, 6, 7].into();
        let found = stages(&todo, &needs(), &|_| 0.5);
        assert_eq!(tasks(&found[0]), [(0, vec![0, 1]), (1, vec![6, 7])]);
        assert_eq!(tasks(&found[1]), [(0, vec![2])]);
        assert!(found[1].corresponds);
    }

    #[test]
    fn families_that_do_not_fit_are_divided() {
        let todo: BTreeSet<usize> = (0..12).collect();
        let found = stages(&todo, &needs(), &|_| 1.0);
        assert_eq!(found[0].tasks.len(), 6);
        assert_eq!(found[1].tasks.len(), 6);
        assert!(!found[1].corresponds);
        // Fusions of a tenth of a task each, models that take several.
        let found = stages(&todo, &needs(), &|job| if job % 4 < 2 { 3.0 } else { 0.1 });
        assert_eq!(found[0].tasks.len(), 6);
        assert_eq!(tasks(&found[1]), [(0, vec![2, 3, 6, 7, 10, 11])]);
        let all: BTreeSet<usize> = found
            .iter()
            .flat_map(|stage| stage.tasks.values().flatten().copied())
            .collect();
        assert_eq!(all, todo);
    }

    #[test]
    fn each_job_comes_after_those_it_needs() {
        // A chain, with what is there already left out.
        let needs = vec![vec![], vec![0], vec![1], vec![2], vec![]];
        let found = stages(&[1, 2, 3, 4].into(), &needs, &|_| 0.1);
        assert_eq!(found.len(), 3);
        assert_eq!(tasks(&found[0]), [(0, vec![1, 4])]);
        assert_eq!(tasks(&found[2]), [(0, vec![3])]);
        assert_eq!(stages(&BTreeSet::new(), &needs, &|_| 1.0), []);
    }
}
