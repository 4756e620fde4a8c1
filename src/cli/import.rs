//! `runner import`: any checkpoint as a safetensors file of this program.

use super::CliError;
use super::args::ImportArgs;
use super::error::checkpoint_problem;
use super::export::convert;
use super::output;
use crate::arch::Hints;
use crate::checkpoint::{self, Target};

/// Runs the command.
pub fn run(args: &ImportArgs) -> Result<(), CliError> {
    if Target::of(&args.out) != Some(Target::Safetensors) {
        return Err(CliError::usage(
            format!(
                "an import is a safetensors file, which `{}` is not",
                args.out.display()
            ),
            "name it `.safetensors`, or use `runner export` for a PyTorch state dict",
        ));
    }
    let hints = Hints {
        heads: args.heads,
        ..Hints::default()
    };
    let tensors = convert(&args.file, &args.out, args.output, &hints)?;
    let file = checkpoint::open(&args.out).map_err(|error| checkpoint_problem(&error))?;
    let what = match (&file.meta, file.model(&hints)) {
        (Some(meta), _) => format!("a checkpoint with {}", meta.architecture.as_settings()),
        (None, Ok(model)) => format!(
            "plain safetensors: it seems to be of `{}`, but its number of heads is not in the file (give it with `--heads N`)",
            model.architecture.name()
        ),
        (None, Err(error)) => format!("plain safetensors without architecture: {error}"),
    };
    writeln!(output::out(), "{}: {tensors} tensors, {what}", args.out.display())?;
    Ok(())
}
