//! Values from outside the manifest, `key=value`: read by what their key takes, set, and taken away.

use figment::value::{Dict, Tag, Value};

use super::Problem;
use super::reference::is_setting;
use super::wanted::Wanted;

/// What is wrong with an integer that TOML does not have.
pub(super) const TOO_LARGE: &str = "an integer is too large: the largest is 9223372036854775807";

/// How the origin of a value begins that a variable gave.
pub(super) const ENVIRONMENT: &str = "environment variable ";

/// Deepest key.
const MAX_DEPTH: usize = 32;

/// The key whose values are keys to take away.
const UNSET: &str = "unset";

/// One value given outside the manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// Key path, such as `["base", "optimizer", "lr"]`; a number indexes a list. `["unset"]` takes away the keys that
    /// are its value.
    pub path: Vec<String>,
    /// Its value: plain text where the key takes text, otherwise TOML.
    pub value: String,
    /// How the user gave it, for messages: `--set base.epochs=3`, `environment variable RUNNER__BASE__EPOCHS`.
    pub origin: String,
}

impl Override {
    /// Reads `a.b=v`. `a=1,2` means the list `[1, 2]`.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Problem> {
        let (path, value) = text.split_once('=').ok_or_else(|| {
            Problem::new(format!("`{text}` is not of the form `key=value`"))
                .hint("for example `--set base.epochs=3`, or `split.parts=2,4` for an axis")
        })?;
        let path = split(path).map_err(|what| Problem::new(format!("`{text}` {what}")))?;
        Ok(Self {
            path,
            value: value.trim().to_string(),
            origin: format!("{origin}{text}"),
        })
    }

    /// Takes away `key`, as `unset=key` does.
    pub fn unset(key: &str, origin: &str) -> Self {
        Self {
            path: vec![UNSET.to_string()],
            value: key.to_string(),
            origin: format!("{origin}{key}"),
        }
    }

    /// `RUNNER__BASE__BATCH_SIZE` sets `base.batch-size`: `__` separates keys, `_` stands for `-`.
    pub fn from_environment(variable: &str, value: &str) -> Option<Self> {
        let name = variable.strip_prefix("RUNNER__")?;
        Some(Self::of_variable(name, variable, value))
    }

    /// The same of the form that version 0.1 had, `RUNNER_BASE__BATCH_SIZE`. Other programs set variables that begin so,
    /// too: it counts only where its first part is a key of manifests.
    pub fn from_old_environment(variable: &str, value: &str) -> Option<Self> {
        let name = variable.strip_prefix("RUNNER_")?;
        let item = Self::of_variable(name, variable, value);
        is_setting(&item.path[..1]).then_some(item)
    }

    fn of_variable(name: &str, variable: &str, value: &str) -> Self {
        let parts = name.split("__");
        Self {
            path: parts.map(|part| part.to_lowercase().replace('_', "-")).collect(),
            value: value.to_string(),
            origin: format!("{ENVIRONMENT}{variable}"),
        }
    }

    fn apply(&self, dict: &mut Dict, warnings: &mut Vec<Problem>) -> Result<(), Problem> {
        if self.path.first().is_some_and(|key| key == "extends") {
            let problem = Problem::new("`extends` can stand in a manifest only");
            return Err(problem
                .hint("write a manifest of two lines that extends the other, or give the keys themselves"));
        }
        if self.path.len() > MAX_DEPTH {
            let message = format!("the key has {} parts, more than {MAX_DEPTH}", self.path.len());
            return Err(Problem::new(message));
        }
        let value = Wanted::at(&self.path).read(&self.value).map_err(Problem::new)?;
        if self.path != [UNSET] {
            return set(dict, &self.path, value).map_err(Problem::new);
        }
        for path in keys(&value)? {
            if !unset(dict, &path).map_err(Problem::new)? {
                warnings.push(Problem {
                    origin: Some(self.origin.clone()),
                    ..nothing_unset(&path)
                });
            }
        }
        Ok(())
    }
}

