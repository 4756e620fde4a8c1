//! What the system may refuse: threads and memory.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::CliError;
use super::args::Command;
use super::error::no_threads;

/// Starts the threads that all commands share, while a refusal can still be told: rayon would panic at first use. Memory that
/// the system refuses ends the program with exit code 2, not by a signal; the standard library says how much it was. What
/// happens to a worker process is told by the one that started it.
pub fn init(command: &Command) -> Result<(), CliError> {
    #[cfg(unix)]
    if !matches!(command, Command::Worker(_)) {
        let always = Arc::new(AtomicBool::new(true));
        // Without it the exit code is another, and that is all.
        let _ = signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGABRT, 2, always);
    }
    let pool = rayon::ThreadPoolBuilder::new().build_global();
    pool.map_err(|error| no_threads(&std::io::Error::other(error)))
}
