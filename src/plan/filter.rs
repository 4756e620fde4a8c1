//! `-E FILTER`: choosing jobs by name, kind, method and axes.
//!
//! A filter is a list of terms joined by `,`, all of which must hold; `!` negates a term. `key=pattern` compares a
//! field (`kind`, `method`, `importance`, `seed`, `model`, `group` as in `0-3`, or an axis by its full or last name); a bare pattern
//! compares the job's name, and so does a term whose key is neither a field nor an axis of the job. Patterns may hold `*`, `?` and `[...]`; several values are joined by `|`.

use std::collections::BTreeMap;

use glob::Pattern;
use serde_json::Value;

use super::JobSpec;
use crate::result::IndexEntry;

/// A parsed filter.
#[derive(Debug, Clone)]
pub struct Filter {
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
struct Term {
    negated: bool,
    key: Option<String>,
    any: Vec<Pattern>,
    /// The whole term as a part of a name: `model_0-parts=2` looks like a key and is none.
    name: Option<Pattern>,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// An empty term, or a pattern that is not one, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let terms = text.split(',').map(Term::parse).collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Whether the job passes.
    pub fn matches(&self, job: &JobSpec) -> bool {
        self.passes(&Facts::of_job(job))
    }

    /// Whether a job of an index passes. One without a place, of an old index, does by its name and kind alone.
    pub fn matches_entry(&self, entry: &IndexEntry) -> bool {
        self.passes(&Facts::of_entry(entry))
    }

    fn passes(&self, facts: &Facts) -> bool {
        self.terms.iter().all(|term| term.matches(facts) != term.negated)
    }
}

/// What terms are about.
#[derive(Default)]
struct Facts<'a> {
    name: &'a str,
    kind: &'a str,
    seed: Option<u64>,
    model: Option<String>,
    group: Option<String>,
    method: Option<&'a str>,
    importance: Option<&'a str>,
    parts: Option<usize>,
    axes: Option<&'a BTreeMap<String, Value>>,
}

impl<'a> Facts<'a> {
    fn of_job(job: &'a JobSpec) -> Self {
        let fusion = job.task.fusion();
        Self {
            name: &job.name,
            kind: job.kind().as_str(),
            seed: Some(job.seed),
            model: job.task.base().map(|base| base.model.to_string()),
            group: fusion.map(super::Fuse::group),
            method: fusion.map(|fuse| fuse.method.name()),
            importance: fusion.and_then(|fuse| Some(fuse.method.importance()?.as_str())),
            parts: Some(job.settings.split.parts),
            axes: Some(&job.axes),
        }
    }

    fn of_entry(entry: &'a IndexEntry) -> Self {
        let named = Self {
            name: &entry.job,
            kind: entry.kind.as_str(),
            ..Self::default()
        };
        let Some(place) = &entry.place else {
            return named;
        };
        let numbers: Vec<&str> = place
            .models
            .iter()
            .map(|model| model.strip_prefix("model_").unwrap_or(model))
            .collect();
        let numbers = Some(numbers.join("-"));
        let (model, group) = match place.method {
            None => (numbers, None),
            Some(_) => (None, numbers),
        };
        Self {
            seed: Some(place.seed),
            model,
            group,
            method: place.method.as_deref(),
            importance: place.importance.as_deref(),
            parts: Some(place.parts),
            axes: Some(&place.axes),
            ..named
        }
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        // Axis values stand in names as `parts=2`, so only a plain word before the sign is a key.
        let (key, pattern) = match text.split_once('=') {
            Some((key, pattern)) if key.chars().all(|c| c.is_alphanumeric() || ".-_".contains(c)) => {
                (Some(key.to_string()), pattern)
            }
            _ => (None, text),
        };
        if pattern.is_empty() {
            return Err("a filter has an empty term; for example `method=hf-*,parts=2`".into());
        }
        let any = pattern
            .split('|')
            .map(|pattern| {
                let wide = match &key {
                    Some(_) => pattern.to_string(),
                    // Two stars in a row would mean folders.
                    None => format!("*{}*", pattern.trim_matches('*')),
                };
                Pattern::new(&wide).map_err(|error| format!("`{pattern}` is not a pattern: {error}"))
            })
            .collect::<Result<_, _>>()?;
        let name = Pattern::new(&format!("*{}*", text.trim_matches('*'))).ok();
        Ok(Self {
            negated,
            key,
            any,
            name,
        })
    }

    fn matches(&self, facts: &Facts) -> bool {
        let fits = |value: &str| self.any.iter().any(|pattern| pattern.matches(value));
        match self.key.as_deref() {
            None => fits(facts.name),
            Some("kind") => fits(facts.kind),
            Some("seed") => facts.seed.is_some_and(|seed| fits(&seed.to_string())),
            Some("model") => facts.model.as_deref().is_some_and(fits),
            Some("group") => facts.group.as_deref().is_some_and(fits),
            Some("method") => facts.method.is_some_and(fits),
            Some("importance") => facts.importance.is_some_and(fits),
            Some("parts") => facts.parts.is_some_and(|parts| fits(&parts.to_string())),
            Some(key) => {
                let named = |axis: &str| axis == key || axis.rsplit('.').next() == Some(key);
                let mut values = facts
                    .axes
                    .into_iter()
                    .flatten()
                    .filter(|(axis, _)| named(axis))
                    .map(|(_, value)| value)
                    .peekable();
                if values.peek().is_none() {
                    return self.name.as_ref().is_some_and(|name| name.matches(facts.name));
                }
                values.any(|value| fits(&value.as_str().map_or_else(|| value.to_string(), String::from)))
            }
        }
    }
}
