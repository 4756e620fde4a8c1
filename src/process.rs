//! Who this process is among all that share a folder, on this machine or on others.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// One run of one program on one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Name of the host, for people.
    pub host: String,
    /// The kernel's identifier of this boot, random: two machines never share it, whatever they are called.
    pub boot: String,
    /// The namespace of process numbers: containers of one machine number their own.
    pub namespace: String,
    /// Number of the process.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot: numbers are used again, pairs of number and start are not.
    pub started: u64,
}

static CURRENT: LazyLock<Process> = LazyLock::new(|| {
    let line = |path: &str| {
        std::fs::read_to_string(path)
            .map(|text| text.trim().to_string())
            .unwrap_or_default()
    };
    let pid = std::process::id();
    Process {
        host: line("/proc/sys/kernel/hostname"),
        boot: line("/proc/sys/kernel/random/boot_id"),
        namespace: namespace(),
        pid,
        started: started(pid).unwrap_or_default(),
    }
});

impl Process {
    /// This process.
    pub fn current() -> &'static Self {
        &CURRENT
    }

    /// Whether it ran here, where its end can be seen.
    pub fn is_local(&self) -> bool {
        !self.boot.is_empty() && self.boot == CURRENT.boot && self.namespace == CURRENT.namespace
    }

    /// Whether it is known to have ended. A process of another machine never is.
    pub fn is_gone(&self) -> bool {
        self.is_local() && started(self.pid) != Some(self.started)
    }

    /// A text that no other call gives, here or elsewhere: 16 hex digits.
    pub fn unique() -> String {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let mut hash = blake3::Hasher::new();
        hash.update(&std::fs::read("/proc/sys/kernel/random/uuid").unwrap_or_default());
        hash.update(CURRENT.tag().as_bytes());
        hash.update(&CALLS.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        hash.finalize().to_hex()[..16].to_string()
    }

    /// A short text without `-` that is this process' own, for names of files.
    pub fn tag(&self) -> String {
        format!("{}.{}.{}", self.machine(), self.pid, self.started)
    }

    /// Whether the process of such a [`tag`](Self::tag) is known to have ended.
    pub fn tagged_is_gone(tag: &str) -> bool {
        let mut parts = tag.split('.');
        let machine = parts.next().unwrap_or_default();
        let pid = parts.next().and_then(|text| text.parse().ok());
        let since = parts.next().and_then(|text| text.parse().ok());
        match (pid, since) {
            (Some(pid), Some(since)) => machine == CURRENT.machine() && started(pid) != Some(since),
            _ => false,
        }
    }

    fn machine(&self) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(self.boot.as_bytes())
            .update(self.namespace.as_bytes());
        hash.finalize().to_hex()[..8].to_string()
    }
}

fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid");
    link.map(|link| link.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// When the process started; `None` where there is none of this number, or what is left of it waits for its parent.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; after it come the state and, 19 fields later, the start.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok();
    started.filter(|_| !matches!(state, "Z" | "X"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_once_it_has_ended_and_not_before() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("a process");
        let process = Process {
            pid: child.id(),
            started: started(child.id()).expect("it runs"),
            ..Process::current().clone()
        };
        assert!(!process.is_gone() && !Process::tagged_is_gone(&process.tag()));
        // Another one got the same number later.
        let later = Process {
            started: process.started + 1,
            ..process.clone()
        };
        assert!(later.is_gone());
        let elsewhere = Process {
            boot: "another".into(),
            ..later
        };
        assert!(!elsewhere.is_gone(), "nobody can tell from here");
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert!(process.is_gone() && Process::tagged_is_gone(&process.tag()));
        assert!(!Process::current().is_gone());
        assert!(!Process::tagged_is_gone("nonsense"));
    }
}
