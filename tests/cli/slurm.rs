//! On a real Slurm: two nodes on this machine, started by `../shared/tools/slurm-dev-cluster`. One test at a time, as
//! some of them end nodes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;
use crate::shared::{say_skipped, shared};

mod after;
mod disturbed;
mod submitting;

/// The cluster of all these tests, which ends with the test program.
struct Cluster {
    folder: PathBuf,
    tool: PathBuf,
    port: u16,
    /// Ends the cluster after this process, whatever ends it.
    _watcher: Option<Child>,
}

/// What the tool does not set: arrays of a few tasks, partitions whose jobs push those of others out, memory that is watched
/// without cgroups.
const SETTINGS: &str = "MaxArraySize=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
DefMemPerCPU=1024
";

/// `None` once it is known that there is none.
static CLUSTER: LazyLock<Option<Cluster>> = LazyLock::new(Cluster::start);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl Cluster {
    fn start() -> Option<Self> {
        let what = "everything on Slurm";
        let tool = shared(what)?.join("tools/slurm-dev-cluster");
        if !tool.is_file() {
            say_skipped(what, "`shared` has no tools/slurm-dev-cluster");
            return None;
        }
        for program in ["slurmctld", "slurmd", "munged", "sbatch"] {
            let here = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
            if !here.iter().any(|folder| Path::new(folder).join(program).exists()) {
                say_skipped(what, &format!("`{program}` is not installed"));
                return None;
            }
        }
        if !std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
            say_skipped(what, "the cluster needs root");
            return None;
        }
        let pid = std::process::id();
        let cluster = Self {
            folder: std::env::temp_dir().join(format!("runner-slurm-{pid}")),
            tool,
            port: 20_000 + (pid % 10_000) as u16 * 4,
            _watcher: None,
        };
        let output = cluster.tool("start").output().expect("bash");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        cluster.set();
        let tool = cluster.tool.display().to_string();
        let script = format!(
            "while kill -0 {pid}; do sleep 0.5; done; '{tool}' stop; rm -rf '{}'",
            cluster.folder.display()
        );
        let mut command = cluster.command("bash");
        command
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Some(Self {
            _watcher: Some(command.spawn().expect("bash")),
            ..cluster
        })
    }

    /// Starts what is not running any more.
    fn start_again(&self) {
        assert!(self.tool("start").status().expect("bash").success());
        self.write_settings();
    }

    fn write_settings(&self) {
        let path = self.folder.join("slurm.conf");
        let conf = std::fs::read_to_string(&path).expect("written by the tool");
        // Memory that nobody shares out is not watched either.
        let conf = conf.replace("CR_Core\n", "CR_Core_Memory\n");
        runner::result::write_atomic(&path, format!("{conf}{SETTINGS}").as_bytes()).expect("written");
    }

    /// Has the daemons begin again with more settings.
    fn set(&self) {
        self.write_settings();
        let path = self.folder.join("slurm.conf");
        for daemon in ["slurmctld", "n1", "n2"] {
            let pid = self.pid(daemon);
            let kill = std::process::Command::new("kill").arg(&pid).status();
            assert!(kill.expect("kill").success());
            until("it has ended", || !Path::new("/proc").join(&pid).exists());
            let conf = path.to_string_lossy();
            let (program, node): (_, &[&str]) = match daemon {
                "slurmctld" => ("/usr/sbin/slurmctld", &[]),
                node => ("/usr/sbin/slurmd", &["-N", node]),
            };
            let mut command = self.command(program);
            command.args(node).args(["-f", &conf]).stderr(Stdio::null());
            assert!(command.status().expect("installed").success(), "{daemon}");
        }
        until("the nodes are back", || {
            let states = self.command("sinfo").args(["-hN", "-o", "%T"]).output();
            let states = states.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            states.is_ok_and(|states| !states.is_empty() && states.lines().all(|state| state == "idle"))
        });
    }

    fn command(&self, program: &str) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        command
            .env("SLURM_DEV_DIR", &self.folder)
            .env("SLURM_DEV_PORT", self.port.to_string())
            .env("SLURM_CONF", self.folder.join("slurm.conf"));
        command
    }

    fn tool(&self, what: &str) -> std::process::Command {
        let mut command = self.command("bash");
        command.arg(&self.tool).arg(what);
        command
    }

    /// What a command of Slurm prints.
    #[track_caller]
    fn slurm(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program).args(args).output().expect("installed");
        let run = Run::of(output).ok();
        run.stdout
    }

    /// The tasks that are queued or running, `NAME STATE`.
    fn queued(&self) -> Vec<String> {
        let text = self.slurm("squeue", &["-h", "-r", "-o", "%i %T"]);
        text.lines().map(String::from).collect()
    }

    fn pid(&self, daemon: &str) -> String {
        let text = std::fs::read_to_string(self.folder.join(format!("run/{daemon}.pid")));
        text.expect("it runs").trim().to_string()
    }
}

