//! From an untyped dictionary to a typed section, collecting every problem on the way.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::adjust::Moved;
use super::axes::Axis;
use super::overrides::ENVIRONMENT;
use super::{Layers, Problem};

/// Reads one section; the axes' choice tells which element of a list an error is about.
pub(super) struct Decoder<'a> {
    pub layers: &'a Layers,
    pub axes: &'a [Axis],
    pub choice: &'a [usize],
    /// Keys whose value stands elsewhere.
    pub moved: &'a [Moved],
}

impl<'a> Decoder<'a> {
    /// For what has no axes.
    pub fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            axes: &[],
            choice: &[],
            moved: &[],
        }
    }

    /// Decodes `dict`, which stands at `path` in the manifest. After a problem the key at fault is dropped and the
    /// rest is tried again, so that one report holds all of them; the value returned then stands in with defaults.
    pub fn decode<T>(&self, mut dict: Dict, path: &[String], problems: &mut Vec<Problem>) -> Option<T>
    where
        T: DeserializeOwned + Serialize + JsonSchema,
    {
        let before = problems.len();
        for _ in 0..64 {
            let error = match Value::from(dict.clone()).deserialize::<T>() {
                Ok(typed) => {
                    if problems.len() == before {
                        self.check_ranges(&typed, path, problems);
                    }
                    return Some(typed);
                }
                Err(error) => error,
            };
            let inner = error.path.clone();
            let mut at = path.to_vec();
            at.extend(inner.iter().cloned());
            match &error.kind {
                Kind::UnknownField(name, valid) => {
                    let mut key = inner.clone();
                    if key.last() != Some(name) {
                        key.push(name.clone());
                        at.push(name.clone());
                    }
                    // A list below an unknown key is no axis: the key itself is at fault.
                    let place = self.elsewhere(&at).unwrap_or_else(|| {
                        let mut place = self.with_element(&at[..at.len() - 1]);
                        place.push(name.clone());
                        place
                    });
                    problems.push(unknown_key(self.layers, &place, valid));
                    if !remove(&mut dict, &key) {
                        return None;
                    }
                }
                Kind::MissingField(name) => {
                    // A key that was dropped above for its own problem is not missing.
                    if problems.len() == before {
                        let section = if at.is_empty() {
                            "the manifest".into()
                        } else {
                            format!("`{}`", at.join("."))
                        };
                        problems.push(
                            self.layers
                                .problem(
                                    &self.with_element(&at),
                                    true,
                                    format!("{section} lacks the key `{name}`"),
                                )
                                .hint(format!(
                                    "add `{name} = ...`; `runner schema --markdown` explains all keys"
                                )),
                        );
                    }
                    return None;
                }
                kind => {
                    // An empty axis was reported when the axes were looked for.
                    if !is_empty_list(&dict, &inner) {
                        problems.push(self.bad_value(&at, kind));
                    }
                    if inner.is_empty() || !remove(&mut dict, &inner) {
                        return None;
                    }
                }
            }
        }
        None
    }

    fn bad_value(&self, at: &[String], kind: &Kind) -> Problem {
        let name = at.join(".");
        let message = match kind {
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                format!(
                    "`{name}` must be {}, not {}",
                    plain_type(expected),
                    plain_value(found)
                )
            }
            Kind::UnknownVariant(found, _) => format!("unknown value `{found}` for `{name}`"),
            other => format!("`{name}`: {other}"),
        };
        let problem = self.layers.problem(&self.with_element(at), false, message);
        let key = at.last().map_or("", String::as_str);
        let hint = match kind {
            Kind::UnknownVariant(found, valid) => Some(suggestion(found, valid)),
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                other_form(key, found, expected)
            }
            _ => None,
        };
        Problem { hint, ..problem }
    }

    /// Where the value stands, if not where it belongs.
    fn elsewhere(&self, at: &[String]) -> Option<Vec<String>> {
        let (own, elsewhere) = self.moved.iter().rev().find(|(own, _)| at.starts_with(own))?;
        Some([elsewhere, &at[own.len()..]].concat())
    }

    /// The path within the axis' element that is being tried, if `at` is an axis or lies in one; or where else its
    /// value stands.
    pub fn with_element(&self, at: &[String]) -> Vec<String> {
        if let Some(elsewhere) = self.elsewhere(at) {
            return elsewhere;
        }
        let mut path = at.to_vec();
        if let Some(i) = self.axes.iter().position(|axis| at.starts_with(&axis.path)) {
            path.insert(self.axes[i].path.len(), self.choice[i].to_string());
        }
        path
    }

    /// Holds the typed section to the ranges its schema documents, so that there is one place for both.
    fn check_ranges<T: Serialize + JsonSchema>(
        &self,
        typed: &T,
        path: &[String],
        problems: &mut Vec<Problem>,
    ) {
        let schema = schema_of::<T>();
        let value = serde_json::to_value(typed).unwrap_or(Json::Null);
        self.walk_ranges((&schema, &schema), &value, path, problems);
    }

    /// `schema` is that of `value`, a part of `root`.
    fn walk_ranges(
        &self,
        (root, schema): (&Json, &Json),
        value: &Json,
        path: &[String],
        problems: &mut Vec<Problem>,
    ) {
        // Types that contain themselves are not written out.
        let named = schema["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        let schema = named.and_then(|name| root.pointer(name)).unwrap_or(schema);
        if let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) {
            for (key, value) in fields {
                if let Some(schema) = properties.get(key) {
                    let mut path = path.to_vec();
                    path.push(key.clone());
                    self.walk_ranges((root, schema), value, &path, problems);
                }
            }
        }
        if let Some(items) = value.as_array() {
            for (i, item) in items.iter().enumerate() {
                let mut path = path.to_vec();
                path.push(i.to_string());
                self.walk_ranges((root, &schema["items"]), item, &path, problems);
            }
        }
        let bounds = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        // JSON has no other form for a number that is not finite; a key that is not set is left out.
        let optional = schema["type"]
            .as_array()
            .is_some_and(|types| types.iter().any(|name| name == "null"));
        if value.is_null() && bounds.0.is_some() && !optional {
            let message = format!("`{}` must be a finite number", path.join("."));
            problems.push(self.layers.problem(&self.with_element(path), false, message));
        }
        let Some(number) = value.as_f64() else { return };
        let message = match bounds {
            (Some(min), Some(max)) if !(min..=max).contains(&number) => format!("between {min} and {max}"),
            (Some(min), None) if number < min => format!("at least {min}"),
            _ => return,
        };
        let name = path.join(".");
        problems.push(self.layers.problem(
            &self.with_element(path),
            false,
            format!("`{name}` must be {message}, not {value}"),
        ));
    }
}

