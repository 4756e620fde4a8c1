//! The identity of a job: blake3 of canonical JSON.
//!
//! In the key: what the job does, all resolved settings that can change its numbers, the seeds, the content of its
//! inputs (file hashes, and keys of the jobs it depends on), dtype, the kind of the device, and the version number of
//! its arithmetic. Not in the key: the manifest's text, names and labels, paths, folders, the number of workers,
//! which of several equal devices, time limits. The settings are kept in the record, so that "why does this run
//! again" is a difference of two JSON values.

use serde_json::{Value, json};

use crate::result::{Input, Kind, canonical_json};

/// Everything a key is made of.
#[derive(Debug)]
pub struct Identity<'a> {
    /// What the job does.
    pub kind: Kind,
    /// Version of its arithmetic.
    pub version: u32,
    /// Its settings, as canonical JSON.
    pub settings: &'a str,
    /// Seed of the base models.
    pub seed: u64,
    /// Seed of the method.
    pub method_seed: Option<u64>,
    /// Index of the base model.
    pub model: Option<usize>,
    /// Its inputs.
    pub inputs: &'a [Input],
    /// `cpu` or `cuda`.
    pub device: &'a str,
}

/// The key: 64 hex digits.
pub fn key(identity: &Identity) -> String {
    let rest = |value: Value| canonical_json(&value);
    // Canonical JSON of all of it: the settings are in the middle, and the same for many jobs.
    let before = rest(json!({
        "device": identity.device,
        "dtype": "f32",
        "inputs": identity.inputs,
        "kind": identity.kind,
        "method-seed": identity.method_seed,
        "model": identity.model,
        "seed": identity.seed,
    }));
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.trim_end_matches('}').as_bytes());
    hasher.update(b",\"settings\":");
    hasher.update(identity.settings.as_bytes());
    hasher.update(format!(",\"version\":{}}}", identity.version).as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// Paths at which two settings differ, as `path: old -> new`.
pub fn differences(old: &Value, new: &Value) -> Vec<String> {
    fn walk(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
        match (old, new) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    let part = |map: &serde_json::Map<_, _>| map.get(key).cloned().unwrap_or(Value::Null);
                    walk(&path, &part(a), &part(b), found);
                }
            }
            (a, b) if a != b => found.push(format!("{path}: {a} -> {b}")),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk("", old, new, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_the_path_and_both_values() {
        let old = json!({"base": {"epochs": 3, "lr": 0.1}, "seed": 1});
        let new = json!({"base": {"epochs": 5, "lr": 0.1}, "seed": 1, "compat": "reference"});
        assert_eq!(
            differences(&old, &new),
            ["base.epochs: 3 -> 5", "compat: null -> \"reference\""]
        );
    }
}
