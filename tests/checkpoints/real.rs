//! With PyTorch itself, where `RUNNER_PYTHON` names an interpreter that has it.

use std::path::{Path, PathBuf};
use std::process::Command;

use runner::checkpoint::{Format, Kind, Target, convert};
use serde_json::Value;

use super::open;
use crate::shared::say_skipped;

const SCRIPT: &str = include_str!("real.py");

fn python(action: &str, folder: &Path) -> Option<()> {
    let Some(python) = std::env::var_os("RUNNER_PYTHON").map(PathBuf::from) else {
        say_skipped(
            "checkpoints and PyTorch",
            "RUNNER_PYTHON names no Python with torch",
        );
        return None;
    };
    let output = Command::new(&python)
        .args(["-W", "ignore", "-c", SCRIPT, action])
        .arg(folder)
        .output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    assert!(
        output.status.success(),
        "{action}: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Some(())
}

/// PyTorch writes models and views in both formats; we convert each to a state dict and to safetensors and that to a
/// state dict again; PyTorch loads all of them with `weights_only`, the models into `load_state_dict`, and compares
/// logits and tensors bit by bit.
#[test]
fn pytorch_reads_what_we_write_and_we_read_what_it_writes() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let Some(()) = python("make", folder.path()) else {
        return;
    };
    let path = |name: &str| folder.path().join(name);
    let expected = std::fs::read_to_string(path("expected.json")).expect("readable");
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let cases = expected.as_object().expect("cases by name");
    assert_eq!(cases.len(), 6);
    for (name, tensors) in cases {
        let file = open(&path(&format!("{name}.pt")));
        let format = if name.ends_with("legacy") {
            Format::TorchLegacy
        } else {
            Format::TorchZip
        };
        let kind = if name.starts_with("module") {
            Kind::Module
        } else {
            Kind::StateDict
        };
        assert_eq!((file.format, file.kind), (format, kind), "{name}");
        let found = file
            .tensors
            .iter()
            .map(|info| serde_json::json!([info.name, info.dtype.name(), info.shape]));
        assert_eq!(&found.collect::<Value>(), tensors, "{name}");
        let [first, plain, again] =
            ["out.pt", "out.safetensors", "again.pt"].map(|end| path(&format!("{name}.{end}")));
        convert(file, &first, Target::StateDict).expect("written");
        convert(open(&path(&format!("{name}.pt"))), &plain, Target::Safetensors).expect("written");
        convert(open(&plain), &again, Target::StateDict).expect("written");
    }
    python("check", folder.path());
}
