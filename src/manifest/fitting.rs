//! What depends on several keys of a point at once.

use std::collections::HashSet;

use super::decode::Decoder;
use super::points::MODEL_SET;
use super::resolve::Resolver;
use super::{BaseSettings, ModelSetSettings, OTHER_MODELS, Settings, SplitSettings};
use crate::arch::{ArchError, Architecture};
use crate::data::SplitKind;

/// Most parameters of a network.
const MAX_PARAMETERS: f64 = 2e8;

impl Resolver<'_> {
    /// A set of models trained on everything; `parts` as it was given beside it.
    pub(super) fn check_model_set(
        &mut self,
        set: &ModelSetSettings,
        split: &SplitSettings,
        parts: Option<usize>,
        base: Option<&BaseSettings>,
        decoder: &Decoder,
    ) {
        let layers = self.layers;
        let key = |path: [&str; 2]| decoder.with_element(&path.map(String::from));
        let seeds = key([MODEL_SET, "seeds"]);
        if set.seeds.is_empty() {
            let problem = layers.problem(&seeds, false, "`model-set.seeds` is empty");
            self.problems
                .push(problem.hint("for example `seeds = [1, 2, 3, 4, 5, 6, 7, 8]`"));
        }
        let mut known = HashSet::new();
        for (i, seed) in set.seeds.iter().enumerate() {
            if !known.insert(seed) {
                let at = [seeds.as_slice(), &[i.to_string()]].concat();
                let message = format!("seed {seed} stands twice in `model-set.seeds`");
                self.problems.push(
                    layers
                        .problem(&at, false, message)
                        .hint("models of one seed would be the same model"),
                );
            }
        }
        if split.kind != SplitKind::Full {
            let at = key(["split", "kind"]);
            let message = "`[model-set]` goes with `split.kind = \"full\"` only";
            self.problems.push(
                layers.problem(&at, false, message).hint(
                    "models of other splits differ by their part; `seeds` at the top repeats the split",
                ),
            );
        }
        let models = set.seeds.len();
        if let Some(parts) = parts.filter(|&parts| parts != models && models > 0) {
            let message = format!("`split.parts` is {parts}, but `model-set.seeds` has {models} entries");
            self.problems.push(
                layers.problem(&key(["split", "parts"]), false, message).hint(
                    "leave `split.parts` out; `first = 4` in a `[[fusion]]` takes the first four models",
                ),
            );
        }
        if base.is_some_and(|base| base.models.is_some()) {
            let message = "`[model-set]` says how to train models, but `base.models` imports them";
            self.problems.push(
                layers
                    .problem(&key(["base", "models"]), true, message)
                    .hint("keep one of them; for imported models `split.parts` is their number"),
            );
        }
    }

    /// What depends on two keys at once.
    pub(super) fn check_split(&mut self, settings: &Settings, decoder: &Decoder) {
        let split = &settings.split;
        let Some(info) = self.sets.info(&settings.dataset) else {
            return;
        };
        if let Err(error) = crate::data::check_split(split.kind, split.parts, split.classes.as_deref(), &info)
        {
            let of_classes = split.classes.is_some() || split.kind == SplitKind::Classes;
            let key = if of_classes { "classes" } else { "parts" };
            let path = decoder.with_element(&["split", key].map(String::from));
            let mut problem = self.layers.problem(&path, false, error.to_string());
            problem.hint = error.hint();
            self.problems.push(problem);
        }
    }

    /// An allocation that fails ends the whole program, so absurd networks are refused here.
    pub(super) fn check_size(&mut self, settings: &Settings, decoder: &Decoder) {
        let Some(info) = self.sets.info(&settings.dataset) else {
            return;
        };
        let others = settings.other_models.iter().map(|model| (OTHER_MODELS, model));
        for (section, model) in std::iter::once(("model", &settings.model)).chain(others) {
            let key = match model {
                Architecture::Mlp(_) => "hidden",
                Architecture::Sequential(_) => "layers",
                _ => "architecture",
            };
            let mut at = [section, key].map(String::from).to_vec();
            let parameters = match model.plan(&info.shape, info.classes) {
                Ok(plan) => plan.size(),
                Err(error) => {
                    if let ArchError::Plan { source, .. } = &error
                        && !source.at.is_empty()
                    {
                        at = [&at[..1], &source.at].concat();
                    }
                    let at = decoder.with_element(&at);
                    self.problems
                        .push(self.layers.problem(&at, false, error.to_string()));
                    continue;
                }
            };
            if parameters > MAX_PARAMETERS {
                let message = format!(
                    "the network would have {:.1} billion parameters, more than the {:.1} billion supported",
                    parameters / 1e9,
                    MAX_PARAMETERS / 1e9
                );
                self.problems
                    .push(self.layers.problem(&decoder.with_element(&at), false, message));
            }
        }
    }

    pub(super) fn check_fusion_set(&mut self, settings: &Settings) {
        let set = &settings.fusion_set;
        if set.file.is_some() && set.indices.is_some() {
            let message = "`fusion-set` has both `file` and `indices`";
            self.problems.push(
                self.layers
                    .problem(&["fusion-set", "file"].map(String::from), true, message)
                    .hint("keep one of them"),
            );
        }
    }
}
