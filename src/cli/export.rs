//! `runner export`: a checkpoint for other programs.

use std::path::Path;

use super::CliError;
use super::args::{ExportArgs, OutputArgs};
use super::error::checkpoint_problem;
use super::outfile::{self, Content, Outputs};
use super::output;
use crate::arch::Hints;
use crate::checkpoint::{self, Target};

/// Runs the command.
pub fn run(args: &ExportArgs) -> Result<(), CliError> {
    let tensors = convert(&args.checkpoint, &args.out, args.output, &Hints::default())?;
    let what = match Target::of(&args.out) {
        Some(Target::StateDict) => "a PyTorch state dict",
        _ => "safetensors",
    };
    writeln!(
        output::out(),
        "{}: {what} of {tensors} tensors",
        args.out.display()
    )?;
    Ok(())
}

/// Converts; the number of tensors.
pub fn convert(from: &Path, to: &Path, args: OutputArgs, hints: &Hints) -> Result<usize, CliError> {
    outfile::check_ending(to, Content::Model(""))?;
    let problem = |error| CliError::from(checkpoint_problem(&error));
    let file = checkpoint::open(from).map_err(problem)?;
    let key = file.key_or_hash().map_err(problem)?;
    let outputs = Outputs::new(args.force, vec![from.to_path_buf()]);
    let output = outputs.check("", to, Content::Model(&key))?;
    let target = Target::of(to).unwrap_or(Target::Safetensors);
    let tensors = file.tensors.len();
    checkpoint::convert_with(file, &output.target, target, hints).map_err(problem)?;
    Ok(tensors)
}
