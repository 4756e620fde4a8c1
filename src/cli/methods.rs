//! `runner methods`: what can be put into `[[fusion]]`.

use std::io::Write;

use super::CliError;
use super::args::MethodsArgs;
use crate::fusion::{Arity, METHODS};
use crate::manifest::{method_markdown, nearest};

/// Runs the command.
pub fn run(args: &MethodsArgs) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let Some(name) = &args.name else {
        let widest = METHODS
            .iter()
            .map(|info| info.name.len())
            .max()
            .unwrap_or_default();
        for info in METHODS {
            let arity = match info.arity {
                Arity::Pair => "pairs",
                Arity::Any => "any  ",
            };
            writeln!(
                out,
                "{:widest$}  {arity}  {} ({})",
                info.name, info.summary, info.paper
            )?;
        }
        return Ok(());
    };
    if let Some(text) = method_markdown(name) {
        write!(out, "{text}")?;
        return Ok(());
    }
    let names: Vec<&str> = METHODS.iter().map(|info| info.name).collect();
    let hint = match nearest(name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("one of {}", names.join(", ")),
    };
    Err(CliError::usage(format!("unknown method `{name}`"), hint))
}
