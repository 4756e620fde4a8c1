//! From a key path to a place in a TOML text.

use std::cell::OnceCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, TomlError, Value};

use super::Location;

/// A parsed file that remembers where everything stands.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub path: PathBuf,
    text: String,
    document: Document<String>,
    /// Where lines begin: a manifest of many mistakes is long.
    lines: OnceCell<Vec<usize>>,
}

#[derive(Clone, Copy)]
enum Node<'a> {
    Item(&'a Item),
    Table(&'a toml_edit::Table),
    Value(&'a Value),
}

impl SourceFile {
    pub fn parse(path: PathBuf, text: String) -> Result<Self, TomlError> {
        let document = Document::parse(text.clone())?;
        Ok(Self {
            path,
            text,
            document,
            lines: OnceCell::new(),
        })
    }

    /// How many leading components of `path` exist here.
    pub fn depth(&self, path: &[String]) -> usize {
        (0..=path.len())
            .rev()
            .find(|&n| self.node(&path[..n]).is_some())
            .unwrap_or(0)
    }

    /// The place of the value at `path`, or of its key.
    pub fn locate(&self, path: &[String], at_key: bool) -> Option<Box<Location>> {
        let span = if at_key { self.key_span(path) } else { None }.or_else(|| match self.node(path)? {
            Node::Item(item) => item.span(),
            Node::Table(table) => table.span(),
            Node::Value(value) => value.span(),
        });
        span.filter(|_| !path.is_empty())
            .map(|span| Box::new(location(&self.path, &self.text, &span, self.lines())))
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| line_starts(&self.text))
    }

    fn node(&self, path: &[String]) -> Option<Node<'_>> {
        let mut node = Node::Item(self.document.as_item());
        for part in path {
            node = step(node, part)?;
        }
        Some(node)
    }

    fn key_span(&self, path: &[String]) -> Option<Range<usize>> {
        let (last, parents) = path.split_last()?;
        let key = match self.node(parents)? {
            Node::Item(item) => item.as_table_like()?.key(last)?,
            Node::Table(table) => table.key(last)?,
            Node::Value(value) => value.as_inline_table()?.key(last)?,
        };
        key.span()
    }
}

fn step<'a>(node: Node<'a>, part: &str) -> Option<Node<'a>> {
    let index = || part.parse::<usize>().ok();
    match node {
        Node::Item(Item::ArrayOfTables(tables)) => tables.get(index()?).map(Node::Table),
        Node::Item(Item::Value(value)) | Node::Value(value) => match value {
            Value::Array(items) => items.get(index()?).map(Node::Value),
            Value::InlineTable(table) => table.get(part).map(Node::Value),
            _ => None,
        },
        Node::Item(item) => item.as_table_like()?.get(part).map(Node::Item),
        Node::Table(table) => table.get(part).map(Node::Item),
    }
}

/// The place of a part of a text.
pub(super) fn location_of_span(path: &Path, text: &str, span: &Range<usize>) -> Location {
    location(path, text, span, &line_starts(text))
}

fn line_starts(text: &str) -> Vec<usize> {
    let ends = text.match_indices('\n').map(|(end, _)| end + 1);
    std::iter::once(0).chain(ends).collect()
}

fn location(path: &Path, text: &str, span: &Range<usize>, lines: &[usize]) -> Location {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let line = lines.partition_point(|&line| line <= start);
    let line_start = lines[line - 1];
    let line_text = text[line_start..].lines().next().unwrap_or("");
    let column = text[line_start..start].chars().count() + 1;
    let end = span
        .end
        .clamp(start, line_start + line_text.len().max(start - line_start));
    let width = text.get(start..end).map_or(1, |marked| marked.chars().count());
    Location {
        file: path.to_path_buf(),
        line,
        column,
        text: line_text.to_string(),
        width,
    }
}
