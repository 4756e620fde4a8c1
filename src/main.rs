//! The `runner` program: parse, run, exit code. Everything else is in [`runner::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    runner::cli::main()
}
