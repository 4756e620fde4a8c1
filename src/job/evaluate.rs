//! Metrics of networks and ensembles on the test set.

use candle_core::{D, Tensor};
use candle_nn::ops::softmax;

use super::{Context, JobError};
use crate::arch::Network;
use crate::data::{DataSet, Part};
use crate::event::JobEvent;
use crate::gpu;
use crate::metrics::{evaluate_logits, evaluate_probabilities, first_largest};
use crate::result::{Metrics, Predictions};

/// Samples per forward pass; bounds memory, changes no number that is reported.
const BATCH: usize = 250;

/// Metrics of one network.
pub(super) fn network(network: &Network, set: &DataSet, context: &mut Context) -> Result<Metrics, JobError> {
    let mut logits = Vec::with_capacity(set.test.len() * set.classes);
    batches(&set.test, context, |images| {
        logits.extend(network.forward(images)?.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    })?;
    context.predictions = predictions(&logits, set);
    Ok(evaluate_logits(&logits, set.test.labels(), set.classes)?)
}

/// Metrics of the mean of the networks' softmax outputs, each class weighted per model where weights are given.
pub(super) fn ensemble(
    networks: &[Network],
    weights: Option<&[Vec<f64>]>,
    reference: bool,
    set: &DataSet,
    context: &mut Context,
) -> Result<Metrics, JobError> {
    let classes = set.classes;
    let mut mean = Vec::with_capacity(set.test.len() * classes);
    batches(&set.test, context, |images| {
        let start = mean.len();
        for (model, network) in networks.iter().enumerate() {
            let probabilities = softmax(&network.forward(images)?, D::Minus1)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            mean.resize(start + probabilities.len(), 0f64);
            for (i, p) in probabilities.into_iter().enumerate() {
                let weight = weights.map_or(1.0, |weights| weights[model][i % classes]);
                mean[start + i] += f64::from(p) * weight / networks.len() as f64;
            }
        }
        Ok(())
    })?;
    if !reference {
        for row in mean.chunks_mut(classes) {
            let total: f64 = row.iter().sum();
            // All classes that got any probability may have weight 0; such a row stays as it is.
            if total > 0.0 {
                for p in row.iter_mut() {
                    *p /= total;
                }
            }
        }
    }
    let probabilities: Vec<f32> = mean.into_iter().map(|p| p as f32).collect();
    context.predictions = predictions(&probabilities, set);
    Ok(evaluate_probabilities(
        &probabilities,
        set.test.labels(),
        classes,
        reference,
    )?)
}

/// The classes answered, as the metrics count them; nothing for more classes than a `u16` has.
fn predictions(scores: &[f32], set: &DataSet) -> Option<Predictions> {
    let narrow = |class: usize| u16::try_from(class).ok();
    let predicted = scores
        .chunks_exact(set.classes)
        .map(|row| narrow(first_largest(row)));
    let labels = set.test.labels().iter().map(|label| u16::try_from(*label).ok());
    Some(Predictions {
        predicted: predicted.collect::<Option<_>>()?,
        labels: labels.collect::<Option<_>>()?,
    })
}

fn batches(
    part: &Part,
    context: &mut Context,
    mut use_batch: impl FnMut(&Tensor) -> candle_core::Result<()>,
) -> Result<(), JobError> {
    let indices: Vec<usize> = (0..part.len()).collect();
    for batch in indices.chunks(gpu::chunk(BATCH)) {
        use_batch(&part.images(Some(batch), &context.resources.device)?)?;
        context.report(JobEvent::Tick)?;
    }
    Ok(())
}
