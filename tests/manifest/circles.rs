//! No file of a room uses another that uses it, directly or by way of others.
//!
//! What a `mod.rs` only re-exports is looked up where it is defined: naming `super::Plan` is an edge to the file of `Plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::*;

/// Rooms that still have circles.
const NOT_YET: [&str; 2] = ["arch", "manifest"];

/// The files of `src` by the path of their module, `report::figure::svg`.
fn modules(folder: &Path, path: &[String], found: &mut BTreeMap<Vec<String>, PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("sources").flatten() {
        let file = entry.path();
        let stem = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let inner = [path, std::slice::from_ref(&stem)].concat();
        if file.is_dir() {
            modules(&file, &inner, found);
        } else if file.extension().is_some_and(|ending| ending == "rs") {
            let own = if stem == "mod" { path.to_vec() } else { inner };
            found.insert(own, file);
        }
    }
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return if path.is_empty() {
            Vec::new()
        } else {
            vec![path.trim().to_string()]
        };
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut parts, mut depth, mut part) = (Vec::new(), 0, String::new());
    for c in inner.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    let below = parts.iter().flat_map(|part| leaves(part));
    below.map(|leaf| format!("{head}{leaf}")).collect()
}

/// A path as it stands in a file of module `from`, from the root.
fn absolute(path: &str, from: &[String]) -> Vec<String> {
    let mut base = from.to_vec();
    let mut rest = path.split("::").map(str::trim).peekable();
    match rest.peek() {
        Some(&"crate") => {
            base.clear();
            rest.next();
        }
        Some(&"self") => drop(rest.next()),
        _ => {}
    }
    while rest.next_if_eq(&"super").is_some() {
        base.pop();
    }
    base.extend(rest.map(String::from));
    base
}

/// The `use` declarations of a source, each with whether it exports, and what else there is.
fn declarations(text: &str) -> (Vec<(bool, String)>, String) {
    let (mut found, mut rest) = (Vec::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let after_pub = trimmed
            .strip_prefix("pub")
            .map(|rest| match rest.strip_prefix('(') {
                Some(rest) => rest.split_once(')').map_or("", |(_, rest)| rest).trim_start(),
                None => rest.trim_start(),
            });
        let Some(tree) = after_pub.unwrap_or(trimmed).strip_prefix("use ") else {
            rest += line;
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_string();
        while !tree.contains(';') {
            let Some(line) = lines.next() else { break };
            tree += line.trim();
        }
        found.push((after_pub.is_some(), tree.trim_end_matches(';').to_string()));
    }
    (found, rest)
}

/// Paths in code that begin with `crate` or `super`.
fn inline(code: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c| !is_part(c));
    let paths = words.filter(|word| word.starts_with("crate::") || word.starts_with("super::"));
    paths.map(|path| path.trim_end_matches(':').to_string()).collect()
}

/// Modules of tests that have files of their own are left out, so that what stands behind them counts.
fn without_declared_tests(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_declared = |at: usize| {
        let next = lines.get(at + 1).copied().unwrap_or_default();
        lines[at].trim() == "#[cfg(test)]" && next.contains("mod ") && next.ends_with(';')
    };
    let kept = (0..lines.len()).filter(|&at| !(is_declared(at) || at > 0 && is_declared(at - 1)));
    kept.map(|at| lines[at]).collect::<Vec<_>>().join("\n")
}

struct House {
    files: BTreeMap<Vec<String>, PathBuf>,
    /// What a module re-exports, by its path there: where it comes from.
    exports: BTreeMap<Vec<String>, Vec<String>>,
    code: BTreeMap<Vec<String>, String>,
}

impl House {
    fn read() -> Self {
        let mut files = BTreeMap::new();
        modules(Path::new("src"), &[], &mut files);
        files.retain(|path, _| {
            path.last()
                .is_some_and(|name| name != "tests" && name != "testing")
        });
        let (mut code, mut exports) = (BTreeMap::new(), BTreeMap::new());
        for (path, file) in &files {
            let text = std::fs::read_to_string(file).expect("source");
            let text = if text.contains("#![cfg(test)]") { "" } else { &text };
            let text = without_declared_tests(text);
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let text = lines.collect::<Vec<_>>().join("\n");
            let (declared, _) = declarations(&text);
            // What a root imports for itself its children can name as well.
            let is_root = file.ends_with("mod.rs");
            for (_, tree) in declared.iter().filter(|(exported, _)| *exported || is_root) {
                for leaf in leaves(tree) {
                    let target = absolute(&leaf, path);
                    let name = target.last().cloned().unwrap_or_default();
                    exports.insert([path.as_slice(), &[name]].concat(), target);
                }
            }
            code.insert(path.clone(), text);
        }
        Self { files, exports, code }
    }

    /// The module whose file defines what stands at a path.
    fn defines(&self, path: &[String]) -> Option<Vec<String>> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let longest = (1..=path.len())
                .rev()
                .find(|&n| self.files.contains_key(&path[..n]))?;
            let target = path
                .get(..=longest)
                .and_then(|exported| self.exports.get(exported));
            match target {
                Some(target) if target[..] != path[..target.len().min(path.len())] => {
                    path = [target.as_slice(), &path[longest + 1..]].concat();
                }
                _ => return Some(path[..longest].to_vec()),
            }
        }
        None
    }

    /// The files of the same room that the file of a module uses.
    fn edges(&self, from: &[String]) -> BTreeSet<Vec<String>> {
        let (declared, rest) = declarations(&self.code[from]);
        let private = declared.iter().filter(|(exported, _)| !exported);
        let mut paths: Vec<String> = private.flat_map(|(_, tree)| leaves(tree)).collect();
        paths.extend(inline(&rest));
        let targets = paths
            .iter()
            .filter_map(|path| self.defines(&absolute(path, from)));
        targets
            .filter(|target| target[..] != *from && target.first() == from.first())
            .collect()
    }
}

/// The modules that can be reached from each.
fn reached(edges: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>, from: &[String]) -> BTreeSet<Vec<String>> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_vec()]);
    while let Some(module) = next.pop() {
        for target in edges.get(&module).into_iter().flatten() {
            if seen.insert(target.clone()) {
                next.push(target.clone());
            }
        }
    }
    seen
}

#[test]
fn files_of_a_room_make_no_circles() {
    let house = House::read();
    let edges: BTreeMap<_, _> = house
        .files
        .keys()
        .map(|path| (path.clone(), house.edges(path)))
        .collect();
    let number: usize = edges.values().map(BTreeSet::len).sum();
    assert!(
        number > 300,
        "only {number} edges found: does this test still read the sources?"
    );
    let mut rooms: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for path in edges.keys() {
        if reached(&edges, path).contains(path) {
            let room = path.first().map_or("", String::as_str);
            rooms.entry(room).or_default().push(path.join("::"));
        }
    }
    for room in NOT_YET {
        assert!(
            rooms.remove(room).is_some(),
            "`{room}` has no circle any more: take it from the list"
        );
    }
    assert_eq!(rooms, BTreeMap::new(), "files that use each other");
}
