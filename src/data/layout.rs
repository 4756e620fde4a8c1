//! The files of a data set that come in one of two forms: shards of parquet, or named binary files.

use std::path::{Path, PathBuf};

use super::DataError;

const PARTS: [&str; 2] = ["train", "test"];

/// Where the files of a data set may lie, and their names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Below the data folder; each may have all files.
    pub folders: &'static [&'static str],
    /// Names of the binary files of the training and of the test part, in order.
    pub binaries: [&'static [&'static str]; 2],
}

/// What the files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Rows of compressed images.
    Parquet,
    /// Records of bytes.
    Binary,
}

/// All files of a data set, in one folder.
#[derive(Debug)]
pub(super) struct Files {
    /// Where they lie.
    pub folder: PathBuf,
    /// What they hold.
    pub form: Form,
    /// Those of the training and of the test part, in order.
    pub parts: [Vec<PathBuf>; 2],
}

impl Files {
    /// The files in the first folder that has any of them; parquet, where it has both forms.
    ///
    /// Errors where there is none, or where that folder lacks some.
    pub(super) fn find(name: &str, layout: &Layout, data_dir: &Path) -> Result<Self, DataError> {
        let folders: Vec<PathBuf> = layout
            .folders
            .iter()
            .map(|folder| join(data_dir, folder))
            .collect();
        let missing = |file: String, searched: &[PathBuf]| DataError::Missing {
            name: name.to_owned(),
            file,
            searched: searched.to_vec(),
            size: None,
        };
        for folder in &folders {
            let names = names(folder);
            let here = std::slice::from_ref(folder);
            let shards = PARTS.map(|part| shards(&names, part));
            let binaries = layout
                .binaries
                .map(|part| part.iter().map(ToString::to_string).collect::<Vec<_>>());
            let (form, parts) = if shards.iter().flatten().next().is_some() {
                let of = |shards: &[Shard], part: &str| {
                    if shards.is_empty() {
                        return Err(missing(format!("`{part}-*.parquet`"), here));
                    }
                    complete(shards, part).map_err(|file| missing(format!("`{file}`"), here))
                };
                let [train, test] = &shards;
                (Form::Parquet, [of(train, PARTS[0])?, of(test, PARTS[1])?])
            } else if binaries.iter().flatten().any(|file| names.contains(file)) {
                if let Some(file) = binaries.iter().flatten().find(|file| !names.contains(file)) {
                    return Err(missing(format!("`{file}`"), here));
                }
                (Form::Binary, binaries)
            } else {
                continue;
            };
            return Ok(Self {
                folder: folder.clone(),
                form,
                parts: parts.map(|part| part.into_iter().map(|file| folder.join(file)).collect()),
            });
        }
        let file = format!(
            "`train-*.parquet` or `{}`",
            layout.binaries[0].first().unwrap_or(&"")
        );
        Err(missing(file, &folders))
    }
}

/// Without the `/` at the end that [`Path::join`] makes of nothing.
pub(super) fn join(data_dir: &Path, folder: &str) -> PathBuf {
    if folder.is_empty() {
        data_dir.to_path_buf()
    } else {
        data_dir.join(folder)
    }
}

/// Names of the files in a folder, sorted; none where it cannot be read.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

/// `train-00001-of-00002.parquet`, or `train-00001-of-00002-0123456789abcdef.parquet`.
#[derive(Debug)]
struct Shard {
    index: usize,
    count: usize,
    name: String,
}

fn shards(names: &[String], part: &str) -> Vec<Shard> {
    let parse = |name: &String| {
        let mut fields = name
            .strip_prefix(part)?
            .strip_prefix('-')?
            .strip_suffix(".parquet")?
            .split('-');
        let index = fields.next()?.parse().ok()?;
        let of = fields.next()?;
        let count = fields.next()?.parse().ok()?;
        (of == "of" && index < count).then(|| Shard {
            index,
            count,
            name: name.clone(),
        })
    };
    names.iter().filter_map(parse).collect()
}

/// The names of all shards, in order, or the name of one that is missing.
///
/// Where two exports lie in one folder, it is the first one's shards that count.
fn complete(shards: &[Shard], part: &str) -> Result<Vec<String>, String> {
    let count = shards.first().map_or(0, |shard| shard.count);
    let find = |index| {
        let mut shards = shards.iter();
        let shard = shards.find(|shard| shard.index == index && shard.count == count);
        shard
            .map(|shard| shard.name.clone())
            .ok_or_else(|| format!("{part}-{index:05}-of-{count:05}.parquet"))
    };
    (0..count).map(find).collect()
}

/// Names of all shards of a part, in order; none where there are none. The error is the name of a shard that is missing.
pub(super) fn of_part(names: &[String], part: &str) -> Result<Vec<String>, String> {
    complete(&shards(names, part), part)
}

#[cfg(test)]
mod tests;
