//! Weighted k-means on points given by their Gram matrix (kernel k-means): the work is in the number of points, not in
//! their dimension.
//!
//! A point may have a part outside of the space that centroids lie in: KF linear's centroids are projections, its
//! neurons are not. That part's squared norm, `outside[i]`, is added to each of its squared distances.
//!
//! ```text
//! ||x_i - c||^2 = outside_i + G_ii - 2 (G v)_i + v' G v      with c = sum_j v_j x_j over the members of the cluster
//! ```

use faer::Mat;

use super::LinalgError;
use crate::gpu;

/// Raised when the arithmetic changes, so that what it was used for is computed anew.
pub const VERSION: u32 = 1;

/// What is clustered.
#[derive(Debug)]
pub struct Points<'a> {
    /// Inner products of the points, `[n, n]`.
    pub gram: &'a Mat<f64>,
    /// Squared norm of each point's part outside of the centroids' space; 0 where there is none.
    pub outside: &'a [f64],
    /// Weight of each point, positive.
    pub weights: &'a [f64],
    /// The same on a GPU, which then does the assignment of points to centroids.
    pub device: Option<gpu::Clusters<'a>>,
}

/// When to stop, and how to fill empty clusters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Stop when the cost of [`Rule::steps`] iterations ago improved by less than this share.
    pub improvement: f64,
    /// See above.
    pub steps: usize,
    /// Whether an empty cluster takes the point of largest `weight * distance`, not of largest distance.
    pub weighted_repair: bool,
}

/// A clustering with no empty cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustering {
    /// Cluster of each point.
    pub assignment: Vec<usize>,
    /// Sum over points of `weight * distance to the nearest centroid`.
    pub cost: f64,
    /// Lloyd iterations done.
    pub iterations: usize,
}

impl Clustering {
    /// The assignment cut into consecutive groups of these sizes, which add up to the number of points.
    pub fn groups(&self, sizes: &[usize]) -> Vec<Vec<usize>> {
        let mut rest = self.assignment.as_slice();
        sizes
            .iter()
            .map(|&size| {
                let (own, others) = rest.split_at(size);
                rest = others;
                own.to_vec()
            })
            .collect()
    }
}

/// Farthest-point start: point `first`, then repeatedly the point farthest from its nearest chosen one (the projection
/// of it), never the same twice. `k` is at most the number of points.
pub fn farthest_first(points: &Points, k: usize, first: usize) -> Vec<usize> {
    let n = points.outside.len();
    let mut chosen = vec![first];
    let mut free = vec![true; n];
    let mut nearest = vec![f64::INFINITY; n];
    while chosen.len() < k {
        let c = chosen[chosen.len() - 1];
        free[c] = false;
        for (i, nearest) in nearest.iter_mut().enumerate() {
            *nearest = nearest.min(points.squared_to_point(i, c));
        }
        let Some(next) = (0..n)
            .filter(|&i| free[i])
            .reduce(|a, b| if nearest[b] > nearest[a] { b } else { a })
        else {
            break;
        };
        chosen.push(next);
    }
    chosen
}

/// Lloyd's algorithm from the points `start` as centroids.
///
/// In every iteration: centroids as weighted means, each point to the nearest centroid (the first of equals), empty
/// clusters filled. A cluster of one is never robbed, so all clusters have members as long as there are enough points.
///
/// # Errors
/// Of a GPU's.
pub fn kmeans(points: &Points, start: &[usize], rule: Rule) -> Result<Clustering, LinalgError> {
    let k = start.len();
    let n = points.outside.len();
    let to_start = |i: usize, c: usize| points.squared_to_point(i, start[c]);
    let (mut assignment, distances) = nearest(n, k, to_start);
    points.fill_empty(&mut assignment, distances, k, rule);
    let mut costs: Vec<f64> = Vec::new();
    loop {
        let previous = assignment.clone();
        let (next, distances) = points.assign(&previous, k)?;
        assignment = next;
        let cost = points.cost(&distances);
        points.fill_empty(&mut assignment, distances, k, rule);
        let stalled =
            costs.len() >= rule.steps && cost >= costs[costs.len() - rule.steps] * (1.0 - rule.improvement);
        costs.push(cost);
        if stalled || assignment == previous {
            break;
        }
    }
    let (_, distances) = points.assign(&assignment, k)?;
    Ok(Clustering {
        cost: points.cost(&distances),
        assignment,
        iterations: costs.len(),
    })
}

