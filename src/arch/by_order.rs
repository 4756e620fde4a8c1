//! Tensors of another program's state dict that have other names than those of a user's own network.
//!
//! Names in a network are a matter of how its class was written, but PyTorch lists parameters in the order in which
//! modules were made, mostly that of their application. So where the names differ, tensor i of the file is taken for
//! tensor i of the plan, if
//!
//! * there are as many, and the shapes agree one by one;
//! * a `weight` stands for a `weight`, a `bias` for a `bias`, and so on, wherever both names end in such a word: a file
//!   that lists tensors by the alphabet has the bias of a `LayerNorm` before its weight, both of one shape;
//! * no name says otherwise: a tensor whose name is known, but stands elsewhere in the plan with the same shape, would
//!   fit both places;
//! * the shapes alone say so: no two layers could change places. The order in which modules are made need not be that of
//!   their application, and safetensors do not keep it at all. Elsewhere the layers have to be named as in the file.

use std::collections::{BTreeMap, BTreeSet};

use super::network::State;
use super::plan::{Parameter, Plan};

/// Last parts of names that say what a tensor is.
const ROLES: [&str; 5] = [
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "num_batches_tracked",
];

fn role(name: &str) -> Option<&str> {
    let last = name.rsplit('.').next()?;
    ROLES.into_iter().find(|role| *role == last)
}

/// Why tensors cannot be matched.
#[derive(Debug)]
pub(super) enum Refusal {
    /// They do not fit: the first that does not.
    Misfit(String),
    /// They fit, but only the order says which is which: why it does not, and both names of each tensor.
    Order {
        reason: String,
        pairs: Vec<(String, String)>,
    },
}

/// The state under the plan's names; `None` where it has one of these names or more and another number of tensors, or
/// all of them: then names decide. `ordered` says whether the file keeps the order of its program.
pub(super) fn renamed(plan: &Plan, state: &State, ordered: bool) -> Result<Option<State>, Refusal> {
    let misfit = |message: String| Err(Refusal::Misfit(message));
    let known = |name: &str| plan.parameters.iter().find(|parameter| parameter.name == name);
    let shared = state.iter().filter(|(name, _)| known(name).is_some()).count();
    let as_many = state.len() == plan.parameters.len();
    if shared == plan.parameters.len() || (shared > 0 && !as_many) {
        return Ok(None);
    }
    let mut renamed = State::with_capacity(state.len());
    for (i, ((name, tensor), parameter)) in state.iter().zip(&plan.parameters).enumerate() {
        let (own, shape) = (&parameter.name, &parameter.shape);
        let both = || {
            format!(
                "tensor {} of the file, `{name}` {:?}, cannot be `{own}` {shape:?}",
                i + 1,
                tensor.dims()
            )
        };
        if tensor.dims() != shape {
            return misfit(both());
        }
        if let (Some(theirs), Some(ours)) = (role(name), role(own))
            && theirs != ours
        {
            return misfit(format!("{}: the order of its tensors is another one", both()));
        }
        let elsewhere = known(name).filter(|other| other.name != *own && other.shape == *shape);
        if elsewhere.is_some() {
            let message = "by its name it is another tensor of the same shape; rename one of them";
            return misfit(format!("{}: {message}", both()));
        }
        renamed.push((own.clone(), tensor.clone()));
    }
    if let Some(missing) = plan.parameters.get(state.len()) {
        let (name, shape) = (&missing.name, &missing.shape);
        return misfit(format!("the file ends before `{name}` {shape:?}"));
    }
    if let Some((name, tensor)) = state.get(plan.parameters.len()) {
        return misfit(format!("`{name}` {:?} has no place in it", tensor.dims()));
    }
    let reason = match (ordered, alike(plan, state)) {
        (true, None) => return Ok(Some(renamed)),
        (true, Some((a, b))) => format!("`{a}` and `{b}` have one shape"),
        (false, _) => "a safetensors file does not keep the order of layers".to_string(),
    };
    let pairs = state.iter().zip(renamed);
    let pairs = pairs
        .map(|((theirs, _), (own, _))| (theirs.clone(), own))
        .collect();
    Err(Refusal::Order { reason, pairs })
}

/// A tensor's role and shape.
type Signed<'a> = (&'a str, &'a [usize]);

/// Two of the file's tensors that could change places: those of two layers whose tensors have the same roles and shapes.
fn alike<'s>(plan: &Plan, state: &'s State) -> Option<(&'s str, &'s str)> {
    let signatures = signatures(plan, state);
    let mut seen: BTreeMap<(&[Signed], Signed), &str> = BTreeMap::new();
    for ((name, _), parameter) in state.iter().zip(&plan.parameters) {
        if *name == parameter.name {
            continue;
        }
        let (module, last) = split(&parameter.name);
        let whole = signatures.get(module).map(Vec::as_slice).unwrap_or_default();
        if let Some(other) = seen.insert((whole, (last, parameter.shape.as_slice())), name) {
            return Some((other, name));
        }
    }
    None
}

/// By module of the plan: the roles and shapes of its tensors, where they are those of one module of the file, too.
fn signatures<'p>(plan: &'p Plan, state: &State) -> BTreeMap<&'p str, Vec<Signed<'p>>> {
    let mut theirs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut ours: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for ((name, _), parameter) in state.iter().zip(&plan.parameters) {
        let (other, own) = (split(name).0, split(&parameter.name).0);
        theirs.entry(own).or_default().insert(other);
        ours.entry(other).or_default().insert(own);
    }
    let is_one = |own: &str| {
        let others = theirs.get(own).into_iter().flatten();
        others.map(|other| ours[other].len()).sum::<usize>() == 1
    };
    let mut signatures: BTreeMap<&str, Vec<Signed>> = BTreeMap::new();
    for Parameter { name, shape, .. } in &plan.parameters {
        let (module, last) = split(name);
        if is_one(module) {
            signatures.entry(module).or_default().push((last, shape));
        }
    }
    signatures
}

/// The module of a tensor, and its own last part.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}
