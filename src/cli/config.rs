//! `runner config`: a manifest as it is understood.

use super::CliError;
use super::args::ConfigArgs;
use super::{output, setup};
use crate::manifest::resolve;

/// Runs the command.
pub fn run(args: &ConfigArgs) -> Result<(), CliError> {
    let layers = setup::layers(&args.manifest)?;
    let resolved = resolve(&layers)?;
    let value = if args.resolve {
        resolved.manifest
    } else {
        layers.merged()
    };
    let text = toml::to_string(&value).map_err(|error| CliError::Internal(error.to_string()))?;
    output::out().source(&text)?;
    Ok(())
}
