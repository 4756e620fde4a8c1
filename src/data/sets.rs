//! The data sets of a run: each is looked at once, by name or path, however many jobs, checks and tables ask.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::catalogue::{self, known};
use super::kept::Keeping;
use super::request::{Found, Request};
use super::{DataError, DataSet, DataSetInfo, DatasetSettings};

/// What was found of a data set, or why nothing was.
type Outcome = Result<Arc<Found>, Arc<DataError>>;

/// Where data sets are looked for, and what was found.
///
/// ```
/// use runner::data::{DatasetSettings, Sets};
///
/// let info = Sets::unseen().info(&DatasetSettings::named("mnist")).expect("known by its name");
/// assert_eq!((info.classes, info.shape), (10, [1, 28, 28]));
/// assert!(Sets::unseen().info(&DatasetSettings::named("./animals")).is_none());
/// ```
#[derive(Debug, Default)]
pub struct Sets {
    data_dir: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    /// Takes no file system's word for what is in a file.
    reread: bool,
    /// Never looks at a file.
    blind: bool,
    found: Mutex<BTreeMap<String, Outcome>>,
}

impl Sets {
    /// Sets with files in `data_dir`, which wins over their settings; decoded images that cannot be kept beside the
    /// files go into `cache_dir`.
    pub fn new(data_dir: Option<&Path>, cache_dir: Option<&Path>) -> Self {
        Self {
            data_dir: data_dir.map(Path::to_path_buf),
            cache_dir: cache_dir.map(Path::to_path_buf),
            ..Self::default()
        }
    }

    /// The same, but every file is read, where otherwise one that nobody has touched is taken for what it was.
    #[must_use]
    pub fn reread(self, reread: bool) -> Self {
        Self { reread, ..self }
    }

    /// Only what names tell; for those who read a manifest without running it.
    pub fn unseen() -> Self {
        Self {
            blind: true,
            ..Self::default()
        }
    }

    /// What the set is and what its content is, from its files, which are looked at once.
    pub fn find(&self, settings: &DatasetSettings) -> Outcome {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = found.entry(settings.id()).or_insert_with(|| {
            let found = catalogue::find(&self.request(settings));
            found.map(Arc::new).map_err(Arc::new)
        });
        outcome.clone()
    }

    /// What the set is, as far as can be known: by its name, or else from its files.
    pub fn info(&self, settings: &DatasetSettings) -> Option<DataSetInfo> {
        let by_name = known(&settings.name).ok().and_then(|known| known.info);
        match by_name {
            Some(info) => Some(info),
            None if self.blind => None,
            None => self.find(settings).ok().map(|found| found.info),
        }
    }

    /// Loads the set.
    pub fn load(&self, settings: &DatasetSettings) -> Result<DataSet, DataError> {
        catalogue::load_as(&self.request(settings))
    }

    fn request<'a>(&'a self, settings: &'a DatasetSettings) -> Request<'a> {
        Request {
            settings,
            data_dir: self.data_dir.as_deref().or(settings.dir.as_deref()),
            keeping: Keeping {
                cache_dir: self.cache_dir.as_deref(),
                reread: self.reread,
            },
        }
    }
}
