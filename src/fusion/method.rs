//! What a fusion method is to the rest of the program.
//!
//! A method is a struct of its parameters that implements [`FusionMethod`], in a file of its own. Its name in
//! `fusion/list.rs` does the rest: decoding, schema, help, labels and checks follow from the trait.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::compare::Needs;
use super::{Fused, FusionError, Inputs};
use crate::arch::Plan;
use crate::importance::Importance;
use crate::tick::Tick;

/// How many models a method takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly two.
    Pair,
    /// Two or more.
    Any,
}

/// What the program says about a method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MethodInfo {
    /// Name in manifests.
    pub name: &'static str,
    /// Name in tables.
    pub label: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Where it comes from.
    pub paper: &'static str,
    /// How many models it takes.
    pub arity: Arity,
    /// Version of its arithmetic. Raising it runs the method's jobs again.
    pub version: u32,
    /// Order of magnitude of a job's seconds, for scheduling jobs of which nothing is known.
    pub seconds: f64,
}

/// A fusion method with its parameters.
pub trait FusionMethod: Serialize + DeserializeOwned + JsonSchema + Default {
    /// What the program says about it.
    const INFO: MethodInfo;

    /// Fuses the models.
    ///
    /// Calls `on_tick` at least once a second on networks of usual size, and stops with an error when it breaks.
    fn fuse(&self, inputs: &Inputs, on_tick: &mut Tick) -> Result<Fused, FusionError>;

    /// The importance score, if the method weights neurons by one.
    fn importance(&self) -> Option<Importance> {
        None
    }

    /// Whether it looks at samples, hence needs a fusion set.
    fn uses_fusion_set(&self) -> bool {
        true
    }

    /// Whether it draws random numbers, so that another method seed may give another result.
    fn is_random(&self) -> bool {
        false
    }

    /// Whether it needs to know how many samples of each class every model was trained on.
    fn needs_class_counts(&self) -> bool {
        false
    }

    /// What the models must have in common.
    fn needs(&self) -> Needs;

    /// Names and versions of arithmetic that it shares with other methods.
    fn shared_versions(&self) -> Vec<(&'static str, u32)> {
        let score = self.importance().map(|score| (score.as_str(), score.version()));
        score.into_iter().collect()
    }

    /// Steps that run on the host although the models are on a GPU.
    fn steps_on_host(&self) -> &'static [&'static str] {
        &[]
    }

    /// Why it cannot fuse a network of the skeleton `first` with one of the skeleton `other`.
    fn mismatch(&self, first: &Plan, other: &Plan) -> Option<String> {
        let found = self.needs().difference(first, other)?;
        Some(found.message(Self::INFO.name, self.needs()))
    }

    /// Parameters that cannot be, or do nothing, beside the others when so many models are fused, and why.
    fn contradictions(&self, _models: usize) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// What keeps it from networks of this skeleton: the parameter to blame, if it is one, and why.
    fn obstacles(&self, _plan: &Plan) -> Vec<(Option<&'static str>, String)> {
        Vec::new()
    }
}

/// The obstacle of methods that go layer by layer: networks that are no chains.
pub(super) fn only_chains<M: FusionMethod>(plan: &Plan) -> Vec<(Option<&'static str>, String)> {
    let message = format!(
        "`{}` works on chains of linear maps and convolutions, which the network is not",
        M::INFO.name
    );
    (!plan.chain).then_some((None, message)).into_iter().collect()
}

/// The contradiction of a parameter that names a model there is not.
pub(super) fn no_such_model(
    key: &'static str,
    at: usize,
    models: usize,
) -> impl Iterator<Item = (&'static str, String)> {
    let last = models.saturating_sub(1);
    let message = move || format!("`{key}` is {at}, but the models are 0 to {last} here");
    (at >= models).then(|| (key, message())).into_iter()
}

/// The contradiction of a cutoff that drops every singular value.
pub(super) fn cuts_all(cutoff: Option<f64>) -> Vec<(&'static str, String)> {
    let message = "`cutoff` must be below 1: no singular value is above the largest";
    let all = cutoff.is_some_and(|cutoff| cutoff >= 1.0);
    all.then(|| ("cutoff", message.to_string())).into_iter().collect()
}

/// How recorded numbers of the reference can be met where it departs from the definitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compat {
    /// As defined.
    #[default]
    None,
    /// As the reference computes it.
    Reference,
}
