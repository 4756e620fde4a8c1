//! The tags of a template, found without parsing it: the parser of the template engine recurses, takes time that grows
//! exponentially with nested parentheses, and tells of no place once it has parsed. So what nests too deeply is refused here.

/// Tags inside each other.
const MOST_NESTED: usize = 64;
/// Bytes of one tag.
const LONGEST: usize = 8 << 10;
/// Steps that the parser takes for the parentheses and brackets of all tags: four times as many for each level.
const MOST_STEPS: u64 = 1 << 18;
/// The same of one tag.
const MOST_OF_ONE: u64 = 1 << 14;

/// Line and column, from 1.
pub(super) type Place = (usize, usize);

/// What is wrong, and where.
pub(super) type Fault = (Option<Place>, String);

/// The places of all tags that become nodes with expressions or names of templates, in order.
pub(super) fn places(text: &str) -> Result<Vec<Place>, Fault> {
    let mut lines = Lines::default();
    let mut places = Vec::new();
    let (mut from, mut nested, mut all_steps) = (0, 0_usize, 0_u64);
    while let Some(start) = text[from..].find('{').map(|at| from + at) {
        let close = match text.as_bytes().get(start + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                from = start + 1;
                continue;
            }
        };
        let place = lines.place(text, start);
        let inside = &text[start + 2..];
        let (length, steps) = match close {
            "#}" => (inside.find(close).unwrap_or(inside.len()), 0),
            _ => measure(inside, close),
        };
        from = start + 2 + length;
        if close == "#}" {
            continue;
        }
        if length > LONGEST {
            return Err((Some(place), format!("a tag has more than {LONGEST} bytes")));
        }
        all_steps = all_steps.saturating_add(steps);
        if steps > MOST_OF_ONE || all_steps > MOST_STEPS {
            let reason = "its parentheses and brackets are nested too deeply";
            return Err((Some(place), reason.to_owned()));
        }
        let word = inside.trim_start_matches('-').trim_start();
        let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let word = &word[..end.unwrap_or(word.len())];
        match word {
            _ if close == "}}" => places.push(place),
            "raw" => from = text[from..].find("endraw").map_or(text.len(), |at| from + at),
            "set" | "set_global" | "include" | "extends" | "import" => places.push(place),
            "if" | "for" | "filter" | "macro" | "block" => {
                nested += 1;
                if word != "block" {
                    places.push(place);
                }
                if nested > MOST_NESTED {
                    let reason = format!("more than {MOST_NESTED} tags are inside each other");
                    return Err((Some(place), reason));
                }
            }
            "endif" | "endfor" | "endfilter" | "endmacro" | "endblock" => nested = nested.saturating_sub(1),
            _ => {}
        }
    }
    Ok(places)
}

/// Bytes up to the end of a tag, which is not looked for in quoted text, and steps of the parser.
fn measure(inside: &str, close: &str) -> (usize, u64) {
    let (mut quote, mut depth, mut steps) = (None, 0_u32, 0_u64);
    for (at, byte) in inside.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) => quote = Some(open).filter(|_| open != byte),
            (None, b'"' | b'\'' | b'`') => quote = Some(byte),
            (None, b'(' | b'[') => {
                depth += 1;
                steps = steps.saturating_add(4_u64.saturating_pow(depth));
            }
            (None, b')' | b']') => depth = depth.saturating_sub(1),
            (None, _) if inside.as_bytes()[at..].starts_with(close.as_bytes()) => return (at, steps),
            _ => {}
        }
    }
    (inside.len(), steps)
}

/// Counts lines on the way through a text.
#[derive(Default)]
struct Lines {
    counted: usize,
    before: usize,
    start: usize,
}

impl Lines {
    fn place(&mut self, text: &str, at: usize) -> Place {
        for (newline, _) in text[self.counted..at].match_indices('\n') {
            self.before += 1;
            self.start = self.counted + newline + 1;
        }
        self.counted = at;
        (self.before + 1, text[self.start..at].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_tags_outside_of_comments_raw_text_and_quotes() {
        let text = "{# {{ a }} #}{{ \"}} {% if x %}\" }}\né{% raw %}{{ b }}{% endraw %}{%- set c = 1 %}\n\n {% for d in e %}{% endfor %}";
        assert_eq!(places(text), Ok(vec![(1, 14), (2, 30), (4, 2)]));
    }

    #[test]
    fn too_much_nesting_is_refused_where_it_begins_to_be_too_much() {
        let deep = |n: usize| format!("\n{}{}", "{% if 1 %}".repeat(n), "{% endif %}".repeat(n));
        assert!(places(&deep(64)).is_ok());
        assert_eq!(places(&deep(20_000)).expect_err("deep").0, Some((2, 641)));
        let calls = |n: usize| format!("{{{{ {}1{} }}}}", "f(a=".repeat(n), ")".repeat(n));
        assert!(places(&calls(5)).is_ok());
        assert!(places(&calls(10)).is_err());
        let long = format!("{{{{ {} }}}}", "1+".repeat(10_000));
        assert!(places(&long).is_err());
        // An end that never comes is for the parser to tell.
        assert!(places("{{ a").is_ok());
    }
}
