//! Filters that templates may use: `latex`, `prose`, `md`, `html`, `align`.

use std::collections::HashMap;

use tera::{Tera, Value};

use super::escape::{is_hidden, xml};
use super::symbols;

/// Adds the filters.
pub fn register(tera: &mut Tera) {
    add(tera, "latex", latex);
    add(tera, "prose", prose);
    add(tera, "md", markdown);
    add(tera, "html", xml);
    add(tera, "align", align);
}

fn add(tera: &mut Tera, name: &'static str, filter: fn(&str) -> String) {
    tera.register_filter(
        name,
        move |value: &Value, _: &HashMap<String, Value>| match value {
            Value::String(text) => Ok(Value::String(filter(text))),
            Value::Null => Ok(Value::String(String::new())),
            Value::Number(_) | Value::Bool(_) => Ok(Value::String(filter(&value.to_string()))),
            Value::Array(_) | Value::Object(_) => {
                Err(tera::Error::msg(format!("`{name}` takes text, not a list")))
            }
        },
    );
}

/// Text as LaTeX prints it literally, also at the beginning of a line of a table.
pub fn latex(text: &str) -> String {
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || is_hidden(c));
    // Behind the `\\` of the line above they would be read as the argument of that.
    match start.chars().next() {
        Some(c @ ('[' | '*')) => format!("{{{c}}}{}", prose(&start[1..])),
        _ => prose(text),
    }
}

/// Text as LaTeX prints it literally, inside a sentence.
pub fn prose(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '~' => escaped.push_str(r"\textasciitilde{}"),
            '^' => escaped.push_str(r"\textasciicircum{}"),
            '\\' => escaped.push_str(r"\textbackslash{}"),
            '<' => escaped.push_str(r"\textless{}"),
            '>' => escaped.push_str(r"\textgreater{}"),
            '|' => escaped.push_str(r"\textbar{}"),
            c if is_hidden(c) => escaped.push(' '),
            c if c.is_ascii() => escaped.push(c),
            c => symbols::push(c, &mut escaped),
        }
    }
    escaped
}

/// Text as Markdown shows it literally, on one line and in a table's cell too.
pub fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\`*_{}[]<>#|~$&".contains(c) {
            escaped.push('\\');
        }
        escaped.push(if is_hidden(c) { ' ' } else { c });
    }
    escaped
}

/// Pads the cells of the Markdown tables in a text so that their columns stand under each other in a terminal.
/// Columns whose rule ends in `:` are aligned to the right.
pub fn align(text: &str) -> String {
    let mut aligned = String::with_capacity(text.len() * 2);
    let mut table: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with('|') {
            table.push(cells(line));
            continue;
        }
        flush(&mut table, &mut aligned);
        aligned.push_str(line);
        aligned.push('\n');
    }
    flush(&mut table, &mut aligned);
    if !text.ends_with('\n') {
        aligned.pop();
    }
    aligned
}

/// More bytes than any terminal shows: cells of such a table are not padded.
const WIDEST: usize = 8 << 20;

/// The cells of a line, split at the bars that are not escaped.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for c in line.trim().trim_start_matches('|').chars() {
        if c == '|' && !escaped {
            cells.push(String::new());
        } else if let Some(cell) = cells.last_mut() {
            cell.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    if cells.last().is_some_and(|cell| cell.trim().is_empty()) {
        cells.pop();
    }
    cells.iter().map(|cell| cell.trim().to_string()).collect()
}

fn flush(table: &mut Vec<Vec<String>>, into: &mut String) {
    let is_rule = |cell: &str| cell.contains('-') && cell.chars().all(|c| c == '-' || c == ':');
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let rule = table
        .get(1)
        .filter(|cells| cells.iter().all(|cell| is_rule(cell)))
        .cloned();
    let right: Vec<bool> = (0..columns)
        .map(|column| {
            rule.as_ref()
                .and_then(|rule| rule.get(column))
                .is_some_and(|cell| cell.ends_with(':'))
        })
        .collect();
    let wide = |column: usize| {
        let cells = table
            .iter()
            .enumerate()
            .filter(|(row, _)| *row != 1 || rule.is_none());
        let widths = cells
            .filter_map(|(_, cells)| cells.get(column))
            .map(|cell| cell.chars().count());
        widths.max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..columns).map(wide).collect();
    let wide = widths.iter().sum::<usize>().saturating_mul(table.len()) > WIDEST;
    for (row, cells) in table.iter().enumerate() {
        for column in 0..columns {
            let cell = cells.get(column).map_or("", String::as_str);
            let width = if wide { 3 } else { widths[column] };
            let padded = match (row == 1 && rule.is_some(), right[column]) {
                (true, true) => format!("{}:", "-".repeat(width - 1)),
                (true, false) => "-".repeat(width),
                (false, true) => format!("{cell:>width$}"),
                (false, false) => format!("{cell:<width$}"),
            };
            into.push_str("| ");
            into.push_str(&padded);
            into.push(' ');
        }
        into.push_str("|\n");
    }
    table.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::escape::escaped;
    use std::borrow::Cow;

    #[test]
    fn every_special_character_is_escaped() {
        insta::assert_snapshot!(latex(r"_ & % # $ { } ~ ^ \"), @r"\_ \& \% \# \$ \{ \} \textasciitilde{} \textasciicircum{} \textbackslash{}");
        insta::assert_snapshot!(latex("a<b>|\nc"), @r"a\textless{}b\textgreater{}\textbar{} c");
        insta::assert_snapshot!(latex("[8], [16]"), @"{[}8], [16]");
        insta::assert_snapshot!(latex("\u{202e} *x*"), @"{*}x*");
        assert_eq!(prose("*: differs"), "*: differs");
        insta::assert_snapshot!(markdown(r"_ & % # $ { } ~ ^ \ * | `"), @r"\_ \& % \# \$ \{ \} \~ ^ \\ \* \| \`");
    }

    #[test]
    fn hidden_characters_are_shown() {
        assert_eq!(
            escaped("a\u{1b}[31m\nb\u{9b}\u{202e}\u{2028}\té\u{200d}"),
            "a\\u{1b}[31m\\nb\\u{9b}\\u{202e}\\u{2028}\\té\u{200d}"
        );
        assert!(matches!(escaped("α 😀 \\"), Cow::Borrowed(_)));
    }

    #[test]
    fn cells_are_padded_by_characters_and_escaped_bars_are_no_border() {
        let text = "before\n| a \\| b | é |\n|---|--:|\n| x | (±1) |\n| y |\nafter";
        insta::assert_snapshot!(align(text), @r"
        before
        | a \| b |    é |
        | ------ | ---: |
        | x      | (±1) |
        | y      |      |
        after
        ");
    }
}
