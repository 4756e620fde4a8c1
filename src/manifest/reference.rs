//! The manifest's JSON Schema and reference page, both generated from the types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::settings::{
    BaseSettings, DatasetSettings, FusionSetSettings, ReportSettings, ResourceSettings, SplitSettings,
};
use crate::arch::Mlp;
use crate::fusion::{
    Ensemble, GitRebasin, HfLinear, KfGradient, KfLinear, LogitKd, METHODS, OtFusion, VanillaAveraging,
};

/// The JSON Schema of manifests.
pub fn json_schema() -> Value {
    let mlp = tagged::<Mlp>("architecture", "mlp", "Fully connected network with ReLU.");
    let methods: Vec<Value> = METHODS
        .iter()
        .filter_map(|info| {
            let mut schema = match info.name {
                "vanilla-averaging" => tagged::<VanillaAveraging>("method", info.name, info.summary),
                "ensemble" => tagged::<Ensemble>("method", info.name, info.summary),
                "logit-kd" => tagged::<LogitKd>("method", info.name, info.summary),
                "otfusion" => tagged::<OtFusion>("method", info.name, info.summary),
                "git-rebasin" => tagged::<GitRebasin>("method", info.name, info.summary),
                "hf-linear" => tagged::<HfLinear>("method", info.name, info.summary),
                "kf-linear" => tagged::<KfLinear>("method", info.name, info.summary),
                "kf-gradient" => tagged::<KfGradient>("method", info.name, info.summary),
                _ => return None,
            };
            schema["properties"]["label"] =
                json!({ "type": "string", "description": "Row label in tables." });
            Some(with_axes(schema))
        })
        .collect();
    let selector = |what: &str| json!({ "type": "array", "description": what, "items": { "type": "object", "minProperties": 1 } });
    let seeds = |what: &str| json!({ "description": what, "type": "array", "minItems": 1, "uniqueItems": true, "items": { "type": "integer", "minimum": 0 } });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "runner manifest",
        "description": "One experiment. Every list in place of a single value is an axis and multiplies the jobs.",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "dataset"],
        "properties": {
            "name": { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$", "description": "Name of the experiment; results are written to `results/<name>/`." },
            "description": { "type": "string", "description": "For readers; nothing depends on it." },
            "extends": { "type": "string", "description": "Another manifest, relative to this one, whose keys hold where this one has none. Lists are replaced as a whole." },
            "seeds": seeds("Seeds of the base models: split, initialisation, batches, fusion set. Default: `[1]`."),
            "method-seeds": seeds("Seeds of the fusion's own randomness. Default: `[0]`."),
            "dataset": with_axes(plain::<DatasetSettings>()),
            "split": with_axes(plain::<SplitSettings>()),
            "model": with_axes(mlp),
            "base": with_axes(plain::<BaseSettings>()),
            "fusion-set": with_axes(plain::<FusionSetSettings>()),
            "fusion": { "type": "array", "description": "Fusion methods, in the order of the table's rows.", "items": { "anyOf": methods } },
            "include": selector("Combinations to add, by key and value."),
            "exclude": selector("Combinations to drop, by key and value; a list means any of its values."),
            "resources": plain::<ResourceSettings>(),
            "report": { "type": "array", "description": "Tables to render.", "items": plain::<ReportSettings>() },
        }
    })
}

fn plain<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    schema.to_value()
}

/// A section whose kind is told by one of its keys.
fn tagged<T: JsonSchema>(key: &str, value: &str, description: &str) -> Value {
    let mut schema = plain::<T>();
    if schema["properties"].is_null() {
        schema["properties"] = json!({});
    }
    schema["properties"][key] = json!({ "const": value, "description": description });
    schema["required"] = json!([key]);
    schema
}

/// Lets every single value be a list of such values.
fn with_axes(mut schema: Value) -> Value {
    if let Some(properties) = schema["properties"].as_object_mut() {
        for property in properties.values_mut() {
            if property.get("const").is_some() {
                continue;
            }
            if property.get("properties").is_some() {
                *property = with_axes(property.take());
                continue;
            }
            let mut single = property.take();
            let mut outer = Map::new();
            for key in ["description", "default"] {
                if let Some(value) = single.as_object_mut().and_then(|fields| fields.remove(key)) {
                    outer.insert(key.to_string(), value);
                }
            }
            let many = json!({ "type": "array", "minItems": 1, "items": single.clone() });
            outer.insert("anyOf".to_string(), json!([single, many]));
            *property = Value::Object(outer);
        }
    }
    schema
}

