//! What a key takes, by the schema: so that `2024` is text where text is wanted, and a number where a number is.

use figment::value::{Dict, Value};
use serde_json::Value as Json;
use toml_edit::Value as Toml;

use super::OTHER_MODELS;
use super::overrides::{TOO_LARGE, list};
use super::schema::{methods, schema};

/// The schemas of the values that a key may have; none for a key that nobody knows.
pub(super) struct Wanted(Vec<&'static Json>);

impl Wanted {
    /// What the key at `path` takes.
    pub fn at(path: &[String]) -> Self {
        let top = Self(flat(schema()));
        match path {
            // `[adjust.NAME]` has the keys of sections and, by their names, of methods.
            [adjust, _, rest @ ..] if adjust == "adjust" => match rest {
                [name, rest @ ..] if methods().any(|(method, _)| method == name) => {
                    let of = methods().filter(|(method, _)| method == name);
                    Self(of.flat_map(|(_, table)| flat(table)).collect()).below(rest)
                }
                rest => Self::at(rest),
            },
            [models, rest @ ..] if models == OTHER_MODELS => top.below(&["model".to_string()]).below(rest),
            path => top.below(path),
        }
    }

    fn below(self, path: &[String]) -> Self {
        path.iter().fold(self, |wanted, key| {
            let own = wanted.property(key);
            match own.0.is_empty() && key.parse::<usize>().is_ok() {
                true => wanted.items(),
                false => own,
            }
        })
    }

    fn property(&self, key: &str) -> Self {
        Self(
            self.0
                .iter()
                .flat_map(|form| flat(&form["properties"][key]))
                .collect(),
        )
    }

    fn items(&self) -> Self {
        Self(self.0.iter().flat_map(|form| flat(&form["items"])).collect())
    }

    fn takes(&self, names: &[&str]) -> bool {
        self.0.iter().any(|form| match &form["type"] {
            Json::Array(types) => types.iter().any(|name| names.iter().any(|wanted| name == wanted)),
            name => names.iter().any(|wanted| name == wanted),
        })
    }

    fn takes_text(&self) -> bool {
        let named = |form: &&Json| form["const"].is_string() || form["enum"][0].is_string();
        self.takes(&["string"]) || self.0.iter().any(named)
    }

    /// Whether a number, a date, `true` and `false` can only be meant as text.
    fn only_text(&self) -> bool {
        self.takes_text() && !self.takes(&["integer", "number", "boolean"])
    }

    /// The value that `text` is: in quotes always text; otherwise by what is wanted.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        let parsed = self.parse(text)?;
        let is_list = self.takes(&["array"]);
        if self.only_text() && !is_list {
            return Ok(match &parsed {
                Some(value @ Toml::String(_)) => self.value(value),
                Some(value @ Toml::InlineTable(_)) if self.takes(&["object"]) => self.value(value),
                _ => Value::from(text),
            });
        }
        let value = match parsed {
            Some(value) => self.value(&value),
            None if text.contains(',') => self.separated(text)?,
            None => Value::from(text),
        };
        // One text where only a list of texts is wanted.
        let lone = is_list && !self.takes_text() && !self.takes(&["object"]) && self.items().only_text();
        Ok(match value {
            value @ Value::Array(..) => value,
            Value::String(..) if lone => list(vec![value]),
            _ if lone => list(vec![Value::from(text)]),
            value => value,
        })
    }

    /// The TOML value, if it is one.
    fn parse(&self, text: &str) -> Result<Option<Toml>, String> {
        match text.parse() {
            Err(error) if is_overflow(&error) && !self.only_text() => Err(TOO_LARGE.to_string()),
            parsed => Ok(parsed.ok()),
        }
    }

    /// A list without its brackets, or without quotes in it.
    fn separated(&self, text: &str) -> Result<Value, String> {
        if let Some(value) = self.parse(&format!("[{text}]"))? {
            return Ok(self.value(&value));
        }
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let items = self.items();
        let each = |item: &str| match items.parse(item.trim())? {
            Some(value) => Ok(items.value(&value)),
            None => Ok(Value::from(item.trim())),
        };
        let items: Result<_, String> = inner.unwrap_or(text).split(',').map(each).collect();
        Ok(list(items?))
    }

    fn value(&self, value: &Toml) -> Value {
        match value {
            Toml::String(text) => Value::from(text.value().as_str()),
            Toml::Integer(number) => self.scalar(&number.display_repr(), Value::from(*number.value())),
            Toml::Float(number) => self.scalar(&number.display_repr(), Value::from(*number.value())),
            Toml::Boolean(value) => self.scalar(&value.display_repr(), Value::from(*value.value())),
            // Nothing takes a date.
            Toml::Datetime(date) => Value::from(date.value().to_string()),
            Toml::Array(values) => {
                let items = self.items();
                list(values.iter().map(|value| items.value(value)).collect())
            }
            Toml::InlineTable(table) => {
                let own = |(key, value): (&str, &Toml)| (key.to_string(), self.property(key).value(value));
                Value::from(table.iter().map(own).collect::<Dict>())
            }
        }
    }

    fn scalar(&self, given: &str, value: Value) -> Value {
        match self.only_text() {
            true => Value::from(given),
            false => value,
        }
    }
}

fn is_overflow(error: &toml_edit::TomlError) -> bool {
    error.message().contains("integer number overflow")
}

/// The forms that a schema allows, each by itself.
fn flat(form: &'static Json) -> Vec<&'static Json> {
    if form.is_null() {
        return Vec::new();
    }
    if let Some(name) = form["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
        return schema().pointer(name).map_or_else(Vec::new, flat);
    }
    let mut forms = vec![form];
    for key in ["anyOf", "oneOf"] {
        forms.extend(form[key].as_array().into_iter().flatten().flat_map(flat));
    }
    forms
}
