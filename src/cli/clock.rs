//! A clock that is wrong.

use std::time::Duration;

use serde_json::Map;

use super::output;
use crate::files;
use crate::process::Process;
use crate::result::Store;

/// What a clock may be off by without a word, in seconds: more than a write takes on a file server that is busy.
const NOTICED: f64 = 10.0;

/// Says so if this machine's clock and that of the file system with the results differ. Nothing is decided by clocks, so
/// that is all there is to do; a folder that cannot be written to will be told about soon enough.
pub fn warn_if_wrong(store: &Store) {
    let Ok(skew) = files::skew(&store.cache()) else {
        return;
    };
    if skew.abs() < NOTICED {
        return;
    }
    let by = humantime::format_duration(Duration::from_secs(skew.abs().round() as u64));
    let text = format!(
        "the clock of {} is {by} {} that of the file system with `{}`",
        Process::current().host,
        if skew > 0.0 { "ahead of" } else { "behind" },
        store.root().display(),
    );
    let hint = "times in logs and records are off by as much; nothing else is, as no claim is judged by a clock. \
                `timedatectl` and `chronyc tracking` show why";
    output::say(output::Level::Warning, &text, Some(hint), &Map::new());
}
