//! `runner export`: a checkpoint for other programs.

use std::path::Path;

use super::CliError;
use super::args::ExportArgs;
use super::error::checkpoint_problem;
use super::output;
use crate::arch::Hints;
use crate::checkpoint::{self, Target};

/// Runs the command.
pub fn run(args: &ExportArgs) -> Result<(), CliError> {
    let Some(target) = Target::of(&args.out) else {
        return Err(CliError::usage(
            format!("the extension of `{}` tells no format", args.out.display()),
            "name it `.pt` for a PyTorch state dict or `.safetensors`",
        ));
    };
    let tensors = convert(&args.checkpoint, &args.out, target, &Hints::default())?;
    let what = match target {
        Target::StateDict => "a PyTorch state dict",
        Target::Safetensors => "safetensors",
    };
    writeln!(
        output::out(),
        "{}: {what} of {tensors} tensors",
        args.out.display()
    )?;
    Ok(())
}

/// Converts; the number of tensors.
pub fn convert(from: &Path, to: &Path, target: Target, hints: &Hints) -> Result<usize, CliError> {
    let converted = checkpoint::open(from).and_then(|file| {
        let tensors = file.tensors.len();
        checkpoint::convert_with(file, to, target, hints).map(|()| tensors)
    });
    converted.map_err(|error| checkpoint_problem(&error).into())
}
