//! `-E FILTER`: choosing jobs by name, kind, method and axes.
//!
//! A filter is a list of terms joined by `,`, all of which must hold; `!` negates a term. `key=pattern` compares a
//! field (`kind`, `method`, `importance`, `seed`, `model`, `group` as in `0-3`, or an axis by its full or last name); a bare pattern
//! compares the job's name, and so does a term whose key is neither a field nor an axis of the job. Patterns may hold `*`, `?` and `[...]`; several values are joined by `|`.

use glob::Pattern;

use super::JobSpec;

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
        self.terms.iter().all(|term| term.matches(job) != term.negated)
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

    fn matches(&self, job: &JobSpec) -> bool {
        let fits = |value: &str| self.any.iter().any(|pattern| pattern.matches(value));
        let fusion = job.task.fusion();
        match self.key.as_deref() {
            None => fits(&job.name),
            Some("kind") => fits(job.kind().as_str()),
            Some("seed") => fits(&job.seed.to_string()),
            Some("model") => {
                let base = job.task.base();
                base.is_some_and(|base| fits(&base.model.to_string()))
            }
            Some("group") => fusion.is_some_and(|fuse| fits(&fuse.group())),
            Some("method") => fusion.is_some_and(|fuse| fits(fuse.method.name())),
            Some("importance") => {
                let score = fusion.and_then(|fuse| fuse.method.importance());
                score.is_some_and(|score| fits(score.as_str()))
            }
            Some("parts") => fits(&job.settings.split.parts.to_string()),
            Some(key) => {
                let named = |axis: &str| axis == key || axis.rsplit('.').next() == Some(key);
                let mut values = job
                    .axes
                    .iter()
                    .filter(|(axis, _)| named(axis))
                    .map(|(_, value)| value)
                    .peekable();
                if values.peek().is_none() {
                    return self.name.as_ref().is_some_and(|name| name.matches(&job.name));
                }
                values.any(|value| fits(&value.as_str().map_or_else(|| value.to_string(), String::from)))
            }
        }
    }
}
