//! The house: which module uses which, against the table in `src/lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::*;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// `| [`plan`] | jobs | manifest, fusion |` as `plan -> {manifest, fusion}`; `None` for "everything".
fn table() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let text = std::fs::read_to_string("src/lib.rs").expect("lib.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.map(|row| {
        let (module, rest) = row.split_once('`').expect("a name");
        let cells: Vec<&str> = rest.trim_end_matches(['|', ' ']).split('|').collect();
        let uses = cells
            .last()
            .expect("a cell")
            .split('(')
            .next()
            .expect("text")
            .trim();
        let uses = match uses {
            "everything" => None,
            "nothing of ours" => Some(BTreeSet::new()),
            list => Some(list.split(',').map(|name| name.trim().to_string()).collect()),
        };
        (module.to_string(), uses)
    })
    .collect()
}

#[test]
fn modules_use_what_the_table_allows() {
    let table = table();
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut edges = 0;
    let mut wrong = Vec::new();
    for file in &files {
        let inside = file.strip_prefix("src").expect("below src");
        let first = inside
            .components()
            .next()
            .expect("a name")
            .as_os_str()
            .to_string_lossy()
            .into_owned();
        let module = first.trim_end_matches(".rs");
        if ["lib", "main", "testing"].contains(&module) || file.ends_with("tests.rs") {
            continue;
        }
        let Some(allowed) = table.get(module) else {
            panic!("`{module}` is not in the table of src/lib.rs")
        };
        let text = std::fs::read_to_string(file).expect("source");
        // What tests use is theirs.
        let code = if text.contains("#![cfg(test)]") { "" } else { &text };
        let code = code.split("#[cfg(test)]").next().expect("text");
        for part in code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| line.split("crate::").skip(1))
        {
            let used: String = part
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            edges += 1;
            if used != module && allowed.as_ref().is_some_and(|allowed| !allowed.contains(&used)) {
                wrong.push(format!("{} uses `{used}`", file.display()));
            }
        }
    }
    assert!(
        edges > 50,
        "only {edges} edges found: does this test still read the sources?"
    );
    assert_eq!(wrong, Vec::<String>::new());
}

/// What a terminal is given passes through one place, where names of files are made harmless.
#[test]
fn one_file_of_the_command_line_writes() {
    let mut files = Vec::new();
    sources(Path::new("src/cli"), &mut files);
    let others = |file: &&PathBuf| !file.ends_with("output.rs") && !file.ends_with("logging.rs");
    assert!(files.iter().filter(others).count() > 30);
    for file in files.iter().filter(others) {
        let text = std::fs::read_to_string(file).expect("source");
        for word in ["println!", "eprint", "print!(", "io::stdout()", "io::stderr()"] {
            let writes = |line: &&str| line.contains(word) && !line.contains("is_terminal");
            assert_eq!(text.lines().find(writes), None, "{}", file.display());
        }
    }
}

#[test]
fn only_the_command_line_prints_and_reads_the_environment() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let ours = |file: &&PathBuf| {
        !file.starts_with("src/cli") && !file.ends_with("main.rs") && !file.ends_with("tests.rs")
    };
    for file in files.iter().filter(ours) {
        let text = std::fs::read_to_string(file).expect("source");
        let code = text.split("#[cfg(test)]").next().expect("text");
        for word in [
            "println!",
            "eprint",
            "env::var",
            "io::stdout()",
            "io::stderr()",
            ".unwrap()",
            "panic!(",
        ] {
            let found = code
                .lines()
                .find(|line| line.contains(word) && !line.trim_start().starts_with("//"));
            assert_eq!(found, None, "{}", file.display());
        }
    }
}
