//! Where the files of the known data sets lie.
//!
//! | data set | server | files |
//! | --- | --- | --- |
//! | `mnist`, `fashion-mnist` | the mirrors that torchvision uses | four `.gz` files, MD5 |
//! | `cifar10`, `cifar100` | the hub: `uoft-cs/cifar10`, `uoft-cs/cifar100` | parquet, SHA-256 from the hub |
//! | `tiny-imagenet` | the hub: `slegroux/tiny-imagenet-200-clean`, which the paper uses | parquet, SHA-256 from the hub |
//! | `bloodmnist` | Zenodo, by `MedMNIST` | one `.npz` file, MD5 |
//!
//! The hub lists the files of a repository with their sizes and, for large files, their SHA-256.

use serde::Deserialize;

use super::http::Client;
use super::{Fetch, FetchError};
use crate::data::DataError;
use crate::data::medmnist;

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

/// A server with files, their MD5, and their sizes, or of archives what their images take unpacked.
struct Mirror {
    base: &'static str,
    files: &'static [(&'static str, &'static str, u64)],
}

const MNIST: Mirror = Mirror {
    base: "https://ossci-datasets.s3.amazonaws.com/mnist",
    files: &[
        (
            "train-images-idx3-ubyte.gz",
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            9_912_422,
        ),
        (
            "train-labels-idx1-ubyte.gz",
            "d53e105ee54ea40749a09fcbcd1e9432",
            28_881,
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            "9fb629c4189551a2d022fa330f9573f3",
            1_648_877,
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            "ec29112dd5afa0611ce80d1b7f02629c",
            4_542,
        ),
    ],
};

const FASHION: Mirror = Mirror {
    base: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    files: &[
        (
            "train-images-idx3-ubyte.gz",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            26_421_880,
        ),
        (
            "train-labels-idx1-ubyte.gz",
            "25c81989df183df01b3e8a0aad5dffbe",
            29_515,
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            "bef4ecab320f06d8554ea6380940ec79",
            4_422_102,
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            "bb300cfdad3c16e7a12a480ee83cd310",
            5_148,
        ),
    ],
};

const BLOOD: Mirror = Mirror {
    base: "https://zenodo.org/records/10519652/files",
    files: &[
        (
            "bloodmnist.npz",
            "7053d0359d879ad8a5505303e11de1dc",
            BLOOD_CELLS * 28 * 28,
        ),
        (
            "bloodmnist_64.npz",
            "2b94928a2ae4916078ca51e05b6b800b",
            BLOOD_CELLS * 64 * 64,
        ),
        (
            "bloodmnist_128.npz",
            "adace1e0ed228fccda1f39692059dd4c",
            BLOOD_CELLS * 128 * 128,
        ),
        (
            "bloodmnist_224.npz",
            "b718ff6835fcbdb22ba9eacccd7b2601",
            BLOOD_CELLS * 224 * 224,
        ),
    ],
};

/// Bytes of a pixel of all of `BloodMNIST`'s 17,092 images.
const BLOOD_CELLS: u64 = 17_092 * 3;

/// The size of the paper.
const BLOOD_SIZE: usize = 64;

/// The files of a data set; `None` where it has none.
pub(super) fn files(fetch: &Fetch, client: &Client) -> Result<Option<Vec<File>>, FetchError> {
    if let (Some(size), true) = (fetch.size, fetch.name != "bloodmnist") {
        return Err(no_size(format!("`{}` has one size only, not {size}", fetch.name)));
    }
    Ok(Some(match fetch.name {
        "mnist" => MNIST.files(fetch),
        "fashion-mnist" => FASHION.files(fetch),
        "cifar10" => listed(fetch, client, "uoft-cs/cifar10", "plain_text/")?,
        "cifar100" => listed(fetch, client, "uoft-cs/cifar100", "cifar100/")?,
        "tiny-imagenet" => listed(fetch, client, "slegroux/tiny-imagenet-200-clean", "")?,
        "bloodmnist" => {
            let size = fetch.size.unwrap_or(BLOOD_SIZE);
            let name = medmnist::file_name(size);
            let mut files = BLOOD.files(fetch);
            files.retain(|file| file.name == name);
            if files.is_empty() {
                let problem =
                    format!("`bloodmnist` is published with 28, 64, 128 and 224 pixels, not {size}");
                return Err(no_size(problem));
            }
            files
        }
        _ => return Ok(None),
    }))
}

fn no_size(problem: String) -> FetchError {
    FetchError::Data(DataError::Impossible {
        what: "fetch this size",
        problem,
    })
}

impl Mirror {
    fn files(&self, fetch: &Fetch) -> Vec<File> {
        let base = fetch.from.unwrap_or(self.base).trim_end_matches('/');
        let file = |&(name, md5, most): &(&str, &str, u64)| File {
            url: format!("{base}/{name}"),
            name: name.to_owned(),
            size: None,
            checksum: Some(Checksum::Md5(md5.to_owned())),
            most,
        };
        self.files.iter().map(file).collect()
    }
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
