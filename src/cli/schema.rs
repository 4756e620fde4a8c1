//! `runner schema`: the manifest's JSON Schema, or its reference in Markdown.

use std::io::Write;

use super::CliError;
use super::args::SchemaArgs;
use crate::manifest::{json_schema, reference_markdown};

/// Runs the command.
pub fn run(args: &SchemaArgs) -> Result<(), CliError> {
    let schema = json_schema();
    if args.markdown {
        write!(std::io::stdout(), "{}", reference_markdown(&schema))?;
    } else {
        writeln!(std::io::stdout(), "{schema:#}")?;
    }
    Ok(())
}
