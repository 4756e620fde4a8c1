//! Warnings: what can be done, and surely is not meant.

use super::axes::{self, Axis};
use super::decode::Decoder;
use super::recipe::FINETUNE;
use super::resolve::Resolver;
use super::{FinetuneSettings, Settings};

/// Of one axis, no more repetitions are told than these.
const MAX_REPETITIONS: usize = 3;

impl Resolver<'_> {
    /// Axes that have a value twice.
    pub(super) fn warn_of_repetitions(&mut self, found: &[Axis]) {
        for axis in found {
            for i in axes::repetitions(&axis.values).into_iter().take(MAX_REPETITIONS) {
                let at = [axis.path.as_slice(), &[i.to_string()]].concat();
                self.repeats(&at, &axis.path.join("."), &axis.values[i]);
            }
        }
    }

    fn repeats(&mut self, at: &[String], name: &str, value: &figment::value::Value) {
        let value = serde_json::to_value(value).unwrap_or_default();
        let message = format!("`{name}` has the value {value} twice");
        let warning = self.layers.problem(at, false, message);
        self.warnings
            .push(warning.hint("the second changes nothing: leave it out, or correct it"));
    }

    /// Trainings that teach nothing.
    pub(super) fn warn_of_training(&mut self, settings: &Settings, decoder: &Decoder) {
        let base = &settings.base;
        if base.models.is_none() {
            let given = [base.warmup_epochs, base.epochs];
            self.warn_of_rates("base", given, base.clip_norm, &[base.optimizer.lr], decoder);
        }
        if let Some(finetune) = &settings.finetune {
            let shortest = finetune.epochs.iter().copied().min().unwrap_or(usize::MAX);
            let given = [finetune.warmup_epochs, shortest];
            self.warn_of_rates(FINETUNE, given, finetune.clip_norm, &finetune.lr, decoder);
            self.warn_of_grid(finetune);
        }
    }

    fn warn_of_rates(
        &mut self,
        section: &str,
        [warmup, epochs]: [usize; 2],
        clip_norm: Option<f64>,
        rates: &[f64],
        decoder: &Decoder,
    ) {
        let mut warn = |keys: &[&str], message: String, hint: &str| {
            let at: Vec<String> = [&[section], keys]
                .concat()
                .iter()
                .map(ToString::to_string)
                .collect();
            let warning = self.layers.problem(&decoder.with_element(&at), false, message);
            self.warnings.push(warning.hint(hint));
        };
        if warmup >= epochs {
            let effect = match epochs {
                1 => "the only epoch has learning rate 0, and nothing is learned",
                _ => "the learning rate never reaches `lr`",
            };
            warn(
                &["warmup-epochs"],
                format!("`{section}.warmup-epochs` is {warmup} and `{section}.epochs` is {epochs}: {effect}"),
                "make the warm-up shorter than the training; without the key it is",
            );
        }
        if clip_norm == Some(0.0) {
            warn(
                &["clip-norm"],
                format!("`{section}.clip-norm` is 0, which makes every gradient 0: nothing is learned"),
                "leave the key out to clip nothing",
            );
        }
        if rates.contains(&0.0) {
            let key: &[&str] = if section == FINETUNE {
                &["lr"]
            } else {
                &["optimizer", "lr"]
            };
            warn(
                key,
                format!("`{section}.{}` is 0: nothing is learned", key.join(".")),
                "give a learning rate above 0",
            );
        }
    }

    /// Pairs of a learning rate and epochs that would be tried twice.
    fn warn_of_grid(&mut self, settings: &FinetuneSettings) {
        let lr: Vec<_> = settings
            .lr
            .iter()
            .map(|&lr| figment::value::Value::from(lr))
            .collect();
        let epochs: Vec<_> = settings
            .epochs
            .iter()
            .map(|&n| figment::value::Value::from(n as u64))
            .collect();
        for (key, values) in [("lr", lr), ("epochs", epochs)] {
            for i in axes::repetitions(&values).into_iter().take(MAX_REPETITIONS) {
                let at = [FINETUNE, key, &i.to_string()].map(String::from);
                self.repeats(&at, &format!("{FINETUNE}.{key}"), &values[i]);
            }
        }
    }
}
