//! How many jobs run at a time, and where.

use std::process::Command;

use super::CliError;
use super::args::{LogFormat, WorkerKind};
use super::error::no_threads;
use crate::job::Resources;
use crate::manifest::ResourceSettings;
use crate::schedule::{Executor, Local, Processes};

/// What this machine has for jobs.
#[derive(Debug, Clone, Copy)]
struct Machine {
    cores: usize,
    /// Bytes; `None` where the system does not say.
    memory: Option<u64>,
}

impl Machine {
    fn this() -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: total_memory(),
        }
    }
}

/// What this process may use: the machine's memory, or less where its control group has a limit.
fn total_memory() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = group.and_then(|text| text.trim().parse::<u64>().ok());
    Some(limit.map_or(total, |limit| limit.min(total)))
}

/// How jobs share the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Jobs at a time.
    pub workers: usize,
    /// Threads of each.
    pub cores: usize,
}

impl Pool {
    /// As many workers as asked for and as cores, memory and GPU allow; the cores they do not ask for are divided among
    /// them. On a GPU one, where nothing says how many: jobs of one process wait for each other's work there, and two
    /// take longer together than one after the other.
    pub fn new(jobs: Option<u16>, limits: &ResourceSettings, on_gpu: bool) -> Self {
        Self::on(Machine::this(), jobs, limits, on_gpu)
    }

    fn on(machine: Machine, jobs: Option<u16>, limits: &ResourceSettings, on_gpu: bool) -> Self {
        let own = limits.cores.map(|cores| cores.min(machine.cores));
        let most = match on_gpu && limits.gpus.is_none() {
            true => 1,
            false => machine.cores,
        };
        let mut workers = jobs.map_or(most, usize::from);
        if let Some(own) = own {
            workers = workers.min(machine.cores / own);
        }
        if let (Some(total), Some(one)) = (machine.memory, limits.memory()) {
            workers = workers.min(usize::try_from(total / one).unwrap_or(usize::MAX));
        }
        if on_gpu && limits.gpus.is_some_and(|share| share > 0.0) {
            workers = workers.min(limits.per_gpu());
        }
        let workers = workers.max(1);
        Self {
            workers,
            cores: own.unwrap_or((machine.cores / workers).max(1)),
        }
    }

    /// Starts the workers for so many jobs.
    pub fn start(
        self,
        jobs: usize,
        kind: WorkerKind,
        limits: &ResourceSettings,
        log_format: LogFormat,
        resources: &Resources,
    ) -> Result<Box<dyn Executor>, CliError> {
        let workers = self.workers.min(jobs);
        if kind == WorkerKind::Threads {
            let local = Local::new(workers, self.cores, resources);
            return Ok(Box::new(local.map_err(|error| no_threads(&error))?));
        }
        // The program as it is now, though another build may have taken its place.
        let this = std::path::Path::new("/proc/self/exe");
        let program = if this.exists() {
            this.to_path_buf()
        } else {
            std::env::current_exe()?
        };
        let device = resources.device_name.clone();
        let command = move || {
            let mut command = Command::new(&program);
            command.args(["worker", "-", "--ordered", "--device", &device]);
            if log_format == LogFormat::Json {
                command.args(["--log-format", "json"]);
            }
            command.env(super::threads::VARIABLE, self.cores.to_string());
            command
        };
        let processes = Processes::new(workers, limits.memory(), Box::new(command), resources);
        Ok(Box::new(processes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_share_cores_memory_and_gpu() {
        let machine = Machine {
            cores: 16,
            memory: Some(64 << 30),
        };
        let pool = |jobs, cores, memory: &str, gpus, on_gpu| {
            let limits = ResourceSettings {
                cores,
                memory: (!memory.is_empty()).then(|| memory.to_string()),
                gpus,
                ..ResourceSettings::default()
            };
            let Pool { workers, cores } = Pool::on(machine, jobs, &limits, on_gpu);
            (workers, cores)
        };
        assert_eq!(pool(None, None, "", None, false), (16, 1));
        assert_eq!(pool(Some(4), None, "", None, false), (4, 4));
        // More jobs than cores were asked for.
        assert_eq!(pool(Some(32), None, "", None, false), (32, 1));
        assert_eq!(pool(None, Some(4), "", None, false), (4, 4));
        assert_eq!(pool(Some(2), Some(4), "", None, false), (2, 4));
        assert_eq!(pool(Some(8), Some(4), "", None, false), (4, 4));
        // A job that wants more than there is gets what there is.
        assert_eq!(pool(None, Some(64), "", None, false), (1, 16));
        assert_eq!(pool(None, None, "20G", None, false), (3, 5));
        assert_eq!(pool(None, None, "200G", None, false), (1, 16));
        assert_eq!(pool(None, None, "", None, true), (1, 16));
        assert_eq!(pool(Some(4), None, "", None, true), (4, 4));
        assert_eq!(pool(None, None, "", Some(0.5), true), (2, 8));
        assert_eq!(pool(None, None, "", Some(1.0 / 3.0), true), (3, 5));
        assert_eq!(pool(None, None, "", Some(0.0), true), (16, 1));
        assert_eq!(pool(None, None, "", Some(0.5), false), (16, 1));
    }
}
