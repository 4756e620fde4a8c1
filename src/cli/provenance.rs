//! Where results come from: program, host, commit, manifest.

use std::path::Path;
use std::process::Command;

use crate::manifest::Resolved;
use crate::result::{Provenance, canonical_json};

/// What all records of this run say.
pub fn provenance(path: &Path, manifest: &Resolved, device: &str) -> Provenance {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let manifest_commit = git(folder, &["rev-parse", "HEAD"]);
    let manifest_committed = manifest_commit.as_ref().and_then(|_| {
        let name = path.file_name()?.to_str()?;
        let status = git(folder, &["status", "--porcelain", "--ignored", "--", name])?;
        Some(status.is_empty())
    });
    Provenance {
        host: std::fs::read_to_string("/proc/sys/kernel/hostname")
            .ok()
            .map(|name| name.trim().to_string()),
        manifest_commit,
        manifest_committed,
        manifest_hash: manifest_hash(manifest),
        ..program(device)
    }
}

/// The program and the device it computes on.
pub fn program(device: &str) -> Provenance {
    let features = [("cuda", cfg!(feature = "cuda"))];
    let features = features.iter().filter(|(_, on)| *on);
    Provenance {
        runner: env!("CARGO_PKG_VERSION").to_string(),
        commit: option_env!("RUNNER_BUILD_COMMIT").map(String::from),
        dirty: option_env!("RUNNER_BUILD_DIRTY").map(|dirty| dirty == "true"),
        features: features.map(|(name, _)| (*name).to_string()).collect(),
        cpu: Some(cpu()),
        device: device.to_string(),
        ..Provenance::default()
    }
}

/// Kind of this machine's CPU: its architecture, and the vector instructions on which the order of sums may depend.
pub fn cpu() -> String {
    #[cfg(target_arch = "x86_64")]
    let features = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(target_arch = "aarch64")]
    let features = [("neon", std::arch::is_aarch64_feature_detected!("neon"))];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let features: [(&str, bool); 0] = [];
    let names = features.iter().filter(|(_, has)| *has).map(|(name, _)| *name);
    let names = names.collect::<Vec<&str>>().join(" ");
    match names.is_empty() {
        true => std::env::consts::ARCH.to_string(),
        false => format!("{}: {names}", std::env::consts::ARCH),
    }
}

/// blake3 of the resolved manifest, without where its jobs run.
pub fn manifest_hash(manifest: &Resolved) -> String {
    let mut manifest = manifest.manifest.clone();
    if let Some(fields) = manifest.as_object_mut() {
        fields.remove("slurm");
    }
    blake3::hash(canonical_json(&manifest).as_bytes())
        .to_hex()
        .to_string()
}

/// Whether something in the folder is committed and differs from that. What was never committed does not.
pub fn is_changed(folder: &Path) -> bool {
    let status = git(
        folder,
        &["status", "--porcelain", "--untracked-files=no", "--", "."],
    );
    status.is_some_and(|text| !text.is_empty())
}

/// The output of git, or nothing where there is no git or no repository.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}
