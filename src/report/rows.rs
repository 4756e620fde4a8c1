//! The rows of a table by splits: base models by rank, then methods in the order of the index.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::columns::{Columns, is_row_axis};
use super::data::Section;
use super::layout::Layout;
use super::{Group, labels};
use crate::result::{Kind, canonical_json};

/// A row before its numbers: who stands in it.
pub struct Line<'a> {
    /// Base models, ensembles or networks.
    pub section: Section,
    /// First cell.
    pub label: String,
    /// Second cell.
    pub importance: Option<String>,
    /// The rank of a base model.
    pub rank: Option<usize>,
    /// One per column; `None` where the index has no such job.
    pub groups: Vec<Option<&'a Group>>,
}

impl Line<'_> {
    /// Label and importance in one.
    pub fn name(&self) -> String {
        match &self.importance {
            Some(importance) => format!("{}, {importance}", self.label),
            None => self.label.clone(),
        }
    }
}

/// Sorts the groups into rows.
///
/// Entries of a method that differ in parameters alone share a row unless they meet in a column: parameters may
/// depend on the column (a learning rate per number of models), or tell two entries apart.
pub fn rows<'a>(groups: &'a [Group], columns: &Columns) -> Vec<Line<'a>> {
    let mut meetings: HashMap<(String, Option<usize>), usize> = HashMap::new();
    for group in groups {
        *meetings
            .entry((identity(group, None, columns.layout()), columns.position(group)))
            .or_default() += 1;
    }
    let crowded: BTreeSet<String> = groups
        .iter()
        .map(|group| (identity(group, None, columns.layout()), columns.position(group)))
        .filter(|meeting| meetings.get(meeting).is_some_and(|met| *met > 1))
        .map(|(identity, _)| identity)
        .collect();
    let members: Vec<Member> = groups
        .iter()
        .map(|group| {
            let column = columns.position(group);
            let variant = crowded
                .contains(&identity(group, None, columns.layout()))
                .then(|| variant(group, column, columns));
            Member {
                group,
                column,
                variant,
            }
        })
        .collect();
    let qualifiers = Qualifiers::of(&members, columns.layout());

    let mut lines: Vec<Line> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for member in &members {
        let group = member.group;
        let position = *positions
            .entry(identity(group, member.variant.as_ref(), columns.layout()))
            .or_insert(lines.len());
        if position == lines.len() {
            lines.push(Line {
                section: section(group),
                label: qualifiers.label(member),
                importance: group.importance.as_deref().map(labels::importance),
                rank: group.model.as_deref().and_then(labels::rank),
                groups: vec![None; columns.heads.len()],
            });
        }
        if let Some(column) = member.column {
            lines[position].groups[column] = Some(group);
        }
    }
    let tuned = |line: &Line| {
        line.groups
            .iter()
            .flatten()
            .any(|group| group.kind == Kind::Finetune)
    };
    lines.sort_by_key(|line| match line.section {
        Section::Base => (0, tuned(line), line.rank.unwrap_or(usize::MAX)),
        Section::Ensemble | Section::Network => (1, false, 0),
    });
    lines
}

/// A group, its column, and what tells it from others of the same name there.
struct Member<'a> {
    group: &'a Group,
    column: Option<usize>,
    variant: Option<Facets>,
}

type Facets = BTreeMap<String, Value>;

fn section(group: &Group) -> Section {
    match &group.method {
        None => Section::Base,
        Some(_) if group.is_ensemble() => Section::Ensemble,
        Some(_) => Section::Network,
    }
}

/// Whether a row says that it is about fine-tuned networks; in the full-data layout the column does.
fn tells_tuned(group: &Group, layout: &Layout) -> bool {
    group.kind == Kind::Finetune && *layout != Layout::FullData
}

/// Equal for groups of the same row.
fn identity(group: &Group, variant: Option<&Facets>, layout: &Layout) -> String {
    let axes: BTreeMap<_, _> = group
        .axes
        .iter()
        .filter(|(key, _)| is_row_axis(key, layout))
        .collect();
    let tuned = tells_tuned(group, layout);
    let row = json!([
        tuned,
        group.model,
        group.method,
        group.importance,
        group.label.as_ref().map(|_| group.row_label(tuned)),
        axes
    ]);
    canonical_json(&json!([row, variant]))
}

