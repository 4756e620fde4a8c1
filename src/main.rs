//! The `runner` program: parse, run, exit code. Everything else is in [`runner::cli`].

use std::process::ExitCode;

/// Tensors of megabytes come and go with every operation; the system's allocator hands their memory back each time, and
/// fresh pages cost as much as the arithmetic on them. This one keeps them for a while.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    runner::cli::main()
}
