//! Results as a git revision has them.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::CliError;
use crate::result::{create_dir, write_atomic};

/// Copies `index.json` and `records/` of the folder `path`, as of `revision`, into `into`.
pub fn check_out(revision: &str, path: &str, into: &Path) -> Result<(), CliError> {
    let tree = format!("{revision}:{}", path.trim_end_matches('/'));
    let listed = Command::new("git")
        .args(["ls-tree", "-r", "-z", &tree])
        .output()?;
    if !listed.status.success() {
        return Err(CliError::usage(
            format!(
                "git has no `{tree}`: {}",
                String::from_utf8_lossy(&listed.stderr).trim()
            ),
            "give a revision and a path from the repository's root, as in `HEAD~1:results/quickstart`",
        ));
    }
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    // `<mode> blob <hash>\t<path>`
    let files: Vec<(&str, &str)> = text
        .split('\0')
        .filter_map(|line| {
            let (head, name) = line.split_once('\t')?;
            let hash = head.split(' ').nth(2)?;
            let plain = Path::new(name)
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)));
            (plain && (name == "index.json" || name.starts_with("records/"))).then_some((hash, name))
        })
        .collect();
    create_dir(&into.join("records"))?;
    let mut git = Command::new("git")
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut ask), Some(mut answer)) = (git.stdin.take(), git.stdout.take()) else {
        return Err(CliError::Internal("git has no pipes".into()));
    };
    for (hash, name) in &files {
        writeln!(ask, "{hash}")?;
        ask.flush()?;
        let content = blob(&mut answer)?;
        write_atomic(&into.join(name), &content)?;
    }
    drop(ask);
    git.wait()?;
    Ok(())
}

/// Whether git knows a revision of this name.
pub fn is_revision(name: &str) -> bool {
    let asked = Command::new("git")
        .args(["rev-parse", "--quiet", "--verify", "--end-of-options"])
        .arg(format!("{name}^{{commit}}"))
        .output();
    asked.is_ok_and(|output| output.status.success())
}

/// Reads `<hash> blob <size>\n<content>\n`.
fn blob(answer: &mut impl Read) -> Result<Vec<u8>, CliError> {
    let mut head = Vec::new();
    let mut byte = [0];
    loop {
        answer.read_exact(&mut byte)?;
        if byte[0] == b'\n' {
            break;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let size = head
        .rsplit(' ')
        .next()
        .and_then(|size| size.parse::<usize>().ok());
    let size = size.ok_or_else(|| CliError::Internal(format!("git answers `{head}`")))?;
    let mut content = vec![0; size];
    answer.read_exact(&mut content)?;
    answer.read_exact(&mut byte)?;
    Ok(content)
}