/// A bench on the cluster.
struct Here {
    bench: Bench,
    cluster: &'static Cluster,
    _alone: MutexGuard<'static, ()>,
}

impl std::ops::Deref for Here {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let _ = self.cluster.command("scancel").args(["--user", "root"]).output();
        // Another panic would end all tests, and take the first one's words along.
        if std::thread::panicking() {
            return;
        }
        until("the queue is empty", || self.cluster.queued().is_empty());
        // The tool counts the lines of `sinfo`.
        let _ = self
            .cluster
            .command("scontrol")
            .args(["delete", "PartitionName=urgent"])
            .output();
    }
}

impl Here {
    fn with(manifest: &str) -> Option<Self> {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self {
            cluster: CLUSTER.as_ref()?,
            bench: Bench::with(manifest),
            _alone: alone,
        })
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.bench.std(args);
        command
            .env("SLURM_CONF", self.cluster.folder.join("slurm.conf"))
            .env("XDG_CONFIG_HOME", self.bench.path("config"));
        command
    }

    fn runner(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().expect("the program starts"))
    }

    fn submit(&self, args: &[&str]) -> Run {
        self.runner(&[&["exec", "tiny.toml", "--executor", "slurm"], args].concat())
    }

    fn status(&self) -> Value {
        self.runner(&["status", "tiny", "--format", "json"]).ok().json()
    }

    fn count(&self, state: &str) -> u64 {
        self.status()["counts"][state].as_u64().unwrap_or_default()
    }

    #[track_caller]
    fn until_done(&self, jobs: u64) {
        let done = || {
            std::thread::sleep(Duration::from_millis(200));
            self.count("ok") == jobs
        };
        until_or("all jobs are done", done, || {
            let status = self.runner(&["status", "tiny"]).stdout;
            let queue = self.cluster.command("squeue").arg("-r").output();
            let nodes = self.cluster.command("sinfo").arg("-Nl").output();
            let (output, logs) = (self.output(), self.logs());
            format!("{status}\n{queue:?}\n{nodes:?}\n{output}\n{logs}")
        });
    }

    /// The contents of all files whose paths contain this.
    fn text(&self, part: &str) -> String {
        let files = self.files().into_iter().filter(|file| file.contains(part));
        files
            .map(|file| std::fs::read_to_string(file).unwrap_or_default())
            .collect()
    }

    fn output(&self) -> String {
        self.text("/out/")
    }

    fn logs(&self) -> String {
        self.text("/logs/")
    }

    /// The only file whose path ends so.
    #[track_caller]
    fn only(&self, end: &str) -> String {
        let found: Vec<String> = self
            .files()
            .into_iter()
            .filter(|file| file.ends_with(end))
            .collect();
        assert_eq!(found.len(), 1, "{end}: {found:?}");
        found.into_iter().next().expect("one")
    }

    /// Processes on nodes that run tasks of this bench.
    fn workers(&self) -> Vec<String> {
        let folder = self.folder.path().to_string_lossy();
        let is_worker = |pid: &str| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(" task ") && line.contains(&*folder)
        };
        let processes = std::fs::read_dir("/proc").expect("proc").flatten();
        processes
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|pid| is_worker(pid))
            .collect()
    }
}

/// What a manifest gives on this machine.
fn undisturbed(manifest: &str) -> BTreeMap<String, Value> {
    let bench = Bench::with(manifest);
    bench.exec(&["-j", "2"]).ok();
    bench.records()
}

/// A training of some seconds.
fn long(epochs: usize) -> String {
    TINY.replace("epochs = 3", &format!("epochs = {epochs}\nselect = \"last\""))
        .replace("seeds = [1, 2]", "seeds = [1]")
        .replace("hidden = [8]", "hidden = [64]")
}

fn parent(pid: &str) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    rest.split_whitespace().nth(1).expect("a parent").to_string()
}

/// Whether a file holds the number of a submitted array.
fn is_id(file: &str) -> bool {
    Path::new(file)
        .extension()
        .is_some_and(|extension| extension == "id")
}
