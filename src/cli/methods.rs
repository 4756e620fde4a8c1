//! `runner methods`: what can be put into `[[fusion]]`.

use super::CliError;
use super::args::MethodsArgs;
use super::output;
use crate::fusion::{Arity, METHODS};
use crate::manifest::{method_markdown, nearest};

/// Runs the command.
pub fn run(args: &MethodsArgs) -> Result<(), CliError> {
    let mut out = output::out();
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
    let info = METHODS.iter().find(|info| info.name == name);
    if let (Some(info), Some(text)) = (info, method_markdown(name)) {
        let models = match info.arity {
            Arity::Pair => "exactly two models",
            Arity::Any => "any number of models",
        };
        // Cells of the page have several lines; a terminal has not.
        out.text(&text.replace("<br>", " "))?;
        writeln!(out)?;
        writeln!(out, "Fuses {models}. From: {}.", info.paper)?;
        writeln!(
            out,
            "`first` and `groups` say which models: see docs/manifest.md."
        )?;
        return Ok(());
    }
    let names: Vec<&str> = METHODS.iter().map(|info| info.name).collect();
    let hint = match nearest(name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("one of {}", names.join(", ")),
    };
    Err(CliError::usage(format!("unknown method `{name}`"), hint))
}
