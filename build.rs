//! Tells the program which commit it was built from, so that records can name it.

use std::path::Path;
use std::process::Command;

/// What the program is made of.
const SOURCES: [&str; 6] = [
    "src",
    "assets",
    "templates",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    // Of another repository, which only holds this one's files, the commit would mean nothing.
    let own = git(&["rev-parse", "--show-toplevel"]).and_then(|top| Path::new(&top).canonicalize().ok());
    if own.is_none() || own != Path::new(".").canonicalize().ok() {
        return;
    }
    // The log of HEAD grows with every commit and checkout.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    if let Some(commit) = git(&["rev-parse", "HEAD"]) {
        println!("cargo::rustc-env=RUNNER_BUILD_COMMIT={commit}");
    }
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES);
    if let Some(changes) = git(&status) {
        println!("cargo::rustc-env=RUNNER_BUILD_DIRTY={}", !changes.is_empty());
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}
