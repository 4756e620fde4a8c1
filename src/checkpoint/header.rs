//! The header of safetensors files: JSON, of which order and repetitions matter, which no map type keeps.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Dtype;
use super::torch::{Limits, MAX_DIMENSIONS, MAX_NAME};

/// One tensor: `bytes` from the end of the header on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: (u64, u64),
}

/// What a header says, in its order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tensors: Vec<Place>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// What is wrong, with which entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) entry: String,
    pub(super) problem: String,
}

impl Header {
    /// Reads and checks: the tensors' bytes are those of their shapes, and fill `data` bytes without gap or overlap.
    pub(super) fn parse(json: &[u8], data: u64, limits: &Limits) -> Result<Self, Fault> {
        let fault = |entry: &str, problem: String| Fault {
            entry: entry.to_owned(),
            problem,
        };
        let mut reader = serde_json::Deserializer::from_slice(json);
        let entries = reader.deserialize_map(EntriesVisitor(limits.tensors));
        let entries = entries.and_then(|entries| reader.end().map(|()| entries));
        let entries = entries.map_err(|e| fault("header", e.to_string()))?;
        let mut tensors = Vec::with_capacity(entries.tensors.len());
        for (name, entry) in entries.tensors {
            let shown: String = name.chars().take(100).collect();
            let place = entry.place(name);
            tensors.push(place.map_err(|problem| fault(&format!("tensor `{shown}`"), problem))?);
        }
        let mut order: Vec<&Place> = tensors.iter().collect();
        order.sort_by_key(|place| place.bytes);
        let mut end = 0;
        for place in &order {
            if place.bytes.0 != end {
                let problem = format!("begins at byte {} of the data, not at {end}", place.bytes.0);
                return Err(fault(&format!("tensor `{}`", place.name), problem));
            }
            end = place.bytes.1;
        }
        if end != data {
            return Err(fault(
                "data",
                format!("has {data} bytes, the header tells of {end}"),
            ));
        }
        let mut names: Vec<&str> = tensors.iter().map(|place| place.name.as_str()).collect();
        names.sort_unstable();
        if let Some([twice, ..]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let problem = "is there twice".to_owned();
            return Err(fault(&format!("tensor `{twice}`"), problem));
        }
        Ok(Self {
            tensors,
            metadata: entries.metadata,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Shape,
    data_offsets: (u64, u64),
}

impl Entry {
    fn place(self, name: String) -> Result<Place, String> {
        let Some(dtype) = Dtype::from_safetensors(&self.dtype) else {
            let found: String = self.dtype.chars().take(20).collect();
            return Err(format!("type `{found}` is not supported"));
        };
        if name.len() > MAX_NAME {
            return Err(format!("its name is longer than {MAX_NAME} bytes"));
        }
        // Candle computes strides from all sizes, also where one of them is zero.
        let spread = self
            .shape
            .0
            .iter()
            .try_fold(8, |all: u64, &n| all.checked_mul(n.max(1)));
        if spread.is_none_or(|spread| spread > i64::MAX as u64) {
            return Err("has an impossible shape".into());
        }
        let needed = self.shape.0.iter().product::<u64>() * dtype.size();
        let (start, end) = self.data_offsets;
        if end.checked_sub(start) != Some(needed) {
            return Err(format!(
                "lies at bytes {start} to {end}, its shape needs {needed} bytes"
            ));
        }
        Ok(Place {
            name,
            dtype,
            shape: self.shape.0.iter().map(|&n| n as usize).collect(),
            bytes: self.data_offsets,
        })
    }
}

/// All entries in order.
#[derive(Default)]
struct Entries {
    tensors: Vec<(String, Entry)>,
    metadata: BTreeMap<String, String>,
}

/// Takes so many tensors and no more.
struct EntriesVisitor(usize);

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Entries::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                entries.metadata = map.next_value::<Metadata>()?.0;
            } else if entries.tensors.len() >= self.0 {
                return Err(A::Error::custom(format!("more than {} tensors", self.0)));
            } else {
                let value = map.next_value().map_err(|error| {
                    let shown: String = name.chars().take(100).collect();
                    A::Error::custom(format!("`{shown}`: {error}"))
                })?;
                entries.tensors.push((name, value));
            }
        }
        Ok(entries)
    }
}

/// Names and texts, at most [`MOST_TEXTS`].
struct Metadata(BTreeMap<String, String>);

