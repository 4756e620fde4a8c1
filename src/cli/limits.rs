//! What the system may refuse: threads, memory, large files.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::CliError;
use super::args::Command;
use super::error::no_threads;

/// Starts the threads that all commands share, while a refusal can still be told: rayon would panic at first use. Memory that
/// the system refuses ends the program with exit code 2, not by a signal; the standard library says how much it was. What
/// happens to a worker process is told by the one that started it. A file beyond the limit is an error of its write.
pub fn init(command: &Command) -> Result<(), CliError> {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGABRT, SIGXFSZ};
        use signal_hook::flag::{register, register_conditional_shutdown};
        // Where these fail the program ends by a signal after all.
        let _ = register(SIGXFSZ, Arc::default());
        if !matches!(command, Command::Worker(_)) {
            let _ = register_conditional_shutdown(SIGABRT, 2, Arc::new(AtomicBool::new(true)));
        }
    }
    let pool = rayon::ThreadPoolBuilder::new().build_global();
    pool.map_err(|error| no_threads(&std::io::Error::other(error)))
}