/// A type's schema, made once.
fn schema_of<T: JsonSchema>() -> Rc<Json> {
    thread_local! {
        static MADE: RefCell<HashMap<Cow<'static, str>, Rc<Json>>> = RefCell::default();
    }
    let make = || {
        let generator = SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator();
        Rc::new(generator.into_root_schema_for::<T>().to_value())
    };
    MADE.with_borrow_mut(|made| made.entry(T::schema_id()).or_insert_with(make).clone())
}

/// An unknown key, with the nearest valid one.
pub(super) fn unknown_key(layers: &Layers, at: &[String], valid: &[&str]) -> Problem {
    let name = at.last().map_or("", String::as_str);
    let problem = layers.problem(at, true, format!("unknown key `{name}`"));
    let other = match &problem.origin {
        // Other programs have variables of that beginning, too.
        Some(origin) if origin.starts_with(ENVIRONMENT) => {
            Some("unset the variable, if it is another program's".to_string())
        }
        _ => layers.way_out(at),
    };
    problem.hint(or_else(suggestion(name, valid), other))
}

/// A hint, and what else can be done.
pub(super) fn or_else(hint: String, other: Option<String>) -> String {
    match other {
        Some(other) if hint.ends_with('?') => format!("{hint} Or {other}"),
        Some(other) => format!("{hint}; or {other}"),
        None => hint,
    }
}

