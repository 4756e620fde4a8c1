//! How many threads candle's matrix products use.
//!
//! Candle decides at every product, by `RAYON_NUM_THREADS` or else by reading `/proc/cpuinfo`, which takes longer than
//! a small product. Setting a variable inside a running program is unsafe, so the program starts itself over with it.

use std::process::Command;

/// The variable.
pub const VARIABLE: &str = "RAYON_NUM_THREADS";

/// How many arenas the C library has, of 64 MB of addresses for each thread: the program has an allocator of its own, and
/// these would count towards a limit (`ulimit -v`).
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Starts the program over with so many threads per product; returns where the user has set the variable, or the system
/// does not allow it.
pub fn set(threads: usize) {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    #[cfg(unix)]
    if let Ok(program) = std::env::current_exe() {
        use std::os::unix::process::CommandExt;
        // Returns only where it fails; then products are slower, and that is all.
        let _ = Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(VARIABLE, threads.to_string())
            .env(ARENAS, std::env::var_os(ARENAS).unwrap_or("1".into()))
            .exec();
    }
}
