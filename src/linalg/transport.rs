//! Exact optimal transport between two discrete distributions: the network simplex.
//!
//! ```text
//! min <T, C>  over T >= 0 with T 1 = mu and T^T 1 = nu
//! ```
//!
//! The basis is a spanning tree over the sources, the sinks and an artificial root; a pivot brings in an arc of negative
//! reduced cost (block search) and takes out the last blocking arc of the cycle, which keeps the tree strongly feasible
//! and so rules out cycling, as ties and zero weights are common here (dead neurons have equal costs). Ahuja, Magnanti
//! and Orlin, "Network Flows", chapter 11. `O(n m)` a pivot at worst, in practice the square root of that.

use super::LinalgError;
use crate::tick::{Tick, go_on};

/// Pivots between two questions whether to go on: some milliseconds on the largest layers.
const PIVOTS: usize = 64;

/// An optimal plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Row-major `[n, m]`, rows sum to `mu`, columns to `nu`.
    pub plan: Vec<f64>,
    /// `<T, C>`.
    pub objective: f64,
}

/// Transports `mu` (length n, at least 0) to `nu` (length m) at `cost` (row-major `[n, m]`, finite). Both sides are
/// scaled to sum 1 first. Asks every few pivots whether to go on.
///
/// # Errors
/// Sizes that do not fit, numbers that are not finite or negative, sides without weight, and [`LinalgError::Stopped`].
pub fn transport(cost: &[f64], mu: &[f64], nu: &[f64], on_tick: &mut Tick) -> Result<Plan, LinalgError> {
    let (n, m) = (mu.len(), nu.len());
    if cost.len() != n * m || n == 0 || m == 0 {
        return Err(LinalgError::Shape {
            what: "the transport cost",
            expected: format!("{n} x {m} entries"),
            found: cost.len().to_string(),
        });
    }
    if let Some(i) = cost.iter().position(|c| !c.is_finite()) {
        return Err(LinalgError::NonFinite {
            what: "the transport cost",
            row: i / m,
            column: i % m,
            value: cost[i],
        });
    }
    let supply = weights(mu, "the weights of sources")?;
    let demand = weights(nu, "the weights of sinks")?;
    let mut simplex = Simplex::new(cost, &supply, &demand);
    simplex.run(on_tick)?;
    let plan = simplex.plan();
    let objective = plan.iter().zip(cost).map(|(t, c)| t * c).sum();
    Ok(Plan { plan, objective })
}

fn weights(given: &[f64], what: &'static str) -> Result<Vec<f64>, LinalgError> {
    let total: f64 = given.iter().sum();
    match given.iter().position(|w| !w.is_finite() || *w < 0.0) {
        Some(i) => Err(LinalgError::NonFinite {
            what,
            row: i,
            column: 0,
            value: given[i],
        }),
        None if total <= 0.0 => Err(LinalgError::Shape {
            what,
            expected: "a positive sum".into(),
            found: total.to_string(),
        }),
        None => Ok(given.iter().map(|w| w / total).collect()),
    }
}

/// Nodes: sources `0..n`, sinks `n..n+m`, root `n+m`. Every node but the root has a tree arc to its parent.
struct Simplex<'a> {
    cost: &'a [f64],
    n: usize,
    m: usize,
    parent: Vec<usize>,
    depth: Vec<usize>,
    /// Flow on the arc to the parent, in the arc's own direction.
    flow: Vec<f64>,
    /// Whether that arc points up, to the parent.
    upward: Vec<bool>,
    potential: Vec<f64>,
    children: Vec<Vec<usize>>,
    /// Where the search for an entering arc goes on.
    next: usize,
    /// Reduced costs above this count as 0.
    tolerance: f64,
}

impl<'a> Simplex<'a> {
    fn new(cost: &'a [f64], supply: &[f64], demand: &[f64]) -> Self {
        let (n, m) = (supply.len(), demand.len());
        let root = n + m;
        let largest = cost.iter().fold(f64::MIN_POSITIVE, |a, c| a.max(c.abs()));
        // Dear enough that no artificial arc stays in use.
        let big = 2.0 * largest * (n + m) as f64;
        // An arc without flow has to point up, or the first tree would not be strongly feasible.
        let upward: Vec<bool> = (0..=root)
            .map(|v| v < n || v == root || demand[v - n] <= 0.0)
            .collect();
        let potential = (0..=root)
            .map(|v| {
                if v == root {
                    0.0
                } else if upward[v] {
                    big
                } else {
                    -big
                }
            })
            .collect();
        Self {
            cost,
            n,
            m,
            parent: vec![root; root + 1],
            depth: (0..=root).map(|v| usize::from(v != root)).collect(),
            flow: supply.iter().chain(demand).copied().chain([0.0]).collect(),
            upward,
            potential,
            children: (0..=root)
                .map(|v| {
                    if v == root {
                        (0..root).collect()
                    } else {
                        Vec::new()
                    }
                })
                .collect(),
            next: 0,
            // Potentials are of the size of `big` and carry its rounding.
            tolerance: big * 1e-13,
        }
    }

