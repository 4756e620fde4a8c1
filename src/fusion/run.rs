//! Runs a method.

use super::{Arity, Fused, FusionError, Inputs, Method};
use crate::gpu;
use crate::tick::{Stopped, Tick};

/// Runs a method. `on_tick` is called between layers, and within them between blocks of samples, steps of training, rows
/// of an assignment and pivots of a transport; it says whether to go on.
pub fn fuse(method: &Method, inputs: &Inputs, on_tick: &mut Tick) -> Result<Fused, FusionError> {
    let info = method.info();
    let found = inputs.models.len();
    match info.arity {
        Arity::Pair if found != 2 => {
            return Err(FusionError::Arity {
                method: info.name,
                found,
            });
        }
        Arity::Any if found == 0 => {
            return Err(FusionError::Missing {
                method: info.name,
                what: "at least one model",
            });
        }
        _ => {}
    }
    if inputs
        .models
        .iter()
        .flat_map(|model| &model.tensors)
        .any(gpu::active)
    {
        method.steps_on_host().iter().copied().for_each(gpu::note);
    }
    let mut stopped = false;
    let on_tick: &mut Tick = &mut || {
        let answer = on_tick();
        stopped |= answer.is_break();
        answer
    };
    let fused = method.run(inputs, on_tick);
    // Passes and scores know no other error than candle's.
    if stopped {
        return Err(Stopped.into());
    }
    let fused = fused?;
    if let Fused::Network { network, .. } = &fused {
        network.require_finite()?;
    }
    Ok(fused)
}
