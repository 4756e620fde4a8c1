//! `runner import`: any checkpoint as safetensors.

use super::CliError;
use super::args::ImportArgs;
use super::export::convert;
use crate::checkpoint::Target;

/// Runs the command.
pub fn run(args: &ImportArgs) -> Result<(), CliError> {
    match Target::of(&args.out) {
        Some(target @ Target::Safetensors) => convert(&args.file, &args.out, target),
        _ => Err(CliError::usage(
            format!(
                "an import is a safetensors file, which `{}` is not",
                args.out.display()
            ),
            "name it `.safetensors`, or use `runner export` for a PyTorch state dict",
        )),
    }
}