    /// Reduced cost of the arc from source i to sink j; potentials are such that tree arcs have 0.
    fn reduced(&self, i: usize, j: usize) -> f64 {
        self.cost[i * self.m + j] - self.potential[i] + self.potential[self.n + j]
    }

    fn run(&mut self, on_tick: &mut Tick) -> Result<(), LinalgError> {
        // Far more pivots than were ever seen; only rounding could ask for them.
        for pivot in 0..100 * (self.n * self.m + 100) {
            if pivot % PIVOTS == 0 {
                go_on(on_tick)?;
            }
            match self.entering() {
                Some((i, j)) => self.pivot(i, j),
                None => return Ok(()),
            }
        }
        Err(LinalgError::NoConvergence {
            rows: self.n,
            columns: self.m,
        })
    }

    /// The best arc of the first block, from where the last search ended, that has one of negative reduced cost.
    fn entering(&mut self) -> Option<(usize, usize)> {
        let arcs = self.n * self.m;
        let block = (arcs as f64).sqrt() as usize + 16;
        let mut best = (-self.tolerance, None);
        let mut in_block = 0;
        for _ in 0..arcs {
            let arc = self.next;
            self.next = if arc + 1 == arcs { 0 } else { arc + 1 };
            let (i, j) = (arc / self.m, arc % self.m);
            let reduced = self.reduced(i, j);
            if reduced < best.0 {
                best = (reduced, Some((i, j)));
            }
            in_block += 1;
            if in_block == block {
                if best.1.is_some() {
                    break;
                }
                in_block = 0;
            }
        }
        best.1
    }

    fn pivot(&mut self, i: usize, j: usize) {
        let (tail, head) = (i, self.n + j);
        let (mut a, mut b) = (tail, head);
        while a != b {
            if self.depth[a] >= self.depth[b] {
                a = self.parent[a];
            } else {
                b = self.parent[b];
            }
        }
        let join = a;
        // Around the cycle in the entering arc's direction: from the join down to the tail, over, up from the head.
        // An arc blocks where its flow would fall; the last blocking one on that way leaves.
        let mut leaving = (f64::INFINITY, tail, true);
        let mut v = tail;
        while v != join {
            // Walking down to v: flow falls where the arc points up. The first met from the tail is the last on the way.
            if self.upward[v] && self.flow[v] < leaving.0 {
                leaving = (self.flow[v], v, true);
            }
            v = self.parent[v];
        }
        let mut v = head;
        while v != join {
            // Walking up from v: flow falls where the arc points down. Later ones on the way win ties.
            if !self.upward[v] && self.flow[v] <= leaving.0 {
                leaving = (self.flow[v], v, false);
            }
            v = self.parent[v];
        }
        let (amount, out, on_tail_side) = leaving;
        for (start, falls_upward) in [(tail, true), (head, false)] {
            let mut v = start;
            while v != join {
                self.flow[v] += if self.upward[v] == falls_upward {
                    -amount
                } else {
                    amount
                };
                v = self.parent[v];
            }
        }
        let (inner, outer) = if on_tail_side { (tail, head) } else { (head, tail) };
        self.rehang(inner, outer, out, amount, on_tail_side);
    }

    /// Cuts the subtree at `out` off and hangs it by `inner` below `outer`, on the entering arc.
    fn rehang(&mut self, inner: usize, outer: usize, out: usize, amount: f64, inner_is_tail: bool) {
        let cut = self.parent[out];
        self.children[cut].retain(|&child| child != out);
        // Turn the way from `inner` up to `out` around.
        let (mut v, mut new_parent, mut new_flow, mut new_upward) = (inner, outer, amount, inner_is_tail);
        loop {
            let (old_parent, old_flow, old_upward) = (self.parent[v], self.flow[v], self.upward[v]);
            self.parent[v] = new_parent;
            self.flow[v] = new_flow;
            self.upward[v] = new_upward;
            self.children[new_parent].push(v);
            if v == out {
                break;
            }
            self.children[old_parent].retain(|&child| child != v);
            (new_parent, new_flow, new_upward) = (v, old_flow, !old_upward);
            v = old_parent;
        }
        let (i, j) = if inner_is_tail {
            (inner, outer)
        } else {
            (outer, inner)
        };
        let reduced = self.reduced(i, j - self.n);
        let shift = if inner_is_tail { reduced } else { -reduced };
        let mut stack = vec![inner];
        while let Some(v) = stack.pop() {
            self.potential[v] += shift;
            self.depth[v] = self.depth[self.parent[v]] + 1;
            stack.extend_from_slice(&self.children[v]);
        }
    }

