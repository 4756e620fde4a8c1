//! Paths as users give them: files first, patterns second; and the one order of names with numbers in them.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use glob::{Pattern, PatternError};

/// Natural order: where two names first differ, numbers compare as numbers and everything else as text, so that
/// `model_2` is before `model_10`, and `2_of_10` before `10_of_10`.
///
/// ```
/// use runner::files::natural;
///
/// let mut names = ["part10-mnist5", "part2-mnist5", "part-10"];
/// names.sort_by(|a, b| natural(a, b));
/// assert_eq!(names, ["part-10", "part2-mnist5", "part10-mnist5"]);
/// ```
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (left.first(), right.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (one, other) = (number(&mut left), number(&mut right));
            one.len().cmp(&other.len()).then_with(|| one.cmp(other))
        } else {
            (left, right) = (&left[1..], &right[1..]);
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
    }
    // `02` and `2` are the same number, and not the same name.
    (left.len(), a.len(), a).cmp(&(right.len(), b.len(), b))
}

/// Takes the digits at the beginning; without zeros before them.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    *text = rest;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

/// Natural order of paths: folder by folder, then the file.
pub fn natural_paths(a: &Path, b: &Path) -> Ordering {
    let parts = |path: &Path| -> Vec<String> {
        let names = path.components().map(|part| part.as_os_str().to_string_lossy());
        names.map(std::borrow::Cow::into_owned).collect()
    };
    let (left, right) = (parts(a), parts(b));
    let orders = left.iter().zip(&right).map(|(a, b)| natural(a, b));
    let first = orders.into_iter().find(|order| order.is_ne());
    first.unwrap_or_else(|| left.len().cmp(&right.len()).then_with(|| a.cmp(b)))
}

/// The files that a user means, in natural order: the path itself where it exists, however it is spelt; otherwise those
/// that match it as a pattern. Folders at its beginning that exist as they are written are no patterns either.
pub fn matching(given: &str) -> Result<Vec<PathBuf>, PatternError> {
    let path = PathBuf::from(given);
    if path.exists() {
        return Ok(vec![path]);
    }
    let folders = given
        .match_indices('/')
        .map(|(end, _)| end)
        .filter(|end| *end > 0);
    let there = folders
        .take_while(|&end| Path::new(&given[..end]).is_dir())
        .last();
    let (literal, pattern) = given.split_at(there.unwrap_or(0));
    let found = glob::glob(&format!("{}{pattern}", Pattern::escape(literal)))?;
    // What cannot be looked into has nothing for us.
    let mut files: Vec<PathBuf> = found.flatten().collect();
    files.sort_by(|a, b| natural_paths(a, b));
    Ok(files)
}

/// Why a pattern may match nothing although the file is there; nothing where it has no bracket.
pub fn brackets(pattern: &str) -> Option<String> {
    pattern.contains('[').then(|| {
        format!(
            "where a path does not exist as it is written, `[` begins a list of characters; for the character itself write \
             `[[]`: `{}`",
            pattern.replace('[', "[[]")
        )
    })
}

/// Whether the braces of a path are those of names that exist, and no places to fill in.
pub fn has_own_braces(path: &str) -> bool {
    path.rfind('{').is_some_and(|last| {
        let end = path[last..].find('/').map_or(path.len(), |length| last + length);
        Path::new(&path[..end]).exists()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted<const N: usize>(mut names: [&str; N]) -> [&str; N] {
        names.sort_by(|a, b| natural_paths(Path::new(a), Path::new(b)));
        names
    }

    #[test]
    fn what_differs_decides_by_its_number() {
        for names in [
            ["part2-mnist5.pt", "part10-mnist5.pt"],
            ["m_2_of_10.pt", "m_10_of_10.pt"],
            ["s2/m.pt", "s10/m.pt"],
            ["model_2_epoch30.pt", "model_10_epoch30.pt"],
            ["model_0_epoch9.pt", "model_1_epoch5.pt"],
            ["model_2_9.pt", "model_2_10.pt"],
            ["s1/model_9.pt", "s2/model_1.pt"],
            ["s/m.pt", "s-2/m.pt"],
            ["99999999999999999999999.pt", "100000000000000000000000.pt"],
            ["a", "a2"],
            ["model.pt", "model_2.pt"],
            ["m1.pt", "m01.pt"],
        ] {
            assert_eq!(sorted(names), names);
            assert_eq!(sorted([names[1], names[0]]), names);
        }
    }

    #[test]
    fn a_path_that_exists_is_no_pattern() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let at = |name: &str| format!("{}/{name}", folder.path().display());
        for name in [
            "run[1]/model_10.pt",
            "run[1]/model_2.pt",
            "run1/model_7.pt",
            "a*.pt",
            "ab.pt",
        ] {
            let path = PathBuf::from(at(name));
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::File::create(path).expect("written");
        }
        let found = |pattern: &str| -> Vec<String> {
            let files = matching(&at(pattern)).expect("a pattern");
            let name = |path: &PathBuf| {
                path.strip_prefix(folder.path())
                    .expect("below")
                    .display()
                    .to_string()
            };
            files.iter().map(name).collect()
        };
        assert_eq!(found("run[1]/model_2.pt"), ["run[1]/model_2.pt"]);
        assert_eq!(
            found("run[1]/model_*.pt"),
            ["run[1]/model_2.pt", "run[1]/model_10.pt"]
        );
        assert_eq!(found("run[[]1]/model_2.pt"), ["run[1]/model_2.pt"]);
        assert_eq!(found("run[12]/*.pt"), ["run1/model_7.pt"]);
        assert_eq!(found("a*.pt"), ["a*.pt"]);
        assert_eq!(found("[ab]*.pt"), ["a*.pt", "ab.pt"]);
        assert!(found("run[2]/*.pt").is_empty());
        assert!(matching("run[2/*.pt").is_err());
    }

    #[test]
    fn braces_of_names() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let at = |name: &str| format!("{}/{name}", folder.path().display());
        std::fs::create_dir(at("run{seed}")).expect("made");
        assert!(has_own_braces(&at("run{seed}/model_*.pt")));
        assert!(!has_own_braces(&at("run{parts}/model_*.pt")));
        assert!(!has_own_braces(&at("run/model_*.pt")));
    }
}
