//! Text that is safe to show: as XML, and on terminals.

use std::borrow::Cow;

/// Text as XML shows it literally; characters that XML cannot hold are dropped.
pub fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if is_hidden(c) => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Whether a character is not seen itself but changes how others are: control characters, line separators, and what turns
/// the direction of writing.
pub fn is_hidden(c: char) -> bool {
    let directs = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || directs(c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Returns a text from a file as a terminal shows it literally, on one line: `\u{1b}` for an escape character.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match is_hidden(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    Cow::Owned(text.chars().map(shown).collect())
}
