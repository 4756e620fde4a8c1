//! `runner schema`: the manifest's JSON Schema, or its reference in Markdown.

use super::CliError;
use super::args::SchemaArgs;
use super::output;
use crate::manifest::{json_schema, reference_markdown};

/// Runs the command.
pub fn run(args: &SchemaArgs) -> Result<(), CliError> {
    let schema = json_schema();
    if args.markdown {
        output::out().text(&reference_markdown(&schema))?;
    } else {
        output::out().json(&schema)?;
    }
    Ok(())
}
