//! One colour per method, the same in all figures of an experiment.

use std::collections::HashMap;

use super::Style;
use super::palette::TINTS;
use crate::report::columns::Columns;
use crate::report::layout::Layout;
use crate::report::rows::{Line, rows};
use crate::report::{Group, Metric, Summary, labels};

/// The method of each group of results, by its place in the list of methods, and which row of this method it is in.
pub struct Colours(HashMap<String, (usize, usize)>);

impl Colours {
    /// Rows of one method that differ in more than the importance are numbered in the order of the tables by splits.
    pub fn of(summary: &Summary) -> Self {
        let columns = Columns::of(&summary.groups, &Layout::MethodsBySplit, Metric::Accuracy);
        let mut known: Vec<Vec<String>> = Vec::new();
        let mut colours = HashMap::new();
        for line in rows(&summary.groups, &columns) {
            let method = labels::order(member(&line).and_then(|group| group.method.as_deref()));
            if known.len() <= method {
                known.resize(method + 1, Vec::new());
            }
            let labels = &mut known[method];
            let variant = labels.iter().position(|label| *label == line.label);
            let variant = variant.unwrap_or_else(|| {
                labels.push(line.label.clone());
                labels.len() - 1
            });
            for group in line.groups.iter().flatten() {
                colours.insert(group.identity(true), (method, variant));
            }
        }
        Self(colours)
    }

    /// That of a row of any layout: a colour and a mark per method, a dash per importance, tints and other marks for
    /// further rows of the method.
    pub fn style(&self, line: &Line) -> Style {
        let found = member(line).and_then(|group| self.0.get(&group.identity(true)));
        let (method, variant) = found.copied().unwrap_or_default();
        Style {
            colour: method,
            tint: variant % TINTS.len(),
            dash: importance(line) + variant / TINTS.len(),
            mark: Some(method + variant),
        }
    }
}

/// The position of a row's importance in the list of importances; 0 without one.
pub fn importance(line: &Line) -> usize {
    let name = member(line).and_then(|group| group.importance.as_deref());
    name.map_or(0, labels::importance_order)
}

/// One of the groups of a row; all have its method and its importance.
fn member<'a>(line: &Line<'a>) -> Option<&'a Group> {
    line.groups.iter().flatten().next().copied()
}