/// "did you mean ...?" or the list of what there is.
pub(super) fn suggestion(name: &str, valid: &[&str]) -> String {
    match nearest(name, valid) {
        Some(near) => format!("did you mean `{near}`?"),
        None if valid.is_empty() => "no keys are expected here".to_string(),
        None => format!(
            "one of {}",
            valid
                .iter()
                .map(|v| format!("`{v}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

/// The valid name that `name` most likely is a misspelling of.
pub fn nearest<'a>(name: &str, valid: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let likeness = |candidate: &str| {
        // Short names differ a lot by one slip.
        let slip = if strsim::osa_distance(&name, candidate) <= 1 {
            0.9
        } else {
            0.0
        };
        strsim::jaro_winkler(&name, candidate).max(slip)
    };
    valid
        .iter()
        .map(|candidate| (likeness(candidate), *candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// How a value of another type is written so that it is of the right one.
fn other_form(key: &str, found: &Actual, expected: &str) -> Option<String> {
    let is_number = plain_type(expected).contains("number");
    match (found, plain_type(expected).as_str()) {
        (Actual::Float(value), "a whole number, 0 or more") if value.fract() == 0.0 && *value >= 0.0 => Some(
            format!("{value:?} has a decimal point or an exponent: write `{value}`"),
        ),
        (Actual::Str(text), _) if is_number => {
            let number: f64 = text
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())?;
            Some(format!("write `{number}`, without quotes"))
        }
        (Actual::Bool(_) | Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_), "text") => Some(
            format!("text stands in quotes: `{key} = \"{}\"`", plain_value(found)),
        ),
        (Actual::Bool(_) | Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_), "a list") => {
            Some(format!("write `{key} = [{}]`", plain_value(found)))
        }
        _ => None,
    }
}

/// Rust's names of types in words a user knows.
fn plain_type(expected: &str) -> String {
    match expected {
        "usize" | "u64" | "u32" => "a whole number, 0 or more".to_string(),
        "f64" | "f32" => "a number".to_string(),
        "a boolean" => "true or false".to_string(),
        "a string" | "path string" => "text".to_string(),
        "a sequence" => "a list".to_string(),
        other => other
            .strip_prefix("struct ")
            .map_or_else(|| other.to_string(), |_| "a table".to_string()),
    }
}

/// A value that was found, as the user wrote it.
fn plain_value(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => format!("{value:?}"),
        Actual::Str(text) => format!("\"{text}\""),
        Actual::Seq => "a list".to_string(),
        Actual::Map => "a table".to_string(),
        other => other.to_string(),
    }
}

fn is_empty_list(dict: &Dict, path: &[String]) -> bool {
    match path {
        [] => false,
        [last] => matches!(dict.get(last), Some(Value::Array(_, items)) if items.is_empty()),
        [first, rest @ ..] => {
            matches!(dict.get(first), Some(Value::Dict(_, inner)) if is_empty_list(inner, rest))
        }
    }
}

fn remove(dict: &mut Dict, path: &[String]) -> bool {
    match path {
        [] => false,
        [last] => dict.remove(last).is_some(),
        [first, rest @ ..] => match dict.get_mut(first) {
            Some(Value::Dict(_, inner)) => remove(inner, rest),
            Some(Value::Array(_, items)) => match rest {
                // Of a table in a list, the key; of anything else in it, the whole list.
                [i, inner @ ..] if !inner.is_empty() => {
                    let item = i.parse::<usize>().ok().and_then(|i| items.get_mut(i));
                    match item {
                        Some(Value::Dict(_, dict)) => remove(dict, inner),
                        _ => false,
                    }
                }
                _ => dict.remove(first).is_some(),
            },
            _ => false,
        },
    }
}
