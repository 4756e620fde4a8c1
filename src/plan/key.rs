//! The identity of a job: blake3 of canonical JSON.
//!
//! In the key: what the job does, all resolved settings that can change its numbers, the seeds, the content of its
//! inputs (file hashes, and keys of the jobs it depends on), dtype, the kind of the device, and the version numbers of
//! its own arithmetic and of what it shares with others: importance scores, k-means, metrics (left out while they are 1,
//! so that the first versions have the keys that they had before there were any). Not in the key: the manifest's text, names and labels, paths, folders, the number of workers,
//! which of several equal devices, time limits. The settings are kept in the record, so that "why does this run
//! again" is a difference of two JSON values.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::result::{Input, Kind, canonical_json};

/// Everything a key is made of.
#[derive(Debug)]
pub struct Identity<'a> {
    /// What the job does.
    pub kind: Kind,
    /// Version of its arithmetic.
    pub version: u32,
    /// Versions of arithmetic that it shares with other tasks, by name; only those above 1.
    pub shared_versions: &'a BTreeMap<&'static str, u32>,
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
    hasher.update(format!(",\"version\":{}", identity.version).as_bytes());
    if !identity.shared_versions.is_empty() {
        let shared = json!(identity.shared_versions);
        hasher.update(format!(",\"versions\":{}", canonical_json(&shared)).as_bytes());
    }
    hasher.update(b"}");
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
    fn versions_of_shared_arithmetic_move_keys_only_above_1() {
        let key_of = |versions: &[(&'static str, u32)]| {
            key(&Identity {
                kind: Kind::Fuse,
                version: 2,
                shared_versions: &versions.iter().copied().collect(),
                settings: "{}",
                seed: 1,
                method_seed: Some(0),
                model: None,
                inputs: &[],
                device: "cpu",
            })
        };
        let whole = json!({
            "device": "cpu", "dtype": "f32", "inputs": [], "kind": "fuse", "method-seed": 0, "model": null, "seed": 1,
            "settings": {}, "version": 2,
        });
        let hash = |value: &Value| {
            blake3::hash(canonical_json(value).as_bytes())
                .to_hex()
                .to_string()
        };
        assert_eq!(key_of(&[]), hash(&whole), "as before there were any");
        let mut raised = whole.clone();
        raised["versions"] = json!({ "conductance": 2, "k-means": 3 });
        assert_eq!(key_of(&[("k-means", 3), ("conductance", 2)]), hash(&raised));
    }

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
