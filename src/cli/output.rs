//! Standard output and standard error: everything a command says passes through here.
//!
//! Names and texts of files are not trusted. On standard output one `writeln!` is one line, whatever it shows: control
//! characters, line feeds among them, are written as `\u{1b}` and `\n`. Messages on standard error are the same lines, or,
//! with `--log-format json`, one JSON object each, of the shape that log lines have.

use std::fmt;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::args::LogFormat;
use crate::manifest::{Location, Problem};
use crate::report::{escaped, is_hidden};

/// Whether messages are JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Decides the form of messages, those of a panic among them.
pub fn init(format: LogFormat) {
    if format == LogFormat::Human {
        return;
    }
    JSON.store(true, Ordering::Relaxed);
    std::panic::set_hook(Box::new(|panic| {
        if !crate::guard::is_here() {
            let text = format!("internal error: {panic}");
            say(Level::Error, &text, None, &Map::new());
        }
    }));
}

/// Whether messages are JSON; then there are no progress bars either.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Standard output.
pub fn out() -> Out<StdoutLock<'static>> {
    Out::over(io::stdout().lock())
}

/// Standard output for lines by the hundred thousand: call `flush` at the end.
pub fn buffered() -> Out<BufWriter<StdoutLock<'static>>> {
    Out::over(BufWriter::new(io::stdout().lock()))
}

/// A writer of lines. It takes `write!` and `writeln!`, whose line feed at the end is the only one that counts.
pub struct Out<W: Write>(W);

impl<W: Write> Out<W> {
    /// Writes lines to `inner`.
    pub fn over(inner: W) -> Self {
        Self(inner)
    }

    /// Writes a line, or a part of one; `write!` and `writeln!` call it.
    pub fn write_fmt(&mut self, line: fmt::Arguments<'_>) -> io::Result<()> {
        let text = line.to_string();
        let shown = match text.strip_suffix('\n') {
            Some(line) => escaped(line).into_owned() + "\n",
            None => escaped(&text).into_owned(),
        };
        self.0.write_all(shown.as_bytes())
    }

    /// Writes lines of text that is trusted to be several, such as a table.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(lines(text, char::escape_default).as_bytes())
    }

    /// Writes lines of JSON or TOML, in whose strings a character may be given by its number, and ends the last.
    pub fn source(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.0, "{}", numbered(text.trim_end_matches('\n')))
    }

    /// Writes a JSON document.
    pub fn json(&mut self, document: &Value) -> io::Result<()> {
        self.source(&format!("{document:#}"))
    }

    /// Writes a JSON document on one line.
    pub fn json_line(&mut self, document: &Value) -> io::Result<()> {
        self.source(&document.to_string())
    }

    /// Writes bytes as they are.
    pub fn verbatim(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Hands on what the writer below holds back.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Replaces all hidden characters but line ends and tabs.
fn lines<T: fmt::Display>(text: &str, escape: impl Fn(char) -> T) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let ends = c == '\r' && rest.peek() == Some(&'\n');
        match is_hidden(c) && !ends && !['\n', '\t'].contains(&c) {
            true => shown.push_str(&escape(c).to_string()),
            false => shown.push(c),
        }
    }
    shown
}

/// Replaces hidden characters as JSON and TOML do: `\u009b`.
pub fn numbered(text: &str) -> String {
    lines(text, |c| format!("\\u{:04x}", u32::from(c)))
}

/// Whether a text of several lines has control characters in it.
pub fn is_hostile(text: &str) -> bool {
    text.contains(|c| is_hidden(c) && !['\n', '\t'].contains(&c))
}

/// Writes lines to standard error, without their control characters.
pub fn plain(text: &str) {
    write(&lines(text, char::escape_default));
}

/// How serious a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What was done.
    Info,
    /// What the user should know; shows as `note: `.
    Note,
    /// What is surely not meant; shows as `warning: `.
    Warning,
    /// A job failed.
    Failed,
    /// The command failed; shows as `error: `.
    Error,
}

impl Level {
    fn prefix(self) -> &'static str {
        match self {
            Self::Info | Self::Failed => "",
            Self::Note => "note: ",
            Self::Warning => "warning: ",
            Self::Error => "error: ",
        }
    }

    /// As log lines have it.
    fn name(self) -> &'static str {
        match self {
            Self::Info | Self::Note => "INFO",
            Self::Warning => "WARN",
            Self::Failed | Self::Error => "ERROR",
        }
    }
}

/// Tells what was done.
pub fn info(text: impl AsRef<str>) {
    say(Level::Info, text.as_ref(), None, &Map::new());
}

/// Tells what the user should know.
pub fn note(text: impl AsRef<str>) {
    say(Level::Note, text.as_ref(), None, &Map::new());
}

/// Tells what is surely not meant.
pub fn warning(text: impl AsRef<str>) {
    say(Level::Warning, text.as_ref(), None, &Map::new());
}

/// Tells how to go on after what was said before.
pub fn hint(text: impl AsRef<str>) {
    let text = text.as_ref();
    if is_json() {
        info(format!("hint: {text}"));
    } else {
        write(&format!("\nhint: {}\n", indented(text)));
    }
}

/// Tells that Ctrl-C was heard, below the line that it is echoed on.
pub fn stopping() {
    let text = "stopping (once more to stop at once) ...";
    if is_json() {
        info(text);
    } else {
        write(&format!("\n{text}\n"));
    }
}

