//! Which rows and columns a table has.
//!
//! | layout | rows | columns |
//! | --- | --- | --- |
//! | `methods-by-split` | base models, then methods by importance | numbers of models, and other axes of the base models |
//! | `kf-gradient-only` | the same, of averaging, ensembles and KF gradient | the same |
//! | `full-data` | base models, then methods | single models, pairs, groups; before and after fine-tuning |
//! | `ablation` | methods | the values of one axis |
//!
//! A template has the layout of its own name, or the one that a comment in its first line names:
//! `{# layout: ablation #}`; other templates have `methods-by-split`.

use std::collections::{BTreeMap, BTreeSet};

use super::error::nearest;
use super::{Group, ReportError, labels};

/// Names of the layouts, which the templates compiled in have as well.
pub const LAYOUTS: [&str; 4] = ["methods-by-split", "kf-gradient-only", "full-data", "ablation"];

/// Which rows and columns a table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Everything, by numbers of models.
    MethodsBySplit,
    /// Averaging, ensembles and KF gradient, by numbers of models.
    KfGradientOnly,
    /// Models that saw all data: pairs and groups, before and after fine-tuning.
    FullData,
    /// One axis from left to right.
    Ablation {
        /// The axis, such as `model.hidden`.
        axis: String,
    },
}

impl Layout {
    /// The layout called `name`; an ablation is along `axis`, or along the one axis there is.
    pub fn named(name: &str, axis: Option<&str>, groups: &[Group]) -> Result<Self, ReportError> {
        if let Some(axis) = axis.filter(|_| name != "ablation") {
            return Err(ReportError::AxisUnused {
                axis: axis.to_string(),
                layout: name.to_string(),
            });
        }
        let layout = match name {
            "kf-gradient-only" => Self::KfGradientOnly,
            "full-data" => Self::FullData,
            "ablation" => Self::Ablation {
                axis: ablated(axis, groups)?,
            },
            _ => Self::MethodsBySplit,
        };
        Ok(layout)
    }

    /// The groups that the layout shows, in their order.
    pub fn shown(&self, groups: &[Group]) -> Vec<Group> {
        groups.iter().filter(|group| self.shows(group)).cloned().collect()
    }

    fn shows(&self, group: &Group) -> bool {
        let method = group.method.as_deref();
        match self {
            Self::KfGradientOnly => {
                method.is_none_or(|name| ["vanilla-averaging", "ensemble", "kf-gradient"].contains(&name))
            }
            // The base models are not what is ablated, unless they differ along the axis.
            Self::Ablation { axis } => method.is_some() || group.axes.contains_key(axis),
            Self::MethodsBySplit | Self::FullData => true,
        }
    }
}

/// The axis of an ablation, by its full or its last name.
fn ablated(wanted: Option<&str>, groups: &[Group]) -> Result<String, ReportError> {
    let mut values: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (key, value) in groups.iter().flat_map(|group| &group.axes) {
        values.entry(key).or_default().insert(value.to_string());
    }
    let known = || values.keys().map(ToString::to_string).collect::<Vec<_>>();
    if let Some(wanted) = wanted {
        let hits = |key: &&&str| **key == wanted || key.rsplit('.').next() == Some(wanted);
        let found = values.keys().find(hits).map(ToString::to_string);
        return found.ok_or_else(|| ReportError::UnknownAxis {
            name: wanted.to_string(),
            nearest: nearest(wanted, values.keys().copied()),
            known: known(),
        });
    }
    let told = [
        "parts",
        "method",
        "importance",
        "label",
        "head-weights",
        labels::GROUPS,
        labels::FIRST,
    ];
    let varying: Vec<&str> = values
        .iter()
        .filter(|(key, values)| values.len() > 1 && !told.contains(&key.rsplit('.').next().unwrap_or(key)))
        .map(|(key, _)| *key)
        .collect();
    match varying.as_slice() {
        [one] => Ok((*one).to_string()),
        _ => Err(ReportError::NoAxis {
            candidates: varying.into_iter().map(str::to_string).collect(),
        }),
    }
}