    fn plan(&self) -> Vec<f64> {
        let mut plan = vec![0.0; self.n * self.m];
        for v in 0..self.n + self.m {
            let p = self.parent[v];
            if p == self.n + self.m {
                continue;
            }
            let (i, j) = if v < self.n {
                (v, p - self.n)
            } else {
                (p, v - self.n)
            };
            plan[i * self.m + j] = self.flow[v].max(0.0);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::linalg::assign;
    use crate::tick::unwatched;

    #[test]
    fn a_small_plan_by_hand() {
        // Source 0 serves both sinks, source 1 the dearer one only.
        let Plan { plan, objective } =
            transport(&[1.0, 4.0, 2.0, 3.0], &[3.0, 1.0], &[2.0, 2.0], &mut unwatched).expect("solvable");
        assert_eq!(plan, [0.5, 0.25, 0.0, 0.25]);
        assert!((objective - 2.25).abs() < 1e-12);
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(matches!(
            transport(&[1.0], &[1.0, 1.0], &[1.0], &mut unwatched),
            Err(LinalgError::Shape { .. })
        ));
        assert!(matches!(
            transport(&[f64::NAN], &[1.0], &[1.0], &mut unwatched),
            Err(LinalgError::NonFinite { .. })
        ));
        assert!(matches!(
            transport(&[1.0], &[-1.0], &[1.0], &mut unwatched),
            Err(LinalgError::NonFinite { .. })
        ));
        assert!(matches!(
            transport(&[1.0], &[0.0], &[1.0], &mut unwatched),
            Err(LinalgError::Shape { .. })
        ));
    }

    fn problem() -> impl Strategy<Value = (Vec<f64>, Vec<f64>, Vec<f64>)> {
        (1usize..12, 1usize..12).prop_flat_map(|(n, m)| {
            // Few distinct values: ties and zero weights are what breaks a simplex.
            let weights = |k| prop::collection::vec((0u32..4).prop_map(f64::from), k);
            let costs = prop::collection::vec((0u32..6).prop_map(f64::from), n * m);
            let positive = |w: &Vec<f64>| w.iter().sum::<f64>() > 0.0;
            (
                costs,
                weights(n).prop_filter("weight", positive),
                weights(m).prop_filter("weight", positive),
            )
        })
    }

    proptest! {
        /// The plan has the marginals, and no plan is cheaper: its own potentials prove it.
        #[test]
        fn plans_are_feasible_and_optimal((cost, mu, nu) in problem()) {
            let (n, m) = (mu.len(), nu.len());
            let (supply, demand) = (weights(&mu, "").expect("weights"), weights(&nu, "").expect("weights"));
            let mut simplex = Simplex::new(&cost, &supply, &demand);
            simplex.run(&mut unwatched).expect("ends");
            let plan = simplex.plan();
            for i in 0..n {
                prop_assert!((plan[i * m..(i + 1) * m].iter().sum::<f64>() - supply[i]).abs() < 1e-12);
            }
            for j in 0..m {
                prop_assert!(((0..n).map(|i| plan[i * m + j]).sum::<f64>() - demand[j]).abs() < 1e-12);
            }
            // Weak duality: sum of supply * u - demand * v is a lower bound for every plan.
            let objective: f64 = plan.iter().zip(&cost).map(|(t, c)| t * c).sum();
            let p = &simplex.potential;
            let bound: f64 = (0..n).map(|i| supply[i] * p[i]).sum::<f64>()
                - (0..m).map(|j| demand[j] * p[n + j]).sum::<f64>();
            prop_assert!((0..n).all(|i| (0..m).all(|j| p[i] - p[n + j] <= cost[i * m + j] + 1e-9)));
            prop_assert!((objective - bound).abs() < 1e-9, "{objective} {bound}");
        }

        /// With equal weights an optimal assignment is an optimal plan.
        #[test]
        fn equal_weights_are_an_assignment(cost in prop::collection::vec(0.0f64..1.0, 64)) {
            let ones = [1.0; 8];
            let assigned: f64 = assign(&cost, 8, &mut unwatched).expect("solvable").iter().enumerate().map(|(i, &j)| cost[i * 8 + j] / 8.0).sum();
            let plan = transport(&cost, &ones, &ones, &mut unwatched).expect("solvable");
            prop_assert!((plan.objective - assigned).abs() < 1e-12);
        }
    }
}
