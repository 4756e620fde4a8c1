//! What a run leaves behind: records, the index of an experiment, and the atomic store that holds them.
//!
//! Serde and the file system only: no manifest, no candle. Everything under `report/` reads these types and nothing
//! else. Disk layout of `results/<experiment>/`:
//!
//! | path | what | committed |
//! | --- | --- | --- |
//! | `index.json` | the jobs of the last plan, in manifest order, and the tables asked for | yes |
//! | `records/<job>.json` | one [`Record`] per job, checksummed | yes |
//! | `earlier/<job>.json` | records of settings that the last plan does not have | if you like |
//! | `summary.json`, `tables/`, `plots/`, `report.html` | what `report/` makes of them | yes |
//! | `*.json` elsewhere | one [`Study`] of a single step, wherever it was told to be | if you like |
//! | `cache/` | checkpoints, predictions, logs, the [`Ledger`], temporary files | no (it carries its own `.gitignore`) |

mod atomic;
mod claim;
mod error;
mod index;
mod ledger;
mod predictions;
mod record;
mod store;
mod study;

pub use crate::files::Stamp;
pub use atomic::{create_dir, write_atomic, write_atomic_with, write_soon};
pub use claim::{Claim, Claims, Guard, Owner, Survey, Timing};
pub use error::{StoreError, THREADS_HINT};
pub use index::{Index, IndexEntry, Place, TableRequest};
pub use ledger::{Known, Ledger};
pub use predictions::Predictions;
pub use record::{
    Confusion, Failure, Input, Kind, Metrics, OLDEST_SCHEMA, Provenance, Record, SCHEMA, Status,
    canonical_json,
};
pub use store::{Lookup, Store, safe_name};
pub use study::{Findings, Interpolation, Line, Neurons, ScoredNeurons, StudiedModel, Study};
