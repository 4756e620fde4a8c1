//! Learning rates by epoch.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// stays at its peak
    Constant,
    /// a cosine as long as the whole training, from the peak towards `min-lr`, which it reaches only without warm-up
    Cosine,
    /// times `gamma` every `every` epochs
    Step,
    /// a cosine to `min-lr` over `period` epochs, then again from the peak, each time `factor` times as long
    Restarts,
}

/// The course of the learning rate; every epoch has one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Schedule {
    /// What follows the warm-up.
    pub name: ScheduleKind,
    /// Epochs at the peak between warm-up and descent. The reference has its first epoch after the warm-up twice: 1
    /// gives its learning rates.
    #[serde(skip_serializing_if = "is_zero")]
    pub hold: usize,
    /// `step`: epochs between two cuts. Default: 30.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<usize>,
    /// `step`: what the learning rate is multiplied by. Default: 0.1.
    #[schemars(range(min = 0.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// `restarts`: epochs of the first cosine. Default: 10.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<usize>,
    /// `restarts`: how many times as long the next cosine is. Default: 1.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<usize>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            name: ScheduleKind::Cosine,
            hold: 0,
            every: None,
            gamma: None,
            period: None,
            factor: None,
        }
    }
}

/// A learning rate over a number of epochs.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    /// Its form.
    pub schedule: &'a Schedule,
    /// Epochs of linear warm-up; the first has learning rate 0.
    pub warmup: usize,
    /// Where cosines tend to.
    pub min: f64,
    /// Epochs in all.
    pub epochs: usize,
}

impl Schedule {
    /// The first key that is given although the schedule of this name does not take it.
    pub fn foreign(&self) -> Option<&'static str> {
        let (step, restarts) = (ScheduleKind::Step, ScheduleKind::Restarts);
        let given = [
            ("every", self.every.is_some(), step),
            ("gamma", self.gamma.is_some(), step),
            ("period", self.period.is_some(), restarts),
            ("factor", self.factor.is_some(), restarts),
        ];
        let foreign = given
            .into_iter()
            .find(|(_, given, of)| *given && *of != self.name);
        foreign.map(|(key, ..)| key)
    }
}

impl Course<'_> {
    /// Learning rate of `epoch` (from 0), given its peak.
    ///
    /// Linear from 0 over the warm-up. The cosine starts when the warm-up ends but has the length of the whole
    /// training, as in the reference: the last epoch is above `min`.
    pub fn rate(&self, peak: f64, epoch: usize) -> f64 {
        if epoch < self.warmup {
            return peak * epoch as f64 / self.warmup as f64;
        }
        let since = (epoch - self.warmup).saturating_sub(self.schedule.hold);
        let cosine = |at: usize, of: usize| {
            let progress = at as f64 / of.max(1) as f64;
            self.min + (peak - self.min) * (1.0 + (PI * progress).cos()) / 2.0
        };
        match self.schedule.name {
            ScheduleKind::Constant => peak,
            ScheduleKind::Cosine => cosine(since, self.epochs),
            ScheduleKind::Step => {
                let cuts = since / self.schedule.every.unwrap_or(30).max(1);
                let cuts = i32::try_from(cuts).unwrap_or(i32::MAX);
                peak * self.schedule.gamma.unwrap_or(0.1).powi(cuts)
            }
            ScheduleKind::Restarts => {
                let mut period = self.schedule.period.unwrap_or(10).max(1);
                let factor = self.schedule.factor.unwrap_or(1).max(1);
                let mut at = since;
                if factor == 1 {
                    at %= period;
                }
                while at >= period {
                    at -= period;
                    period = period.saturating_mul(factor);
                }
                cosine(at, period)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: &Schedule, warmup: usize, min: f64, epochs: usize) -> Vec<f64> {
        let course = Course {
            schedule,
            warmup,
            min,
            epochs,
        };
        (0..epochs).map(|epoch| course.rate(1e-3, epoch)).collect()
    }

    fn agree(ours: f64, theirs: f64) -> bool {
        (ours - theirs).abs() < 1e-15
    }

    #[test]
    fn the_schedule_warms_up_from_zero_and_ends_above_its_minimum() {
        let rates = rates(&Schedule::default(), 5, 1e-5, 25);
        // torch 2.15: SequentialLR(o, [LambdaLR(o, lambda e: e / 5), CosineAnnealingLR(o, T_max=25, eta_min=1e-5)], [5])
        for (epoch, rate) in [
            (0, 0.0),
            (4, 8e-4),
            (5, 1e-3),
            (6, 0.000_996_096_777_150_666_7),
            (24, 0.000_144_160_529_426_401_35),
        ] {
            assert!(agree(rates[epoch], rate), "{epoch}: {}", rates[epoch]);
        }
    }

    #[test]
    fn held_for_an_epoch_it_is_the_references() {
        let schedule = Schedule {
            hold: 1,
            ..Schedule::default()
        };
        let rates = rates(&schedule, 5, 1e-5, 25);
        // Its GradualWarmupScheduler(o, 1.0, 5, CosineAnnealingLR(o, T_max=25, eta_min=1e-5)) with lr 1e-3.
        for (epoch, rate) in [
            (5, 1e-3),
            (6, 1e-3),
            (7, 0.000_996_096_777_150_666_7),
            (15, 0.000_715_760_749_324_710_8),
            (24, 0.000_189_475_125_074_398_52),
        ] {
            assert!(agree(rates[epoch], rate), "{epoch}: {}", rates[epoch]);
        }
    }

    #[test]
    fn restarts_and_steps_are_pytorchs() {
        let restarts = Schedule {
            name: ScheduleKind::Restarts,
            period: Some(10),
            factor: Some(2),
            ..Schedule::default()
        };
        // CosineAnnealingWarmRestarts(o, T_0=10, T_mult=2, eta_min=1e-6)
        let found = rates(&restarts, 0, 1e-6, 75);
        for (epoch, rate) in [
            (0, 1e-3),
            (1, 0.000_975_552_729_889_429_4),
            (9, 2.544_727_011_057_081_4e-5),
            (10, 1e-3),
            (29, 7.149_673_872_728_739e-6),
            (30, 1e-3),
            (31, 0.000_998_460_208_199_697_6),
            (69, 2.539_791_800_302_582e-6),
            (70, 1e-3),
        ] {
            assert!(agree(found[epoch], rate), "{epoch}: {}", found[epoch]);
        }
        let step = Schedule {
            name: ScheduleKind::Step,
            every: Some(3),
            gamma: Some(0.5),
            ..Schedule::default()
        };
        // StepLR(o, 3, 0.5)
        let expected = [
            1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 5e-4, 2.5e-4, 2.5e-4, 2.5e-4, 1.25e-4,
        ];
        let found = rates(&step, 0, 0.0, 10);
        assert!(found.iter().zip(expected).all(|(&a, b)| agree(a, b)), "{found:?}");
        assert_eq!(step.foreign(), None);
        assert_eq!(
            Schedule {
                name: ScheduleKind::Cosine,
                ..step
            }
            .foreign(),
            Some("every")
        );
    }
}
