//! Files that a command writes where the user says: nothing that is there is lost.
//!
//! | at the path is | then |
//! | --- | --- |
//! | nothing | the file is written |
//! | a model of the same key, or a figure, page or study of this program | it is replaced |
//! | an input of the command, another model, any other file | refused without `--force` |
//! | a link | the file that it leads to is treated so; a link to nothing is refused |
//! | a folder, a pipe, a device | refused |
//!
//! The ending of the name says the format. All of it is checked before any work begins.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::CliError;
use super::args::PlotFormat;
use crate::checkpoint::{self, Target};
use crate::result::{Study, write_atomic};

/// What a file is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// A model with this key: one with another is another model.
    Model(&'a str),
    /// The findings of one step.
    Study,
    /// A figure.
    Picture,
    /// The page of an experiment.
    Page,
}

/// Where the marks of this program's figures and pages stand.
const HEAD: u64 = 4096;

/// What is in the first bytes of a picture or page of this program.
const MARKS: [(&str, &[&str]); 4] = [
    (
        "svg",
        &[
            "role=\"img\" aria-label=\"",
            "font-family=\"DejaVu Sans, Verdana, sans-serif\"",
        ],
    ),
    ("png", &["Software\0runner"]),
    (
        "tex",
        &["% Needs \\usepackage{pgfplots}\\usepgfplotslibrary{groupplots}"],
    ),
    ("html", &["<meta name=\"generator\" content=\"runner\">"]),
];

/// What a command may write over.
#[derive(Debug, Default)]
pub struct Outputs {
    force: bool,
    inputs: Vec<PathBuf>,
}

/// A file that may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// As the user named it.
    pub path: PathBuf,
    /// The file itself, where that is a link.
    pub target: PathBuf,
}

impl Output {
    /// Writes it, whole or not at all.
    pub fn write(&self, content: &[u8]) -> Result<(), CliError> {
        Ok(write_atomic(&self.target, content)?)
    }
}

impl Outputs {
    /// For a command that reads these files.
    pub fn new(force: bool, inputs: Vec<PathBuf>) -> Self {
        Self { force, inputs }
    }

    /// The file at `path`, which `option` names, if it may be written.
    pub fn check(&self, option: &str, path: &Path, content: Content) -> Result<Output, CliError> {
        check_ending(path, content)?;
        check_folder(option, path)?;
        let output = resolve(path)?;
        if self.force || !output.target.exists() {
            return Ok(output);
        }
        let refuse = |what: &str| {
            Err(CliError::usage(
                format!("`{}` {what}", path.display()),
                "give another path, or replace it with `--force`",
            ))
        };
        if self.inputs.iter().any(|input| is_same(input, &output.target)) {
            return refuse("is one of the files that this command reads");
        }
        match is_own(&output, content) {
            true => Ok(output),
            false => refuse(match content {
                Content::Model(_) if Target::of(path) == Some(Target::StateDict) => {
                    "exists, and a state dict does not say which model it holds"
                }
                Content::Model(_) => "exists, and holds something else than the model to be written",
                Content::Study => "exists, and holds no findings of this program",
                Content::Picture => "exists, and is no figure that this program has drawn",
                Content::Page => "exists, and is no page that this program has written",
            }),
        }
    }
}

/// The file at a path of the program's own choice, such as a page among an experiment's results.
pub fn resolve(path: &Path) -> Result<Output, CliError> {
    let refuse = |what: &str| {
        let message = format!("`{}` {what}", path.display());
        Err(CliError::usage(message, "give the path of a file"))
    };
    let target = match path.canonicalize() {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound => match path.symlink_metadata() {
            Ok(_) => return refuse("is a link to a file that does not exist"),
            Err(_) => path.to_path_buf(),
        },
        Err(error) => return refuse(&format!("cannot be written: {error}")),
    };
    match target.metadata() {
        Ok(metadata) if metadata.is_dir() => refuse("is a folder"),
        Ok(metadata) if !metadata.is_file() => refuse("is not a file, but a pipe or a device"),
        _ => Ok(Output {
            path: path.to_path_buf(),
            target,
        }),
    }
}

/// What would only turn out after the work: a folder that does not exist.
fn check_folder(option: &str, path: &Path) -> Result<(), CliError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        let named = format!("{option} {}", path.display());
        return Err(CliError::usage(
            format!("the folder of `{}` does not exist", named.trim_start()),
            "make it first",
        ));
    }
    Ok(())
}

/// A folder to write `content` to, such as models, made if need be.
pub fn folder(folder: &Path, content: &str) -> Result<(), CliError> {
    if Target::of(folder).is_some() && !folder.is_dir() {
        return Err(CliError::usage(
            format!(
                "`{}` is named like a file, but `--out` is a folder for the {content}",
                folder.display()
            ),
            format!("give the folder alone: the {content} get names of their own in it"),
        ));
    }
    let probe = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    probe.map(drop).map_err(|error| {
        CliError::usage(
            format!("`{}` cannot be written to: {error}", folder.display()),
            "give another folder with `--out DIR`",
        )
    })
}

/// Refuses a name whose ending says another format, or none.
pub fn check_ending(path: &Path, content: Content) -> Result<(), CliError> {
    let ends_in = |known: &str| path.extension().is_some_and(|ending| ending == known);
    let (what, hint) = match content {
        Content::Model(_) if Target::of(path).is_none() => (
            "no format of models",
            "name it `.pt` or `.pth` for a PyTorch state dict, or `.safetensors`",
        ),
        Content::Study if !ends_in("json") => ("no JSON file", "end its name in .json"),
        Content::Page if !ends_in("html") => ("no page", "end its name in .html"),
        Content::Picture => return format_of(path).map(drop),
        _ => return Ok(()),
    };
    Err(CliError::usage(
        format!("`{}` is by its name {what}", path.display()),
        hint,
    ))
}

/// Whether both are one file, by whatever names.
fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let of = |path: &Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((of(a), of(b)), (Ok(a), Ok(b)) if a == b)
    }
    #[cfg(not(unix))]
    {
        matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
    }
}

/// Whether a file is what this program has written there before.
fn is_own(output: &Output, content: Content) -> bool {
    let path = &output.target;
    match content {
        Content::Model(key) => checkpoint::open(path).is_ok_and(|file| file.key() == Some(key)),
        Content::Study => Study::load(path).is_ok(),
        Content::Picture | Content::Page => {
            let mut head = Vec::new();
            let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
            let head = String::from_utf8_lossy(&head);
            let ending = output
                .path
                .extension()
                .and_then(|ending| ending.to_str())
                .unwrap_or_default();
            let marks = MARKS.iter().find(|(known, _)| *known == ending);
            read.is_ok() && marks.is_some_and(|(_, marks)| marks.iter().all(|mark| head.contains(mark)))
        }
    }
}

/// The form that the path's ending names.
pub fn format_of(path: &Path) -> Result<PlotFormat, CliError> {
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    let known = [PlotFormat::Svg, PlotFormat::Png, PlotFormat::Tex];
    let found = known.into_iter().find(|format| format.ending() == ending);
    found.ok_or_else(|| {
        let message = format!("`{}` is no kind of picture that can be drawn", path.display());
        CliError::usage(message, "end its name in .svg, .png or .tex (pgfplots)")
    })
}
