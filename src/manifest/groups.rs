//! Which of a set's models a `[[fusion]]` takes: all of them, the first n, or groups of a size.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::fusion::{Ensemble, Method, VanillaAveraging};

/// Most groups of one fusion: beyond, it is a mistake that would only eat memory.
pub(super) const MAX_GROUPS: u64 = 10_000;

/// `groups = { size = 2, sample = 30, seed = 0 }` as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct GroupSettings {
    /// Models in a group.
    #[schemars(range(min = 2))]
    pub size: usize,
    /// How many groups to draw, without repetition. Not given, or not below their number: all groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub sample: Option<usize>,
    /// Seed of the drawing; a larger `sample` of the same seed holds the smaller one.
    #[serde(default)]
    pub seed: u64,
    /// What is reported of each group besides the method itself; `[]` for nothing.
    #[serde(default = "Baseline::all")]
    pub with: Vec<Baseline>,
}

/// What every fusion of a group is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Baseline {
    /// The average of the group's models.
    VanillaAveraging,
    /// The ensemble of the group's models.
    Ensemble,
}

impl Baseline {
    fn all() -> Vec<Self> {
        vec![Self::VanillaAveraging, Self::Ensemble]
    }

    /// The method, with its defaults.
    pub fn method(self) -> Method {
        match self {
            Self::VanillaAveraging => VanillaAveraging::default().into(),
            Self::Ensemble => Ensemble::default().into(),
        }
    }
}

/// Which groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// Models in a group, 2 or more.
    pub size: usize,
    /// How many are drawn; `None` for all.
    pub sample: Option<usize>,
    /// Seed of the drawing.
    pub seed: u64,
}

impl Groups {
    /// How many groups there are, and how many of them are fused; `None` where that is more than is supported.
    pub fn number(&self, models: usize) -> Option<(u64, u64)> {
        let available = choose(models, self.size)?;
        let number = self
            .sample
            .map_or(available, |sample| available.min(sample as u64));
        (number <= MAX_GROUPS).then_some((available, number))
    }
}

/// Which of a set's models are fused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Selection {
    /// All.
    #[default]
    All,
    /// The first n, in the order of `base.order`.
    First(usize),
    /// Each group by itself.
    Groups(Groups),
}

impl Selection {
    /// How many models one fusion takes out of `parts`.
    pub fn size(&self, parts: usize) -> usize {
        match self {
            Self::All => parts,
            Self::First(n) => *n,
            Self::Groups(groups) => groups.size,
        }
    }

    /// Its coordinate on the manifest's axes: key and value; `None` for all models.
    pub(super) fn axis(&self) -> Option<(&'static str, Json)> {
        match self {
            Self::All => None,
            Self::First(n) => Some(("first", json!(n))),
            Self::Groups(groups) => {
                let mut value = json!({ "size": groups.size });
                if let Some(sample) = groups.sample {
                    value["sample"] = json!(sample);
                    value["seed"] = json!(groups.seed);
                }
                Some(("groups", value))
            }
        }
    }
}

/// `n! / (k! (n - k)!)`, the number of groups of `k` out of `n`; `None` where it exceeds 64 bits.
pub fn choose(n: usize, k: usize) -> Option<u64> {
    if k > n {
        return Some(0);
    }
    // After step i the value is choose(n, i), so that every division is exact.
    (1..=k.min(n - k) as u128)
        .try_fold(1u128, |value, i| {
            value.checked_mul(n as u128 - i + 1).map(|product| product / i)
        })
        .and_then(|value| u64::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_groups() {
        // https://oeis.org/A007318, and `math.comb` of Python.
        let known = [
            (8, 2, 28),
            (8, 8, 1),
            (8, 0, 1),
            (2, 3, 0),
            (64, 32, 1_832_624_140_942_590_534),
        ];
        for (n, k, expected) in known {
            assert_eq!(choose(n, k), Some(expected), "{n} {k}");
        }
        assert_eq!(choose(68, 34), None);
        assert_eq!(choose(1000, 500), None);
        assert!((1..30).all(|n| {
            (1..n).all(|k| {
                choose(n, k) == Some(choose(n - 1, k - 1).expect("small") + choose(n - 1, k).expect("small"))
            })
        }));
    }
}
