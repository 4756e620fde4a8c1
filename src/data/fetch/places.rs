//! Where the files of the known data sets lie: what each source says, and what the hub lists.

use serde::Deserialize;

use super::http::Client;
use super::{Fetch, FetchError};
use crate::data::DataError;
use crate::data::catalogue::source;
use crate::data::published::{Published, PublishedFile};

/// A file to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub url: String,
    pub name: String,
    pub size: Option<u64>,
    pub checksum: Option<Checksum>,
    /// Bytes that it has at most, where its size is not known.
    pub most: u64,
}

impl File {
    /// No more bytes are taken from a server.
    pub(super) fn limit(&self) -> u64 {
        self.size.unwrap_or(u64::MAX).min(self.most)
    }
}

/// More than any file of the hub's sets, and than all of one set together.
const MOST: u64 = 4 << 30;

/// A published checksum, hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checksum {
    Sha256(String),
    Md5(String),
}

/// The files of a data set; `None` where it has none.
pub(super) fn files(fetch: &Fetch, client: &Client) -> Result<Option<Vec<File>>, FetchError> {
    let source = source(fetch.name)?;
    let sizes = source.known.sizes;
    if let (Some(size), []) = (fetch.size, sizes) {
        return Err(no_size(format!("`{}` has one size only, not {size}", fetch.name)));
    }
    match source.published {
        Published::Embedded => Ok(None),
        Published::Hub { repository, folder } => listed(fetch, client, repository, folder).map(Some),
        Published::Mirror { base, files } => {
            let size = fetch.size.or(sizes.first().copied());
            let base = fetch.from.unwrap_or(base).trim_end_matches('/');
            let files: Vec<File> = files
                .iter()
                .filter(|file| file.size == size)
                .map(|file| on_mirror(base, file))
                .collect();
            match (files.is_empty(), size) {
                (true, Some(size)) => Err(no_size(format!(
                    "`{}` is published with {} pixels, not {size}",
                    fetch.name,
                    enumerated(sizes)
                ))),
                _ => Ok(Some(files)),
            }
        }
    }
}

/// `28, 64 and 128`.
fn enumerated(sizes: &[usize]) -> String {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    let names: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

fn on_mirror(base: &str, file: &PublishedFile) -> File {
    File {
        url: format!("{base}/{}", file.name),
        name: file.name.to_owned(),
        size: None,
        checksum: Some(Checksum::Md5(file.md5.to_owned())),
        most: file.most,
    }
}

fn no_size(problem: String) -> FetchError {
    FetchError::Data(DataError::Impossible {
        what: "fetch this size",
        problem,
    })
}

/// An entry of the hub's list.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    size: Option<u64>,
    lfs: Option<Large>,
}

/// What the hub knows of a large file: its SHA-256.
#[derive(Deserialize)]
struct Large {
    oid: String,
}

/// Parquet files of the parts of a data set, below a folder of a repository of the hub.
fn listed(fetch: &Fetch, client: &Client, repository: &str, folder: &str) -> Result<Vec<File>, FetchError> {
    let base = fetch.from.unwrap_or(fetch.hub).trim_end_matches('/');
    let url = format!("{base}/api/datasets/{repository}/tree/main?recursive=true");
    let text = client.text(&url)?;
    let files = choose(&text, folder).and_then(|files| match files.is_empty() {
        true => Err(format!("it has no file `{folder}train-*.parquet`")),
        false => Ok(files),
    });
    let files = files.and_then(|files| {
        let sizes = files.iter().map(|(_, entry)| entry.size.unwrap_or_default());
        let total = sizes.fold(0, u64::saturating_add);
        match total > MOST {
            true => Err(format!(
                "it claims {total} bytes, and the set has fewer than {MOST}"
            )),
            false => Ok(files),
        }
    });
    let files = files.map_err(|problem| FetchError::Listing { url, problem })?;
    let file = |(name, entry): (String, Entry)| File {
        url: format!(
            "{base}/datasets/{repository}/resolve/main/{}",
            escaped(&entry.path)
        ),
        name,
        size: entry.size,
        checksum: entry
            .lfs
            .map(|large| Checksum::Sha256(large.oid.to_ascii_lowercase())),
        most: MOST,
    };
    Ok(files.into_iter().map(file).collect())
}

/// The files of the parts, each with the name it gets here.
fn choose(text: &str, folder: &str) -> Result<Vec<(String, Entry)>, String> {
    let entries: Vec<Entry> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let wanted = entries.into_iter().filter_map(|entry| {
        let name = entry.path.strip_prefix(folder)?.rsplit('/').next()?.to_owned();
        let part = ["train-", "test-", "valid-", "validation-"]
            .iter()
            .any(|part| name.starts_with(part));
        let plain = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        (entry.kind == "file" && part && plain && name.ends_with(".parquet")).then_some((name, entry))
    });
    let mut files: Vec<(String, Entry)> = wanted.collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    match files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("it has two files `{}`", pair[0].0)),
        None => Ok(files),
    }
}

/// A path as it stands in a URL.
fn escaped(path: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_parts_are_chosen_from_the_hubs_list() {
        let list = r#"[
            {"type": "directory", "oid": "1", "size": 0, "path": "plain_text"},
            {"type": "file", "oid": "2", "size": 7, "path": "README.md"},
            {"type": "file", "oid": "3", "size": 9, "lfs": {"oid": "ABC", "size": 9, "pointerSize": 134}, "path": "plain_text/train-00000-of-00001.parquet"},
            {"type": "file", "oid": "4", "size": 8, "path": "plain_text/test-00000-of-00001.parquet"},
            {"type": "file", "oid": "5", "size": 8, "path": "plain_text/test-../evil.parquet"},
            {"type": "file", "oid": "5", "size": 8, "path": "other/test-00000-of-00001.parquet"}
        ]"#;
        let names = |folder| -> Vec<String> {
            let files = choose(list, folder);
            files.expect("a list").into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(
            names("plain_text/"),
            ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
        );
        assert_eq!(names("none/"), [""; 0]);
        let twice = choose(list, "").err().expect("two of one name");
        assert_eq!(twice, "it has two files `test-00000-of-00001.parquet`");
        assert!(choose("<html>", "").is_err());
    }

    #[test]
    fn paths_are_escaped_for_urls() {
        assert_eq!(escaped("data/train-0.parquet"), "data/train-0.parquet");
        assert_eq!(escaped("a b?c#d"), "a%20b%3Fc%23d");
    }
}
