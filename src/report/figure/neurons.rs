//! Neurons in the plane of their activations on two images, their importance as size, their cluster as colour.

use super::{Chart, Dot, Figure, Panel, Scatter};
use crate::report::labels;
use crate::result::{Neurons, ScoredNeurons, Study};

/// One panel per importance score.
pub fn figure(study: &Study, found: &Neurons) -> Figure {
    let panel = |scored: &ScoredNeurons| Panel {
        title: labels::importance(&scored.importance),
        chart: Chart::Scatter(Scatter {
            x: format!("activation on image {}", found.images[0]),
            y: format!("activation on image {}", found.images[1]),
            shapes: (0..found.activations.len())
                .map(|model| format!("neuron of model {model}"))
                .collect(),
            cross: "mean of a cluster".to_string(),
            dots: dots(found, scored),
        }),
    };
    let panels: Vec<Panel> = found.scored.iter().map(panel).collect();
    Figure {
        name: "neurons".to_string(),
        title: format!(
            "Level {} on test images of {}: size is importance, colour is the cluster",
            found.level, study.dataset
        ),
        across: if panels.len() == 4 { 2 } else { panels.len().min(3) },
        panels,
    }
}

fn dots(found: &Neurons, scored: &ScoredNeurons) -> Vec<Dot> {
    let largest = scored
        .scores
        .iter()
        .flatten()
        .copied()
        .fold(f64::MIN_POSITIVE, f64::max);
    let models = found
        .activations
        .iter()
        .zip(&scored.scores)
        .zip(&scored.clusters)
        .enumerate();
    let dots = models.flat_map(|(model, ((activations, scores), clusters))| {
        let neurons = activations.iter().zip(scores).zip(clusters);
        neurons.filter_map(move |((at, score), cluster)| {
            let [x, y] = *scored.centres.get(*cluster)?;
            Some(Dot {
                at: (at[0], at[1]),
                size: score / largest,
                colour: *cluster,
                shape: model,
                to: (x, y),
            })
        })
    });
    dots.collect()
}
