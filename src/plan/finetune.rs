//! Jobs after all others of a point: fine-tuned models, and what is made of the fine-tuned base models.

use super::build::{Builder, Made, stem};
use super::{Dependency, Fuse, JobSpec, Source, Task};
use crate::fusion::Method;
use crate::manifest::{FinetuneSettings, Point, Tuned};
use crate::result::Input;

impl Builder<'_> {
    /// Adds what `[finetune]` asks for.
    pub(super) fn finetune(&mut self, point: &Point, settings: &FinetuneSettings, made: &Made) {
        if settings.of.contains(&Tuned::Base) {
            let tuned: Vec<usize> = made.bases.iter().map(|&base| self.tune(point, base)).collect();
            for &fusion in &made.fusions {
                self.fuse_tuned(point, fusion, &tuned);
            }
        }
        if settings.of.contains(&Tuned::Fused) {
            for &fusion in &made.fusions {
                // An ensemble is no network.
                if self.plan.jobs[fusion]
                    .task
                    .fusion()
                    .is_some_and(|fuse| !is_ensemble(fuse))
                {
                    self.tune(point, fusion);
                }
            }
        }
    }

    /// The job that trains what the job at `position` makes further.
    fn tune(&mut self, point: &Point, position: usize) -> usize {
        let of = self.plan.jobs[position].clone();
        let (source, name, model) = match &of.task {
            // What is fused has the first model's network.
            Task::Fuse(fuse) | Task::FuseTuned(fuse) => {
                (Source::Fused((**fuse).clone()), stem(fuse, is_group(&of)), 0)
            }
            Task::Train(base) | Task::Evaluate(base) => (
                Source::Base(base.clone()),
                format!("model_{}", base.model),
                base.model,
            ),
            Task::Finetune(_) => return position,
        };
        let job = JobSpec {
            name,
            key: String::new(),
            task: Task::Finetune(Box::new(source)),
            settings: point.settings.of_model(model),
            axes: with_finetune(point, &of),
            label: of.label.as_ref().map(|label| format!("{label}, fine-tuned")),
            also: Vec::new(),
            inputs: vec![
                self.dataset(&point.settings),
                Input {
                    role: "model".into(),
                    hash: of.key.clone(),
                },
            ],
            needs: vec![Dependency {
                job: of.name.clone(),
                key: of.key.clone(),
            }],
            seed: of.seed,
            method_seed: of.method_seed,
        };
        self.add(job, None, vec![position])
    }

    /// The average or the ensemble at `position`, of the fine-tuned models `tuned` instead; nothing for other methods.
    fn fuse_tuned(&mut self, point: &Point, position: usize, tuned: &[usize]) {
        let of = self.plan.jobs[position].clone();
        let Some(fuse) = of.task.fusion() else { return };
        let name = match (&of.label, &fuse.method) {
            (Some(label), Method::Ensemble(_) | Method::VanillaAveraging(_)) => label.clone(),
            (None, Method::Ensemble(ensemble)) if ensemble.head_weights => "Ensemble, head-weighted,".into(),
            (None, Method::Ensemble(_)) => "Ensemble".into(),
            (None, Method::VanillaAveraging(_)) => "Vanilla averaging".into(),
            _ => return,
        };
        let members: Vec<usize> = fuse.models.iter().map(|&model| tuned[model]).collect();
        let mut inputs = vec![self.dataset(&point.settings)];
        let mut needs = Vec::new();
        for (model, &member) in members.iter().enumerate() {
            let job = &self.plan.jobs[member];
            needs.push(Dependency {
                job: job.name.clone(),
                key: job.key.clone(),
            });
            inputs.push(Input {
                role: format!("model_{model}"),
                hash: job.key.clone(),
            });
        }
        let job = JobSpec {
            name: format!("of-{}", stem(fuse, is_group(&of))),
            key: String::new(),
            task: Task::FuseTuned(Box::new(fuse.clone())),
            axes: with_finetune(point, &of),
            label: Some(match (&of.label, is_group(&of)) {
                (None, true) => format!("{name} of fine-tuned models, groups of {}", members.len()),
                _ => format!("{name} of fine-tuned models"),
            }),
            also: Vec::new(),
            inputs,
            needs,
            ..(*of).clone()
        };
        self.add(job, None, members);
    }
}

fn is_ensemble(fuse: &Fuse) -> bool {
    matches!(fuse.method, Method::Ensemble(_))
}

fn is_group(job: &JobSpec) -> bool {
    job.axes.contains_key("fusion.groups")
}

/// The job's coordinates and those of the section.
fn with_finetune(point: &Point, of: &JobSpec) -> std::collections::BTreeMap<String, serde_json::Value> {
    let mut axes = of.axes.clone();
    let own = point.axes.iter().filter(|(key, _)| key.starts_with("finetune."));
    axes.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    axes
}