impl Points<'_> {
    fn squared_to_point(&self, i: usize, c: usize) -> f64 {
        let g = self.gram;
        self.outside[i] + (g[(i, i)] - 2.0 * g[(i, c)] + g[(c, c)]).max(0.0)
    }

    /// Nearest centroid of each point, and the distance to it, given the clusters whose means the centroids are.
    fn assign(&self, assignment: &[usize], k: usize) -> Result<(Vec<usize>, Vec<f64>), LinalgError> {
        let n = assignment.len();
        let mut total = vec![0.0; k];
        for (i, &c) in assignment.iter().enumerate() {
            total[c] += self.weights[i];
        }
        if let Some(device) = &self.device {
            let shares: Vec<f64> = assignment
                .iter()
                .zip(self.weights)
                .map(|(&c, w)| w / total[c])
                .collect();
            let clusters: Vec<u32> = assignment.iter().map(|&c| c as u32).collect();
            let failed = |error: candle_core::Error| LinalgError::Device {
                problem: error.to_string(),
            };
            let (nearest, distances) = gpu::nearest(device, &clusters, &shares, k).map_err(failed)?;
            return Ok((nearest.into_iter().map(|c| c as usize).collect(), distances));
        }
        // inner[c * n + i] = <x_i, centroid c>
        let mut inner = vec![0.0; k * n];
        for (j, &c) in assignment.iter().enumerate() {
            let share = self.weights[j] / total[c];
            for (sum, g) in inner[c * n..(c + 1) * n].iter_mut().zip(self.gram.col(j).iter()) {
                *sum += share * g;
            }
        }
        let mut square = vec![0.0; k];
        for (j, &c) in assignment.iter().enumerate() {
            square[c] += self.weights[j] / total[c] * inner[c * n + j];
        }
        let to_centroid = |i: usize, c: usize| {
            if total[c] > 0.0 {
                self.outside[i] + (self.gram[(i, i)] - 2.0 * inner[c * n + i] + square[c]).max(0.0)
            } else {
                f64::INFINITY
            }
        };
        Ok(nearest(n, k, to_centroid))
    }

    fn cost(&self, distances: &[f64]) -> f64 {
        distances.iter().zip(self.weights).map(|(d, w)| d * w).sum()
    }

    /// Gives every empty cluster, in ascending order, the farthest point that is not alone in its cluster.
    fn fill_empty(&self, assignment: &mut [usize], mut distances: Vec<f64>, k: usize, rule: Rule) {
        let mut sizes = vec![0; k];
        for &c in assignment.iter() {
            sizes[c] += 1;
        }
        for empty in 0..k {
            if sizes[empty] > 0 {
                continue;
            }
            let reach = |i: usize| {
                if rule.weighted_repair {
                    self.weights[i] * distances[i]
                } else {
                    distances[i]
                }
            };
            let movable = (0..assignment.len()).filter(|&i| sizes[assignment[i]] > 1);
            let Some(farthest) = movable.reduce(|a, b| if reach(b) > reach(a) { b } else { a }) else {
                return;
            };
            sizes[assignment[farthest]] -= 1;
            sizes[empty] = 1;
            assignment[farthest] = empty;
            distances[farthest] = 0.0;
        }
    }
}

/// The nearest of `k` centroids, the first of equals, and the distance (not squared) to it.
fn nearest(n: usize, k: usize, squared: impl Fn(usize, usize) -> f64) -> (Vec<usize>, Vec<f64>) {
    (0..n)
        .map(|i| {
            let (mut best, mut at) = (squared(i, 0), 0);
            for c in 1..k {
                let distance = squared(i, c);
                if distance < best {
                    (best, at) = (distance, c);
                }
            }
            (at, best.sqrt())
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: Rule = Rule {
        improvement: 0.0,
        steps: 3,
        weighted_repair: false,
    };

    fn gram(x: &[[f64; 2]]) -> Mat<f64> {
        Mat::from_fn(x.len(), x.len(), |i, j| x[i][0] * x[j][0] + x[i][1] * x[j][1])
    }

    #[test]
    fn two_heaps_are_found_from_a_bad_start() {
        let x = [[0.0, 0.0], [1.0, 0.0], [10.0, 0.0], [11.0, 0.0]];
        let gram = gram(&x);
        let points = Points {
            gram: &gram,
            outside: &[0.0; 4],
            weights: &[1.0; 4],
            device: None,
        };
        let found = kmeans(&points, &[0, 1], RULE).expect("on the CPU");
        assert_eq!(found.assignment, [0, 0, 1, 1]);
        assert!((found.cost - 2.0).abs() < 1e-6);
        assert_eq!(farthest_first(&points, 3, 0), [0, 3, 1]);
    }

    proptest! {
        /// Duplicates, zero points and outside parts included: k clusters always have members, and the cost is that of
        /// the means computed by hand.
        #[test]
        fn clusters_are_never_empty_and_costs_are_true(
            x in prop::collection::vec((0i32..3, 0i32..3, 0u32..2, 1u32..4), 1..12),
            k in 1usize..6,
        ) {
            let n = x.len();
            let k = k.min(n);
            let plane: Vec<[f64; 2]> = x.iter().map(|p| [f64::from(p.0), f64::from(p.1)]).collect();
            let outside: Vec<f64> = x.iter().map(|p| f64::from(p.2)).collect();
            let weights: Vec<f64> = x.iter().map(|p| f64::from(p.3)).collect();
            let gram = gram(&plane);
            let points = Points { gram: &gram, outside: &outside, weights: &weights, device: None };
            let start = farthest_first(&points, k, 0);
            let mut distinct = start.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), k);
            let found = kmeans(&points, &start, RULE).expect("on the CPU");
            prop_assert!((0..k).all(|c| found.assignment.contains(&c)));
            let mean = |c: usize| {
                let of = (0..n).filter(|&i| found.assignment[i] == c);
                let total: f64 = of.clone().map(|i| weights[i]).sum();
                [0, 1].map(|d| of.clone().map(|i| weights[i] * plane[i][d]).sum::<f64>() / total)
            };
            let means: Vec<[f64; 2]> = (0..k).map(mean).collect();
            let cost: f64 = (0..n).map(|i| {
                let to = |m: &[f64; 2]| (outside[i] + (plane[i][0] - m[0]).powi(2) + (plane[i][1] - m[1]).powi(2)).sqrt();
                weights[i] * means.iter().map(to).fold(f64::INFINITY, f64::min)
            }).sum();
            prop_assert!((found.cost - cost).abs() < 1e-6, "{} {}", found.cost, cost);
        }
    }
}
