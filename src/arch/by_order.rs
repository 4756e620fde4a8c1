//! Tensors of another program's state dict, matched by their order.
//!
//! Names in a user's own network are a matter of how its class was written, but PyTorch lists parameters in the order in
//! which modules were made, mostly that of their application. So where the names differ, tensor i of the file is taken
//! for tensor i of the plan, if
//!
//! * there are as many, and the shapes agree one by one;
//! * a `weight` stands for a `weight`, a `bias` for a `bias`, and so on, wherever both names end in such a word: a file
//!   that lists tensors by the alphabet has the bias of a `LayerNorm` before its weight, both of one shape;
//! * no name says otherwise: a tensor whose name is known, but stands elsewhere in the plan with the same shape, would
//!   fit both places.

use super::network::State;
use super::plan::Plan;

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

/// The state under the plan's names; `None` where it has one of these names or more and another number of tensors, or
/// all of them: then names decide. An error says which tensor is the first that does not fit.
pub(super) fn renamed(plan: &Plan, state: &State) -> Result<Option<State>, String> {
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
            return Err(both());
        }
        if let (Some(theirs), Some(ours)) = (role(name), role(own))
            && theirs != ours
        {
            return Err(format!("{}: the order of its tensors is another one", both()));
        }
        let elsewhere = known(name).filter(|other| other.name != *own && other.shape == *shape);
        if elsewhere.is_some() {
            let message = "by its name it is another tensor of the same shape; rename one of them";
            return Err(format!("{}: {message}", both()));
        }
        renamed.push((own.clone(), tensor.clone()));
    }
    if let Some(missing) = plan.parameters.get(state.len()) {
        let (name, shape) = (&missing.name, &missing.shape);
        return Err(format!("the file ends before `{name}` {shape:?}"));
    }
    match state.get(plan.parameters.len()) {
        None => Ok(Some(renamed)),
        Some((name, tensor)) => Err(format!("`{name}` {:?} has no place in it", tensor.dims())),
    }
}
