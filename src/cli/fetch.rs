//! `runner fetch`: data sets into the data folder.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use super::args::{FetchArgs, Global};
use super::error::{chain, data_problem};
use super::{output, setup};
use crate::data::fetch::{Fetch, FetchError, Fetched, HUB, Progress};
use crate::data::{DataError, DatasetSettings};
use crate::manifest::Problem;
use crate::report::escaped;

/// Runs the command: downloads what is not there, then decodes and checks it.
pub fn run(args: &FetchArgs, global: &Global) -> Result<(), CliError> {
    // The variable of the hub's own programs.
    let hub = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| HUB.to_owned());
    for name in &args.names {
        crate::data::known(name).map_err(|error| data_problem(&error, name))?;
        let data_dir = global.data_dir.as_deref();
        let data_dir =
            data_dir.ok_or_else(|| data_problem(&DataError::NoFolder { name: name.clone() }, name))?;
        let fetch = Fetch {
            name,
            size: args.size,
            data_dir,
            from: args.from.as_deref(),
            hub: &hub,
        };
        let mut bar = Bar::new();
        let fetched = fetch.run(&mut |progress| bar.show(&progress));
        bar.finish();
        let fetched = fetched.map_err(|error| problem(&error))?;
        show(name, &fetched, args.size, global)?;
    }
    Ok(())
}

/// What there is now, after a look at it.
fn show(name: &str, fetched: &Fetched, size: Option<usize>, global: &Global) -> Result<(), CliError> {
    let settings = DatasetSettings {
        size,
        ..DatasetSettings::named(name)
    };
    let found = setup::sets(global).find(&settings);
    let info = found.map_err(|error| data_problem(&error, name))?.info;
    let [channels, height, width] = info.shape;
    writeln!(
        output::out(),
        "{name}: {} training and {} test images of {channels} x {height} x {width} in {} classes; {} files fetched, {} up \
         to date, in {}",
        info.train,
        info.test,
        info.classes,
        fetched.new.len(),
        fetched.kept.len(),
        fetched.folder.display()
    )?;
    Ok(())
}

fn problem(error: &FetchError) -> Problem {
    let mut problem = Problem::new(chain(error));
    problem.hint = error.hint();
    problem
}

/// A bar for each file on standard error, if that is a terminal.
struct Bar {
    terminal: bool,
    file: String,
    shown: Option<ProgressBar>,
}

impl Bar {
    fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal() && !output::is_json(),
            file: String::new(),
            shown: None,
        }
    }

    fn show(&mut self, progress: &Progress) {
        if self.file != progress.file {
            progress.file.clone_into(&mut self.file);
            if !self.terminal {
                return;
            }
            let bar = progress
                .total
                .map_or_else(ProgressBar::no_length, ProgressBar::new);
            let style =
                ProgressStyle::with_template("{bar:24} {bytes}/{total_bytes}, {bytes_per_sec}  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(escaped(&self.file).into_owned());
            self.shown = Some(bar);
        }
        if let Some(bar) = &self.shown {
            bar.set_position(progress.done);
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}
