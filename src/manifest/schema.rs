//! The manifest's JSON Schema, generated from the types.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::finetune::{FinetuneSettings, LISTS};
use super::groups::GroupSettings;
use super::resources::{NotifySettings, ResourceSettings};
use super::settings::{
    BaseSettings, DatasetSettings, FusionSetSettings, ModelSetSettings, ReportSettings, SplitSettings,
};
use super::slurm::SlurmSettings;
use crate::arch::{ARCHITECTURES, Mlp, ResNet, Sequential, SmallVit, Vgg, Vit};
use crate::fusion::{METHODS, Method};

static SCHEMA: LazyLock<Value> = LazyLock::new(json_schema);

/// The JSON Schema of manifests, made once.
pub(super) fn schema() -> &'static Value {
    &SCHEMA
}

/// The fusion methods' names and schemas.
pub(super) fn methods() -> impl Iterator<Item = (&'static str, &'static Value)> {
    let tables = schema()["properties"]["fusion"]["items"]["anyOf"].as_array();
    let named = |table: &'static Value| Some((table["properties"]["method"]["const"].as_str()?, table));
    tables.into_iter().flatten().filter_map(named)
}

/// The JSON Schema of manifests.
pub fn json_schema() -> Value {
    let models = [
        family::<Mlp>("mlp", "Fully connected network with ReLU. The default."),
        family::<Vgg>("vgg", "VGG for small images."),
        family::<ResNet>("resnet", "ResNet for small images."),
        family::<Vit>("vit", "Vision transformer, pre-norm blocks."),
        family::<SmallVit>(
            "small-vit",
            "Vision transformer of PyTorch's encoder layers, post-norm; attention weights are not dropped in training.",
        ),
        family::<Sequential>(
            "sequential",
            "A network of your own: a list of layers, see below.",
        ),
    ];
    let (models, definitions) = with_definitions(models);
    let methods: Vec<Value> = METHODS
        .iter()
        .filter_map(|info| {
            let schema = Method::schema(info.name, settings())?;
            let mut schema = tagged(schema, "method", info.name, info.summary);
            schema["properties"]["label"] =
                json!({ "type": "string", "description": "Row label in tables." });
            for (key, property) in which_models()["properties"].as_object().into_iter().flatten() {
                schema["properties"][key] = property.clone();
            }
            Some(with_axes(schema))
        })
        .collect();
    let selector = |what: &str| json!({ "type": "array", "description": what, "items": { "type": "object", "minProperties": 1 } });
    let one_or_more = |what: &str| json!({ "description": what, "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] });
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
            "extends": one_or_more("Another manifest, relative to this one, whose keys hold where this one has none; of a list of manifests, the last one wins. Lists are replaced as a whole."),
            "unset": one_or_more("Keys of the extended manifests to take away, such as `[\"base.optimizer\", \"exclude\"]`; those of this manifest are set afterwards."),
            "seeds": seeds("Seeds of the base models: split, initialisation, batches, fusion set. Default: `[1]`."),
            "method-seeds": seeds("Seeds of the fusion's own randomness; a method without any runs once. Default: `[0]`."),
            "dataset": with_axes(plain::<DatasetSettings>()),
            "split": with_axes(plain::<SplitSettings>()),
            "model-set": with_axes(plain::<ModelSetSettings>()),
            "model": { "anyOf": models },
            "other-models": { "type": "object", "description": "Keys of `[model]` in which all models but the first differ from it, such as `hidden = [64]`." },
            "base": with_axes(plain::<BaseSettings>()),
            "fusion-set": with_axes(plain::<FusionSetSettings>()),
            "finetune": with_axes(one_or_many(plain::<FinetuneSettings>())),
            "fusion": { "type": "array", "description": "Fusion methods, in the order of the table's rows.", "items": { "anyOf": methods } },
            "adjust": { "type": "object", "description": "Values that depend on others, in tables with names of your own, see below.", "additionalProperties": { "type": "object", "minProperties": 1 } },
            "include": selector("Combinations to add, by key and value."),
            "exclude": selector("Combinations to drop, by key and value; a list means any of its values."),
            "resources": plain::<ResourceSettings>(),
            "slurm": plain::<SlurmSettings>(),
            "notify": plain::<NotifySettings>(),
            "report": { "type": "array", "description": "Tables to render.", "items": plain::<ReportSettings>() },
        },
        "$defs": definitions,
    })
}

/// The schemas without their own definitions, and all of these: references begin at the root of the whole.
fn with_definitions<const N: usize>(mut schemas: [Value; N]) -> ([Value; N], Map<String, Value>) {
    let mut all = Map::new();
    for schema in &mut schemas {
        let own = schema.as_object_mut().and_then(|fields| fields.remove("$defs"));
        if let Some(Value::Object(own)) = own {
            all.extend(own);
        }
    }
    (schemas, all)
}

/// The keys of every fusion that say which models it takes.
pub(super) fn which_models() -> Value {
    let mut groups = plain::<GroupSettings>();
    groups["description"] = json!("Fuse groups of the models, each by itself, instead of all of them.");
    json!({ "properties": {
        "first": {
            "type": "integer",
            "minimum": 2,
            "description": "Fuse the first models only, as many as this, in the order of `base.order`.",
        },
        "groups": groups,
    } })
}

/// Lets the lists of `[finetune]` be one value.
fn one_or_many(mut schema: Value) -> Value {
    for key in LISTS {
        let property = &mut schema["properties"][key];
        let item = property["items"].take();
        let many = json!({ "type": "array", "minItems": 1, "items": item.clone() });
        *property = json!({
            "description": property["description"],
            "default": property["default"],
            "anyOf": [item, many],
        });
    }
    schema
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    })
}

fn plain<T: JsonSchema>() -> Value {
    let schema: Schema = settings().into_generator().into_root_schema_for::<T>();
    schema.to_value()
}

/// A section whose kind is told by one of its keys.
fn tagged(schema: Schema, key: &str, value: &str, description: &str) -> Value {
    let mut schema = schema.to_value();
    if schema["properties"].is_null() {
        schema["properties"] = json!({});
    }
    schema["properties"][key] = json!({ "const": value, "description": description });
    schema["required"] = json!([key]);
    schema
}

/// The settings of all architectures whose names begin with `family`.
fn family<T: JsonSchema>(family: &str, description: &str) -> Value {
    let mut schema = with_axes(plain::<T>());
    let names: Vec<&str> = ARCHITECTURES
        .iter()
        .map(|info| info.name)
        .filter(|name| name.starts_with(family))
        .collect();
    let single = json!({ "enum": names });
    let many = json!({ "type": "array", "minItems": 1, "items": single.clone() });
    schema["properties"]["architecture"] = json!({ "description": description, "anyOf": [single, many] });
    if family != "mlp" {
        let own = schema["required"].as_array().into_iter().flatten().cloned();
        schema["required"] = std::iter::once(Value::from("architecture")).chain(own).collect();
    }
    schema
}

/// Lets every single value be a list of such values.
pub(super) fn with_axes(mut schema: Value) -> Value {
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
