//! Which neurons a fused neuron is made of.

/// A share of a neuron in a fused neuron.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// Which one, counted over the neurons of all models in order.
    pub neuron: usize,
    /// The fused neuron.
    pub cluster: usize,
    /// What it counts there: its score, or with a transport plan the part of its score that is moved there.
    pub weight: f64,
}

/// Every neuron in one cluster, with all of its score; both are `[model][neuron]`.
pub fn whole(clusters: &[Vec<usize>], scores: &[Vec<f64>]) -> Vec<Member> {
    let pairs = clusters.iter().flatten().zip(scores.iter().flatten());
    pairs
        .enumerate()
        .map(|(neuron, (&cluster, &weight))| Member {
            neuron,
            cluster,
            weight,
        })
        .collect()
}

/// Sum of the weights in each of `n` clusters.
pub(super) fn totals(members: &[Member], n: usize) -> Vec<f64> {
    let mut total = vec![0.0; n];
    for member in members {
        total[member.cluster] += member.weight;
    }
    total
}
