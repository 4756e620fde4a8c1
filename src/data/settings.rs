//! `[dataset]`: which data, where, and how it is read.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Which data the models are trained, fused and evaluated on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DatasetSettings {
    /// A known data set by its name, such as `digits`, which is embedded; docs/data.md lists them, and `runner fetch NAME`
    /// downloads one. Or a path, recognised by a `/` in it or by its ending: a folder
    /// of images (`train/CLASS/*.png`, `test/CLASS/*.png`; PNG or JPEG, all of one size), a folder or pattern of
    /// parquet files (`data/*.parquet`) whose names or folders begin with `train` and `test`, or a `.npz` file of
    /// `MedMNIST`. A relative path starts from the data folder (`--data-dir`, `RUNNER_DATA` or `dir`), without one from
    /// the folder `runner` is started in. See docs/data.md.
    pub name: String,
    /// Folder with the data set's files; `--data-dir` and `RUNNER_DATA` win over it. Not part of a job's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Height and width in pixels, for sets that are published in several sizes (`bloodmnist`: 28, 64, 128 or 224).
    /// By default 64, or the one size there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub size: Option<usize>,
    /// Mean of each channel, of pixels from 0 to 1, which is subtracted. By default the usual one of a known set; for
    /// a path that of the training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of each channel, by which the difference is divided; by default as `mean`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f64>>,
    /// Parquet files of a path: the column of images. By default `img` or `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// Parquet files of a path: the column of labels, whole numbers from 0. By default `label`, `labels` or `fine_label`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_column: Option<String>,
}

/// What the names of paths to files end in.
const ENDINGS: [&str; 2] = [".parquet", ".npz"];

impl DatasetSettings {
    /// A data set by name or path, all else by default.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Whether the name is a path.
    pub fn is_path(&self) -> bool {
        self.name.contains(['/', '\\']) || ENDINGS.iter().any(|ending| self.name.ends_with(ending))
    }

    /// The path, from the data folder where there is one.
    pub(super) fn path(&self, data_dir: Option<&Path>) -> PathBuf {
        // An absolute path takes the place of what it is joined to.
        data_dir.map_or_else(|| PathBuf::from(&self.name), |folder| folder.join(&self.name))
    }

    /// What of it can change numbers: not where the data lies. Its content has a hash of its own.
    pub fn identity(&self) -> Value {
        let mut all = serde_json::to_value(self).unwrap_or(Value::Null);
        if let Value::Object(fields) = &mut all {
            fields.remove("dir");
            if self.is_path() {
                fields.insert("name".into(), json!("path"));
            }
        }
        all
    }

    /// Tells it from all others in one process.
    pub fn id(&self) -> String {
        if *self == Self::named(&self.name) {
            return self.name.clone();
        }
        serde_json::to_string(self).unwrap_or_else(|_| self.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_names_and_start_from_the_data_folder() {
        let paths = [
            "a/b",
            "./animals",
            "/abs/x",
            "x.parquet",
            "blood.npz",
            "*.parquet",
        ];
        assert!(paths.iter().all(|name| DatasetSettings::named(name).is_path()));
        assert!(!DatasetSettings::named("mnist").is_path());
        let path = |name, folder: Option<&str>| DatasetSettings::named(name).path(folder.map(Path::new));
        assert_eq!(path("a/b", Some("data")), Path::new("data/a/b"));
        assert_eq!(path("/a/b", Some("data")), Path::new("/a/b"));
        assert_eq!(path("a/b", None), Path::new("a/b"));
    }

    #[test]
    fn identity_has_what_changes_numbers_and_no_places() {
        let mut settings = DatasetSettings::named("mnist");
        settings.dir = Some("data".into());
        assert_eq!(settings.identity(), json!({"name": "mnist"}));
        settings.mean = Some(vec![0.5]);
        assert_eq!(settings.identity(), json!({"name": "mnist", "mean": [0.5]}));
        assert_eq!(DatasetSettings::named("a/b").identity(), json!({"name": "path"}));
        assert_eq!(DatasetSettings::named("mnist").id(), "mnist");
        assert_ne!(settings.id(), "mnist");
    }
}