/// Applies all overrides, in their order; what is surely not meant.
pub(super) fn put_all(dict: &mut Dict, overrides: &[Override]) -> Result<Vec<Problem>, Problem> {
    let mut warnings = Vec::new();
    for item in overrides {
        item.apply(dict, &mut warnings).map_err(|problem| Problem {
            origin: Some(item.origin.clone()),
            ..problem
        })?;
    }
    Ok(warnings)
}

/// The parts of a dotted key, or what is wrong with it.
fn split(key: &str) -> Result<Vec<String>, &'static str> {
    let path: Vec<String> = key.split('.').map(|part| part.trim().to_string()).collect();
    match path.iter().any(String::is_empty) {
        true => Err("has an empty key"),
        false => Ok(path),
    }
}

/// The parts of a key as it is written.
pub(super) fn dotted(path: &[String]) -> String {
    path.join(".")
}

/// The keys that `unset` lists.
pub(super) fn keys(value: &Value) -> Result<Vec<Vec<String>>, Problem> {
    let wrong = |what: &str| {
        let problem = Problem::new(format!("`{UNSET}` {what}"));
        problem.hint("it is a list of keys to take away: `unset = [\"base.optimizer\", \"exclude\"]`")
    };
    let one = |value: &Value| match value {
        Value::String(_, key) => split(key).map_err(wrong),
        _ => Err(wrong("must be a list of keys in quotes")),
    };
    match value {
        Value::Array(_, items) => items.iter().map(one).collect(),
        single => Ok(vec![one(single)?]),
    }
}

/// What is said of an `unset` that takes nothing away.
pub(super) fn nothing_unset(path: &[String]) -> Problem {
    let message = format!("there is no `{}` to take away", dotted(path));
    Problem::new(message).hint("`unset` takes away keys of extended manifests, as `config` prints them")
}

/// Takes away the key at `path`; whether it was there.
pub(super) fn unset(dict: &mut Dict, path: &[String]) -> Result<bool, String> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(false);
    };
    if rest.is_empty() {
        return Ok(dict.remove(first).is_some());
    }
    match dict.get_mut(first) {
        Some(Value::Dict(_, inner)) => unset(inner, rest),
        Some(Value::Array(_, items)) => {
            let item = rest[0].parse::<usize>().ok().and_then(|i| items.get_mut(i));
            match item {
                Some(_) if rest.len() == 1 => Err(format!(
                    "`{first}.{}` is an entry of a list, and only keys and whole lists can be taken away",
                    rest[0]
                )),
                Some(Value::Dict(_, inner)) => unset(inner, &rest[1..]),
                _ => Ok(false),
            }
        }
        _ => Ok(false),
    }
}

/// Sets the value at `path`, making tables on the way.
fn set(dict: &mut Dict, path: &[String], value: Value) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    if rest.is_empty() {
        dict.insert(first.clone(), value);
        return Ok(());
    }
    let entry = dict
        .entry(first.clone())
        .or_insert_with(|| Value::from(Dict::new()));
    match entry {
        Value::Dict(_, inner) => set(inner, rest, value),
        Value::Array(_, items) => {
            let len = items.len();
            let item = rest[0]
                .parse::<usize>()
                .ok()
                .and_then(|i| items.get_mut(i))
                .ok_or_else(|| {
                    format!(
                        "`{first}` is a list of {len}: `{}` is not one of its positions (from 0)",
                        rest[0]
                    )
                })?;
            match item {
                Value::Dict(_, inner) if rest.len() > 1 => set(inner, &rest[1..], value),
                _ if rest.len() == 1 => {
                    *item = value;
                    Ok(())
                }
                _ => Err(format!("`{first}.{}` is not a table", rest[0])),
            }
        }
        _ => Err(format!("`{first}` is a value, not a table")),
    }
}

/// A list as a value.
pub(super) fn list(items: Vec<Value>) -> Value {
    Value::Array(Tag::Default, items)
}
