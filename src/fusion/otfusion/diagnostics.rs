//! Theorem 1 for transports: neurons in parts, each part in the fused neuron that it is moved to.
//!
//! With `T_k` the plan of model k and the identity for the model that is aligned to, neuron j of model k counts `T_k[j, c]`
//! in fused neuron c; its parts sum to its marginal. The rest is as with clusters, see [`errors`].

use candle_core::Tensor;

use super::TransportReport;
use crate::arch::Network;
use crate::fusion::layers::preactivations_of;
use crate::fusion::member::Member;
use crate::fusion::report::{LayerReport, errors};
use crate::fusion::{FusionError, Inputs};
use crate::tick::{Tick, go_on};

/// A report of each layer; nothing where there are no activations to compare.
///
/// `marginals` are those of a model's layer, as its plan has them; `transports` are those to model `target`, layer by
/// layer, models in order.
pub(super) fn layers<'a>(
    inputs: &Inputs,
    network: &Network,
    activations: &[Vec<Tensor>],
    marginals: &dyn Fn(usize, usize) -> &'a [f64],
    (target, transports): (usize, &[TransportReport]),
    on_tick: &mut Tick,
) -> Result<Vec<LayerReport>, FusionError> {
    let (Some(images), false) = (inputs.images, activations.is_empty()) else {
        return Ok(Vec::new());
    };
    let fused = preactivations_of(network, images, on_tick)?;
    let last = fused.len() - 1;
    let others = inputs.models.len() - 1;
    let mut reports = Vec::with_capacity(fused.len());
    for (l, layer) in network.layers().iter().enumerate() {
        go_on(on_tick)?;
        let n = layer.width();
        let mut members: Vec<Member> = Vec::new();
        let mut clusters: Vec<Vec<usize>> = Vec::new();
        let mut cost = 0.0;
        let mut plans = transports[l * others..][..others].iter();
        let mut first = 0;
        for model in 0..inputs.models.len() {
            let marginals = marginals(model, l);
            let moved = if model == target { None } else { plans.next() };
            cost += moved.map_or(0.0, |transport| transport.objective);
            // Classes have names: the last layer's plan is not used.
            let plan = moved.filter(|_| l != last);
            let mut own = Vec::with_capacity(marginals.len());
            for (j, &mass) in marginals.iter().enumerate() {
                let member = |cluster, weight| Member {
                    neuron: first + j,
                    cluster,
                    weight,
                };
                let Some(plan) = plan else {
                    members.push(member(j, mass));
                    own.push(j);
                    continue;
                };
                let row = &plan.plan[j * n..(j + 1) * n];
                let parts = row.iter().enumerate().filter(|(_, part)| **part > 0.0);
                members.extend(parts.map(|(c, &part)| member(c, part)));
                own.push(
                    (0..n)
                        .reduce(|a, b| if row[b] > row[a] { b } else { a })
                        .unwrap_or(j),
                );
            }
            first += own.len();
            clusters.push(own);
        }
        let of_layer: Vec<Tensor> = activations.iter().map(|model| model[l].clone()).collect();
        let (grouping_error, approximation_error) = errors(&of_layer, &members, None, &fused[l])?;
        reports.push(LayerReport {
            grouping_error,
            approximation_error,
            ..LayerReport::new(&layer.name, n, clusters, cost)
        });
    }
    Ok(reports)
}