/// The reference page: a table per section.
pub fn markdown(schema: &Value) -> String {
    let mut page = String::from(
        "# Manifest reference\n\nGenerated by `runner schema --markdown` from the types in `src/`; do not edit.\n\n\
         A manifest is a TOML file, one experiment each. Every list in place of a single value is an axis and\n\
         multiplies the jobs (`[split]` with `parts = [2, 4]` runs everything for 2 and for 4 models). Later layers win:\n\
         the file named by `extends`, the manifest, `RUNNER_*` environment variables (`RUNNER_BASE__BATCH_SIZE=64` sets\n\
         `base.batch-size`), `--set KEY=VALUE`, trailing `KEY=VALUE`.\n",
    );
    let none = Map::new();
    let top = schema["properties"].as_object().unwrap_or(&none);
    let order = [
        "name",
        "description",
        "extends",
        "seeds",
        "method-seeds",
        "dataset",
        "split",
        "model",
        "base",
        "fusion-set",
        "fusion",
        "include",
        "exclude",
        "resources",
        "report",
    ];
    page.push_str("\n## Top level\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n");
    for key in order {
        if top
            .get(key)
            .is_some_and(|section| section["properties"].is_null())
        {
            page.push_str(&row(key, &top[key]));
        }
    }
    for key in order {
        let Some(section) = top.get(key) else { continue };
        let tables: Vec<&Value> = match section["items"]["anyOf"].as_array() {
            Some(methods) => methods.iter().collect(),
            None if !section["properties"].is_null() => vec![section],
            None if !section["items"]["properties"].is_null() => vec![&section["items"]],
            None => continue,
        };
        let header = if section["type"] == "array" {
            format!("[[{key}]]")
        } else {
            format!("[{key}]")
        };
        for table in tables {
            let tag = ["method", "architecture"].into_iter().find_map(|tag| {
                let value = &table["properties"][tag]["const"];
                value.as_str().map(|value| format!(" `{tag} = \"{value}\"`"))
            });
            page.push_str(&format!("\n## `{header}`{}\n\n", tag.unwrap_or_default()));
            if let Some(text) = table["description"].as_str() {
                page.push_str(&format!("{}\n\n", text.replace('\n', " ")));
            }
            page.push_str("| key | type | default | meaning |\n| --- | --- | --- | --- |\n");
            page.push_str(&rows("", table));
        }
    }
    page
}

fn rows(prefix: &str, table: &Value) -> String {
    let mut text = String::new();
    for (key, property) in table["properties"].as_object().into_iter().flatten() {
        let name = format!("{prefix}{key}");
        if property.get("properties").is_some() {
            text.push_str(&rows(&format!("{name}."), property));
        } else {
            text.push_str(&row(&name, property));
        }
    }
    text
}

fn row(name: &str, property: &Value) -> String {
    let single = property["anyOf"].get(0).unwrap_or(property);
    let default = match property.get("default") {
        None | Some(Value::Null) => String::new(),
        Some(value) => format!("`{value}`"),
    };
    let meaning = property["description"].as_str().unwrap_or("").replace('\n', " ");
    format!("| `{name}` | {} | {default} | {meaning} |\n", type_name(single))
}

fn type_name(schema: &Value) -> String {
    if let Some(value) = schema["const"].as_str() {
        return format!("`\"{value}\"`");
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(variants) = schema[key].as_array() {
            let names: Vec<String> = variants
                .iter()
                .map(type_name)
                .filter(|name| name != "null")
                .collect();
            return names.join(", ");
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let name = match &schema["type"] {
        Value::Array(types) => types
            .iter()
            .find(|t| *t != "null")
            .cloned()
            .unwrap_or(Value::Null),
        other => other.clone(),
    };
    let bounds = match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(min), Some(max)) => format!(", {min} to {max}"),
        (Some(min), None) => format!(", at least {min}"),
        _ => String::new(),
    };
    match name.as_str() {
        Some("array") => format!("list of {}", type_name(&schema["items"])),
        Some(name) => format!("{name}{bounds}"),
        None => String::new(),
    }
}