/// The parameters, and the number of models where not all of the column's are fused.
fn variant(group: &Group, column: Option<usize>, columns: &Columns) -> Facets {
    let mut facets = Facets::new();
    flatten("", &group.parameters, &mut facets);
    // Rows of groups and of the first few say so anyway.
    let said = group.axes.contains_key("fusion.groups")
        || group.axes.contains_key("fusion.first")
        || *columns.layout() == Layout::FullData;
    let some = column.is_some_and(|column| columns.models(column) != group.size);
    if group.method.is_some() && some && !said {
        facets.insert("group size".to_string(), json!(group.size));
    }
    if group.method.is_none() {
        facets.insert("kind".to_string(), json!(group.kind));
    }
    facets
}

fn flatten(path: &str, value: &Value, into: &mut Facets) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(format!("{path}.{key}").trim_start_matches('.'), value, into);
            }
        }
        Value::Null if path.is_empty() => {}
        other => {
            into.insert(path.to_string(), other.clone());
        }
    }
}

/// For each name of a row the settings that differ between the rows of that name.
struct Qualifiers<'a> {
    varying: BTreeMap<String, Vec<String>>,
    layout: &'a Layout,
}

impl<'a> Qualifiers<'a> {
    fn of(members: &[Member], layout: &'a Layout) -> Self {
        let mut families: BTreeMap<String, Vec<Facets>> = BTreeMap::new();
        for member in members {
            families
                .entry(member.group.row_label(tells_tuned(member.group, layout)))
                .or_default()
                .push(facets(member, layout));
        }
        let varying = |members: Vec<Facets>| {
            let keys: BTreeSet<String> = members.iter().flat_map(|facets| facets.keys().cloned()).collect();
            let differs = |key: &String| {
                // How groups were drawn tells rows of groups apart, but not from the others.
                let drawn = key.starts_with("groups.");
                let mut values = members
                    .iter()
                    .filter(|facets| !drawn || facets.contains_key(labels::GROUPS))
                    .map(|facets| facets.get(key));
                let first = values.next();
                values.any(|value| Some(value) != first)
            };
            keys.into_iter().filter(differs).collect()
        };
        Self {
            varying: families
                .into_iter()
                .map(|(name, members)| (name, varying(members)))
                .collect(),
            layout,
        }
    }

    fn label(&self, member: &Member) -> String {
        let name = member.group.row_label(tells_tuned(member.group, self.layout));
        let facets = facets(member, self.layout);
        // Without a label of its own a row says that not all models are fused, whatever the other rows are.
        let selection = [labels::GROUPS, labels::FIRST].map(String::from);
        let always = selection.iter().filter(|_| member.group.label.is_none());
        let varying = self.varying.get(&name).into_iter().flatten();
        let keys: BTreeSet<&String> = varying.chain(always).collect();
        let words: Vec<String> = keys
            .into_iter()
            .filter_map(|key| labels::setting(key, facets.get(key)?))
            .collect();
        std::iter::once(name).chain(words).collect::<Vec<_>>().join(", ")
    }
}

/// What may stand behind the name: the row's axes, and its variant.
fn facets(member: &Member, layout: &Layout) -> Facets {
    let mut facets = member.variant.clone().unwrap_or_default();
    for (key, value) in member
        .group
        .axes
        .iter()
        .filter(|(key, _)| is_row_axis(key, layout))
    {
        let key = key.strip_prefix("fusion.").unwrap_or(key);
        match value {
            // `{"size": 2, "sample": 30, "seed": 0}`: the size is what matters most.
            Value::Object(fields) if key == labels::GROUPS => {
                for (field, value) in fields {
                    let name = if field == "size" {
                        key.to_string()
                    } else {
                        format!("{key}.{field}")
                    };
                    facets.insert(name, value.clone());
                }
            }
            value => {
                facets.insert(key.to_string(), value.clone());
            }
        }
    }
    facets.retain(|key, _| !["method", "importance", "label"].contains(&key.as_str()));
    facets
}