/// Tells that a job failed, and why.
pub fn failed(job: &str, error: &str, hint: Option<&str>) {
    let fields = Map::from_iter([
        ("job".to_string(), job.into()),
        ("error".to_string(), error.into()),
    ]);
    say(Level::Failed, &format!("failed: {job}: {error}"), hint, &fields);
}

/// Tells of a job that failed, in words of one's own.
pub fn complaint(text: &str) {
    say(Level::Failed, text, None, &Map::new());
}

/// Tells one thing with everything there is to say about it.
pub fn say(level: Level, text: &str, hint: Option<&str>, fields: &Map<String, Value>) {
    if is_json() {
        object(level, text, hint, fields);
        return;
    }
    let hint = hint.map(|hint| {
        // A job's failure is one of many lines.
        let gap = if level == Level::Failed { "" } else { "\n" };
        format!("{gap}hint: {}\n", indented(hint))
    });
    write(&format!(
        "{}{}\n{}",
        level.prefix(),
        escaped(text),
        hint.unwrap_or_default()
    ));
}

/// Tells of problems, with an empty line between two.
pub fn problems(level: Level, problems: &[Problem]) {
    if is_json() {
        for problem in problems {
            let mut fields = Map::new();
            if let Some(at) = &problem.location {
                fields.insert("file".into(), at.file.display().to_string().into());
                fields.insert("line".into(), at.line.into());
                fields.insert("column".into(), at.column.into());
            }
            if let Some(origin) = &problem.origin {
                fields.insert("origin".into(), origin.as_str().into());
            }
            object(level, &problem.message, problem.hint.as_deref(), &fields);
        }
        return;
    }
    let texts: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}{}\n", level.prefix(), shown(problem)))
        .collect();
    write(&texts.join("\n"));
}

/// The same problem with nothing hidden in it.
fn shown(problem: &Problem) -> Problem {
    let location = problem.location.as_ref().map(|at| {
        Box::new(Location {
            file: PathBuf::from(&*escaped(&at.file.display().to_string())),
            // One for one, so that marks stay below what they mark.
            text: at.text.replace(|c| is_hidden(c) && c != '\t', "\u{fffd}"),
            ..(**at).clone()
        })
    });
    Problem {
        message: escaped(&problem.message).into_owned(),
        location,
        origin: problem.origin.as_deref().map(|text| escaped(text).into_owned()),
        hint: problem.hint.as_deref().map(indented),
    }
}

/// A hint may have further lines, which are empty or indented: text from a file cannot begin one.
fn indented(hint: &str) -> String {
    let mut shown = String::new();
    for (at, line) in hint.split('\n').enumerate() {
        if at > 0 {
            let structure = line.is_empty() || line.starts_with("    ");
            shown.push_str(if structure { "\n" } else { "\\n" });
        }
        shown.push_str(&escaped(line));
    }
    shown
}

/// A line of the log.
fn object(level: Level, text: &str, hint: Option<&str>, fields: &Map<String, Value>) {
    let mut all = Map::from_iter([("message".to_string(), Value::from(text))]);
    if let Some(hint) = hint {
        all.insert("hint".into(), hint.into());
    }
    all.extend(fields.clone());
    let line = json!({
        "timestamp": humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
        "level": level.name(),
        "fields": all,
        "target": "runner::cli",
    });
    write(&(numbered(&line.to_string()) + "\n"));
}

/// Writes at once, so that lines of several threads do not mix. Nobody can be told that standard error is closed.
fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Out<&mut Vec<u8>>) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&mut Out::over(&mut bytes)).expect("memory");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        let name = "w\u{1b}[31m\nINJECT\u{9b}\u{202e}";
        assert_eq!(
            written(|out| writeln!(out, "{name}  F32")),
            "w\\u{1b}[31m\\nINJECT\\u{9b}\\u{202e}  F32\n"
        );
        assert_eq!(written(|out| write!(out, "é \t")), "é \\t");
        assert_eq!(
            written(|out| out.text("a\r\n\tb\r\u{1b}\n")),
            "a\r\n\tb\\r\\u{1b}\n"
        );
    }

    #[test]
    fn json_stays_json() {
        let text = written(|out| out.json(&json!({ "name": "\u{9b}\u{1b}\n\u{202e}é" })));
        let parsed: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(parsed["name"], "\u{9b}\u{1b}\n\u{202e}é");
        assert!(!text.contains(['\u{9b}', '\u{1b}', '\u{202e}']), "{text}");
    }

    #[test]
    fn problems_hide_nothing() {
        let problem = Problem {
            message: "unknown key `a\nb`".into(),
            location: Some(Box::new(Location {
                file: "m\u{1b}.toml".into(),
                line: 3,
                column: 3,
                text: "\u{1b}\tx = 1".into(),
                width: 1,
            })),
            origin: None,
            hint: Some("drop it\n\n    [[exclude]]\nerror: forged".into()),
        };
        assert_eq!(
            shown(&problem).to_string(),
            "unknown key `a\\nb`\n  --> m\\u{1b}.toml:3:3\n   |\n 3 | \u{fffd}\tx = 1\n   |  \t^\n\nhint: drop it\n\n    [[exclude]]\\nerror: forged"
        );
    }
}
