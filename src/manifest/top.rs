//! The keys that stand above the sections: name, seeds, reports.

use std::collections::HashSet;

use figment::value::Value;

use super::decode::Decoder;
use super::resolve::Resolver;
use super::{Problem, ReportSettings};

impl Resolver<'_> {
    pub(super) fn name(&mut self) -> Option<String> {
        let path = ["name".to_string()];
        let hint = "for example `name = \"mnist-non-iid\"`; results are written to `results/<name>/`";
        match self.layers.dict.get("name") {
            Some(Value::String(_, name)) if is_folder_name(name) => Some(name.clone()),
            Some(Value::Num(_, number)) => {
                let problem = self
                    .layers
                    .problem(&path, false, "`name` must be text, not a number");
                let number = serde_json::to_value(number).unwrap_or_default();
                self.problems
                    .push(problem.hint(format!("text stands in quotes: `name = \"{number}\"`")));
                None
            }
            Some(_) => {
                let message = "`name` must be made of letters, digits, `-`, `_` and `.`, and begin with a letter or digit";
                self.problems
                    .push(self.layers.problem(&path, false, message).hint(hint));
                None
            }
            None => {
                let message = format!("`{}` lacks the key `name`", self.layers.path().display());
                self.problems.push(Problem::new(message).hint(hint));
                None
            }
        }
    }

    pub(super) fn seeds(&mut self, key: &str, default: u64) -> Vec<u64> {
        let path = vec![key.to_string()];
        let Some(value) = self.layers.dict.get(key) else {
            return vec![default];
        };
        let single = value.deserialize::<u64>().ok().map(|seed| vec![seed]);
        let Some(seeds) = single.or_else(|| value.deserialize::<Vec<u64>>().ok()) else {
            let message = format!("`{key}` must be a list of whole numbers, 0 or more");
            self.problems.push(
                self.layers
                    .problem(&path, false, message)
                    .hint(format!("for example `{key} = [1, 2, 3]`")),
            );
            return vec![default];
        };
        if seeds.is_empty() {
            self.problems.push(
                self.layers
                    .problem(&path, false, format!("`{key}` is empty"))
                    .hint("give at least one seed"),
            );
        }
        let mut known = HashSet::new();
        for (i, seed) in seeds.iter().enumerate() {
            if !known.insert(seed) {
                let at = [key.to_string(), i.to_string()];
                self.problems.push(self.layers.problem(
                    &at,
                    false,
                    format!("seed {seed} stands twice in `{key}`"),
                ));
            }
        }
        seeds
    }

    pub(super) fn reports(&mut self) -> Vec<ReportSettings> {
        let entries = self.entries("report");
        if !self.layers.dict.contains_key("report") {
            return vec![ReportSettings::default()];
        }
        let mut reports = Vec::new();
        for (path, mut dict) in entries {
            // One metric may be given without brackets.
            if let Some(Value::String(tag, metric)) = dict.get("metric").cloned() {
                dict.insert("metric".into(), Value::Array(tag, vec![Value::from(metric)]));
            }
            let decoder = Decoder::new(self.layers);
            reports.extend(decoder.decode::<ReportSettings>(dict, &path, self.problems));
        }
        reports
    }
}

fn is_folder_name(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}
