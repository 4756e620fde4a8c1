//! The manifest's JSON Schema and reference page, both generated from the types.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::groups::GroupSettings;
use super::settings::{
    BaseSettings, DatasetSettings, FusionSetSettings, ModelSetSettings, ReportSettings, ResourceSettings,
    SplitSettings,
};
use crate::arch::{ARCHITECTURES, Mlp, ResNet, Sequential, SmallVit, Vgg, Vit};
use crate::fusion::{
    Arity, Ensemble, GitRebasin, HfLinear, KfGradient, KfLinear, LogitKd, METHODS, OtFusion, VanillaAveraging,
};

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
            for (key, property) in which_models()["properties"].as_object().into_iter().flatten() {
                schema["properties"][key] = property.clone();
            }
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
            "model-set": with_axes(plain::<ModelSetSettings>()),
            "model": { "anyOf": models },
            "base": with_axes(plain::<BaseSettings>()),
            "fusion-set": with_axes(plain::<FusionSetSettings>()),
            "fusion": { "type": "array", "description": "Fusion methods, in the order of the table's rows.", "items": { "anyOf": methods } },
            "include": selector("Combinations to add, by key and value."),
            "exclude": selector("Combinations to drop, by key and value; a list means any of its values."),
            "resources": plain::<ResourceSettings>(),
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
fn which_models() -> Value {
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

/// All keys at the top, in the order of the page.
pub(super) const TOP_KEYS: [&str; 16] = [
    "name",
    "description",
    "extends",
    "seeds",
    "method-seeds",
    "dataset",
    "split",
    "model-set",
    "model",
    "base",
    "fusion-set",
    "fusion",
    "include",
    "exclude",
    "resources",
    "report",
];

const INTRODUCTION: &str = "\
# Manifest reference

Generated by `runner schema --markdown` from the types in `src/`; do not edit.

A manifest is a TOML file, one experiment each. In `[dataset]`, `[split]`, `[model]`, `[base]`, `[fusion-set]` and
`[[fusion]]`, a list in place of a single value is an axis: everything runs once per entry, and several axes
multiply (`[split]` with `parts = [2, 4]` runs everything for 2 and for 4 models). A key that takes a list anyway
becomes an axis by a list of lists: `hidden = [[64], [64, 32]]`.

Later layers win: defaults, the file named by `extends`, the manifest, environment variables
(`RUNNER_BASE__BATCH_SIZE=64` sets `base.batch-size`: `__` for `.`, `_` for `-`), `--set KEY=VALUE`, trailing
`KEY=VALUE` (`split.parts=2,4` for a list).
";

const SELECTORS: &str = "
## `[[include]]`, `[[exclude]]`

`[[exclude]]` drops the combinations for which all its keys hold, `[[include]]` adds single ones. Keys are `seed`,
`method`, parameters of methods and the keys of `[dataset]`, `[split]`, `[model]`, `[base]` and `[fusion-set]`, by
their own name or with that of the section (`base.epochs`); a list means any of its values.

```toml
[[exclude]]
parts = [4, 8]
method = \"hf-linear\"
```
";

const GROUPS: &str = "
## `[[fusion]]`: which models

Every method takes these keys. Without them it fuses all models.

```toml
[split]
kind = \"full\"

[model-set]
seeds = [1, 2, 3, 4, 5, 6, 7, 8]

[[fusion]]
method = \"hf-linear\"
groups = { size = 2, sample = 30, seed = 0 }

[[fusion]]
method = \"kf-gradient\"
first = [2, 4, 8]
```

Groups are all combinations of `size` models, or `sample` of them drawn by `seed`; the draw depends on the number of
models, `size` and `seed`, so all methods get the same groups. Each group is a job of its own whose name holds the
models' numbers (`g0-3`), and tables show the mean over the groups, as they do over `seeds`. A method for pairs takes
any number of models with `size = 2`. What a fusion of groups is to be compared with comes along: the average and the
ensemble of each group are jobs too, unless `with` says otherwise. A job is known by the models it fuses: a group of
all models is the same job as the fusion of all models, and is computed once.

Within groups, too, `base.order` decides which model is the first, the one that others are aligned to. `first` and
`groups.size` are keys of `[[include]]` and `[[exclude]]` as well.

";

const LAYERS: &str = r#"
### `[[model.layers]]`

The layers in the order of application. A small residual network:

```toml
[model]
architecture = "sequential"
layers = [
    { kind = "conv", out = 16, kernel = 3, padding = 1, bias = false },
    { kind = "batch-norm" },
    { kind = "relu" },
    { kind = "residual", body = [
        { kind = "conv", out = 32, kernel = 3, stride = 2, padding = 1 },
        { kind = "relu" },
        { kind = "conv", out = 32, kernel = 3, padding = 1 },
    ], shortcut = [{ kind = "conv", out = 32, kernel = 1, stride = 2, bias = false }] },
    { kind = "relu" },
    { kind = "global-avg-pool" },
    { kind = "flatten" },
    { kind = "linear" }, # the last layer: as wide as there are classes
]
```

A list of such lists is an axis. Imported state dicts are those of PyTorch's `nn.Sequential` of the same list, or have
the names that `name` gives (`3.weight`; `name = "conv1"` makes it `conv1.weight`). One with other names is taken in its
order, if as many tensors have the same shapes, one by one. `hf-linear`, `kf-linear`, `otfusion` and `git-rebasin` follow
neurons through all layers but `layer-norm` and those of transformers, and through residual blocks, unless one adds the
image itself or ends the network; the other methods take any network.

"#;

const TABLE_HEAD: &str = "| key | type | default | meaning |\n| --- | --- | --- | --- |\n";

/// The reference page: a table per section.
pub fn markdown(schema: &Value) -> String {
    let mut page = format!("{INTRODUCTION}\n## Top level\n\n{TABLE_HEAD}");
    let none = Map::new();
    let top = schema["properties"].as_object().unwrap_or(&none);
    for key in TOP_KEYS {
        if top.get(key).is_some_and(|section| {
            section["properties"].is_null() && section["anyOf"][0]["properties"].is_null()
        }) {
            page.push_str(&row(key, &top[key], is_required(schema, key)));
        }
    }
    for key in TOP_KEYS {
        let Some(section) = top.get(key) else { continue };
        match key {
            "fusion" => page.push_str(&methods()),
            "include" => page.push_str(SELECTORS),
            _ => {}
        }
        let kinds = section["items"]["anyOf"].as_array();
        let kinds = kinds.or(section["anyOf"].as_array());
        let tables: Vec<&Value> = match kinds.filter(|kinds| kinds[0]["properties"].is_object()) {
            Some(kinds) => kinds.iter().collect(),
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
            page.push_str(&self::section(&header, table));
            let layers = &table["properties"]["layers"]["anyOf"][0]["items"];
            if !layers.is_null() {
                page.push_str(LAYERS);
                page.push_str(TABLE_HEAD);
                page.push_str(&rows("", layers));
            }
        }
        if key == "fusion" {
            page.push_str(GROUPS);
            page.push_str(TABLE_HEAD);
            page.push_str(&rows("", &with_axes(which_models())));
        }
    }
    page
}

/// The names a setting takes, such as `["split", "kind"]`; empty where it takes no names.
pub(super) fn choices_of_setting(path: &[String]) -> Vec<String> {
    let schema = json_schema();
    if path == ["model", "architecture"] {
        return ARCHITECTURES.iter().map(|info| info.name.to_string()).collect();
    }
    names(
        path.iter()
            .fold(&schema, |schema, key| &schema["properties"][key.as_str()]),
    )
}

/// The names a parameter of any fusion method takes; empty where it takes no names.
pub(super) fn choices_of_parameter(name: &str) -> Vec<String> {
    let schema = json_schema();
    let methods = schema["properties"]["fusion"]["items"]["anyOf"].as_array();
    let mut found: Vec<String> = Vec::new();
    for method in methods.into_iter().flatten() {
        found.extend(names(&method["properties"][name]));
    }
    found
}

fn names(property: &Value) -> Vec<String> {
    let single = property["anyOf"].get(0).unwrap_or(property);
    let consts = single["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|variant| &variant["const"]);
    let listed = single["enum"].as_array().into_iter().flatten();
    consts
        .chain(listed)
        .filter_map(|name| name.as_str().map(String::from))
        .collect()
}

/// What the reference page says about one method; `None` for an unknown name.
pub fn method_markdown(name: &str) -> Option<String> {
    let schema = json_schema();
    let methods = schema["properties"]["fusion"]["items"]["anyOf"].as_array()?;
    let table = methods
        .iter()
        .find(|table| table["properties"]["method"]["const"] == name)?;
    Some(section("[[fusion]]", table).trim_start().to_string())
}

/// One heading, what it is about, and its keys.
fn section(header: &str, table: &Value) -> String {
    let mut text = format!("\n## `{header}`");
    if let Some((tag, values)) = tag_of(table) {
        let values: Vec<String> = values
            .iter()
            .map(|value| format!("`{tag} = \"{value}\"`"))
            .collect();
        let _ = write!(text, ": {}\n\n", values.join(", "));
        if let Some(about) = table["properties"][tag]["description"].as_str() {
            let _ = write!(text, "{}\n\n", sentence(about));
        }
    } else {
        text.push_str("\n\n");
        if let Some(about) = table["description"].as_str() {
            let _ = write!(text, "{}\n\n", about.replace('\n', " "));
        }
    }
    text + TABLE_HEAD + &rows("", table)
}

/// The key that tells which table this is, and its value there.
fn tag_of(table: &Value) -> Option<(&'static str, Vec<&str>)> {
    let properties = &table["properties"];
    if let Some(method) = properties["method"]["const"].as_str() {
        return Some(("method", vec![method]));
    }
    let names = properties["architecture"]["anyOf"][0]["enum"].as_array()?;
    Some(("architecture", names.iter().filter_map(Value::as_str).collect()))
}

/// Every method in one line; the README shows the same table.
fn methods() -> String {
    let mut text = String::from(
        "\n## Fusion methods\n\n| method | models | what it does | from |\n| --- | --- | --- | --- |\n",
    );
    for info in METHODS {
        let arity = if info.arity == Arity::Pair {
            "2"
        } else {
            "any number"
        };
        let _ = writeln!(
            text,
            "| `{}` | {arity} | {} | {} |",
            info.name,
            escape(info.summary),
            escape(info.paper)
        );
    }
    text
}

/// The keys of a table: those it must have, then the others by name. Its tag is in the heading.
fn rows(prefix: &str, table: &Value) -> String {
    let mut properties: Vec<(&String, &Value)> =
        table["properties"].as_object().into_iter().flatten().collect();
    properties.sort_by_key(|(key, _)| !is_required(table, key));
    let mut text = String::new();
    for (key, property) in properties {
        let name = format!("{prefix}{key}");
        // The same for all methods: they have a section of their own.
        if tag_of(table).is_some() && which_models()["properties"].get(key).is_some() {
            continue;
        }
        if property.get("properties").is_some() {
            text.push_str(&rows(&format!("{name}."), property));
        } else if property.get("const").is_none() && !(tag_of(table).is_some() && key == "architecture") {
            text.push_str(&row(&name, property, is_required(table, key)));
        }
    }
    if text.is_empty() {
        "| | | | no keys |\n".to_string()
    } else {
        text
    }
}

fn is_required(table: &Value, key: &str) -> bool {
    table["required"]
        .as_array()
        .is_some_and(|required| required.iter().any(|name| name == key))
}

fn row(name: &str, property: &Value, required: bool) -> String {
    let single = property["anyOf"].get(0).unwrap_or(property);
    let default = match property.get("default") {
        _ if required => "required".to_string(),
        None | Some(Value::Null) => String::new(),
        Some(value) => format!("`{value}`"),
    };
    let meaning = property["description"].as_str().unwrap_or("");
    // A key that explains one of its values in its own words has said enough.
    let explained = |name: &str| meaning.contains(&format!("`{name}`:"));
    let meaning = format!("{}{}", escape(meaning), choices(single, explained));
    format!("| `{name}` | {} | {default} | {meaning} |\n", type_name(single))
}

/// What each of the values means, where the types say so and none of them is explained already.
fn choices(schema: &Value, explained: impl Fn(&str) -> bool) -> String {
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    let described: Vec<(&str, &str)> = variants
        .filter_map(|variant| Some((variant["const"].as_str()?, variant["description"].as_str()?)))
        .collect();
    if described.iter().any(|(name, _)| explained(name)) {
        return String::new();
    }
    described.iter().fold(String::new(), |text, (name, about)| {
        let about = escape(about);
        format!("{text}<br>`{name}`: {}.", about.trim_end_matches('.'))
    })
}

/// Text for a cell of a table.
fn escape(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

/// Begins with a capital and ends with a full stop.
fn sentence(text: &str) -> String {
    let text = text.replace('\n', " ");
    let mut characters = text.chars();
    let first = characters
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}.", characters.as_str().trim_end_matches('.'))
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
        // The one type that contains itself: layers within layers.
        Some("array") if schema["items"].get("$ref").is_some() => "list of such tables".to_string(),
        Some("array")
            if schema["items"]["type"] == "object" || schema["items"]["anyOf"][0]["type"] == "object" =>
        {
            "tables, see below".to_string()
        }
        Some("array") => format!("list of {}", type_name(&schema["items"])),
        Some(name) => format!("{name}{bounds}"),
        None => String::new(),
    }
}