/// Far more than any program writes.
const MOST_TEXTS: usize = 1 << 16;

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MetadataVisitor)
    }
}

struct MetadataVisitor;

impl<'de> Visitor<'de> for MetadataVisitor {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some((name, text)) = map.next_entry()? {
            if texts.len() >= MOST_TEXTS {
                return Err(A::Error::custom(format!(
                    "more than {MOST_TEXTS} texts of metadata"
                )));
            }
            texts.insert(name, text);
        }
        Ok(Metadata(texts))
    }
}

/// At most [`MAX_DIMENSIONS`] sizes.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sizes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut sizes = Vec::new();
        while let Some(size) = items.next_element()? {
            if sizes.len() >= MAX_DIMENSIONS {
                return Err(A::Error::custom(format!("more than {MAX_DIMENSIONS} dimensions")));
            }
            sizes.push(size);
        }
        Ok(Shape(sizes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str, data: u64) -> Result<Header, String> {
        let header = Header::parse(json.as_bytes(), data, &Limits::default());
        header.map_err(|fault| format!("{}: {}", fault.entry, fault.problem))
    }

    fn tensor(name: &str, dtype: &str, shape: &str, offsets: &str) -> String {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    }

    #[test]
    fn the_order_is_that_of_the_header() {
        let json = format!(
            r#"{{{},"__metadata__":{{"k":"v"}},{}}}  "#,
            tensor("z", "F16", "[2]", "[8,12]"),
            tensor("a", "I64", "[]", "[0,8]")
        );
        let header = parse(&json, 12).expect("valid");
        let names: Vec<&str> = header.tensors.iter().map(|place| place.name.as_str()).collect();
        assert_eq!((names, header.metadata["k"].as_str()), (vec!["z", "a"], "v"));
    }

    #[test]
    fn problems_name_the_entry() {
        let check = |entries: &[String], data, expected: &str| {
            let error = parse(&format!("{{{}}}", entries.join(",")), data).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        };
        let a = tensor("a", "F32", "[2]", "[0,8]");
        check(&[tensor("a", "C64", "[2]", "[0,8]")], 8, "tensor `a`: type `C64`");
        check(
            &[tensor("a", "F32", "[3]", "[0,8]")],
            8,
            "tensor `a`: lies at bytes 0 to 8, its shape needs 12",
        );
        check(
            &[tensor("a", "F32", "[2]", "[8,0]")],
            8,
            "tensor `a`: lies at bytes 8 to 0",
        );
        check(
            &[a.clone(), tensor("b", "U8", "[1]", "[9,10]")],
            10,
            "tensor `b`: begins at byte 9 of the data, not at 8",
        );
        check(
            &[a.clone(), tensor("b", "U8", "[1]", "[7,8]")],
            8,
            "tensor `b`: begins at byte 7 of the data, not at 8",
        );
        check(
            std::slice::from_ref(&a),
            9,
            "data: has 9 bytes, the header tells of 8",
        );
        check(
            &[a, tensor("a", "U8", "[1]", "[8,9]")],
            9,
            "tensor `a`: is there twice",
        );
        let huge = "[4294967296,4294967296]";
        check(
            &[tensor("a", "U8", huge, "[0,8]")],
            8,
            "tensor `a`: has an impossible shape",
        );
        check(
            &[tensor("a", "U8", "[-1]", "[0,8]")],
            8,
            "header: `a`: invalid value: integer `-1`",
        );
        let many = format!("[{}1]", "1,".repeat(64));
        check(&[tensor("a", "U8", &many, "[0,1]")], 1, "more than 64 dimensions");
        check(
            &[tensor(&"x".repeat(1025), "U8", "[1]", "[0,1]")],
            1,
            "longer than 1024 bytes",
        );
        assert!(parse("[]", 0).is_err() && parse("{}x", 0).is_err() && parse("{", 0).is_err());
        let limits = Limits {
            tensors: 1,
            ..Limits::default()
        };
        let two = format!(
            "{{{},{}}}",
            tensor("a", "U8", "[0]", "[0,0]"),
            tensor("b", "U8", "[0]", "[0,0]")
        );
        let fault = Header::parse(two.as_bytes(), 0, &limits).expect_err("two tensors");
        assert!(fault.problem.contains("more than 1 tensors"), "{}", fault.problem);
    }
}
