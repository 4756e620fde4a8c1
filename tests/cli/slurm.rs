//! On a real Slurm: two nodes on this machine, started by `../shared/tools/slurm-dev-cluster`. One test at a time, as
//! some of them end nodes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;
use crate::shared::{say_skipped, shared};

/// The cluster of all these tests, which ends with the test program.
struct Cluster {
    folder: PathBuf,
    tool: PathBuf,
    port: u16,
    /// Ends the cluster after this process, whatever ends it.
    _watcher: Option<Child>,
}

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
        until("the queue is empty", || self.cluster.queued().is_empty());
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
        until("all jobs are done", || {
            std::thread::sleep(Duration::from_millis(200));
            self.count("ok") == jobs
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

#[test]
fn the_records_are_those_of_a_local_run_with_any_number_of_workers() {
    let Some(here) = Here::with(TINY) else { return };
    // Of each seed two models and three fusions: three jobs to a task make tasks that correspond.
    let run = here.submit(&["slurm.pack=3"]).ok();
    assert!(
        run.stdout
            .contains("10 jobs submitted to Slurm as 4 tasks, arrays"),
        "{}",
        run.stdout
    );
    let scripts = here.text(".sh");
    assert!(scripts.contains("#SBATCH --dependency=\"aftercorr:"), "{scripts}");
    assert!(
        scripts.contains("#SBATCH --kill-on-invalid-dep=\"yes\""),
        "{scripts}"
    );
    here.until_done(10);
    let records = here.records();
    let status = here.runner(&["status", "tiny"]).ok().stdout;
    assert_eq!(status, "tiny: 10 jobs: 10 ok\n");
    let tables = here.submit(&[]).ok().says("10 jobs, 10 up to date, 0 run").stdout;
    assert_eq!(
        here.files()
            .iter()
            .filter(|file| file.contains("/claims/"))
            .count(),
        0
    );

    for workers in ["1", "2"] {
        let local = Bench::new();
        assert_eq!(local.exec(&["-j", workers]).ok().stdout, tables);
        assert_eq!(local.records(), records, "-j {workers}");
    }
    let here_again = here.submit(&["seeds=1,2,3", "slurm.pack=1"]).ok().stdout;
    assert!(
        here_again.contains("5 jobs submitted to Slurm as 5 tasks"),
        "{here_again}"
    );
    here.until_done(15);
}

#[test]
fn a_failed_job_is_recorded_and_only_its_dependents_are_skipped() {
    let manifest = TINY.replace(
        "batch-size = 64",
        "batch-size = 64\noptimizer = { lr = [1e-3, 1e30] }\nwarmup-epochs = 0",
    );
    let Some(here) = Here::with(&manifest) else { return };
    here.submit(&["slurm.pack=2"]).ok();
    until("all jobs ended", || here.records().len() == 20);
    let local = Bench::with(&manifest);
    local.exec(&["-j", "1"]).code(100);
    let records = here.records();
    assert_eq!(records, local.records());
    let failed = records.values().filter(|record| record["status"] == "failed");
    assert_eq!(failed.count(), 4);
}

#[test]
fn told_that_time_is_up_a_training_is_saved_queued_again_and_gives_the_same_numbers() {
    let manifest = long(3000);
    let Some(here) = Here::with(&manifest) else { return };
    let run = here.submit(&["slurm.pack=5", "slurm.time=1m"]).ok();
    assert!(run.stdout.contains("5 jobs submitted"), "{}", run.stdout);
    until("a training is under way", || here.logs().contains("epoch="));
    // As Slurm does before the limit; it counts limits in half minutes, which is long for a test.
    let id = std::fs::read_to_string(here.only("/0.id")).expect("an id");
    here.cluster
        .slurm("scancel", &["--batch", "--signal=TERM", &format!("{id}_0")]);
    until("its state is saved", || {
        here.files().iter().any(|file| file.contains(".training-0"))
    });
    assert_eq!(here.records().len(), 0, "it had not ended");
    here.until_done(5);
    let output = here.output();
    assert!(output.contains("queued again, to go on from here"), "{output}");
    assert!(
        here.logs().contains("going on with the saved training"),
        "{}",
        here.logs()
    );
    assert_eq!(here.records(), undisturbed(&manifest));
}

#[test]
fn a_lost_node_costs_time_and_a_job_that_gets_nowhere_within_the_limit_fails() {
    let manifest = long(2500);
    let Some(here) = Here::with(&manifest) else { return };
    here.submit(&[
        "slurm.pack=5",
        "slurm.options=['--nodelist=n1']",
        "resources.checkpoint=200ms",
    ])
    .ok();
    // At the same time, on the other node: fusions keep nothing they could go on from.
    let endless = "[[fusion]]\nmethod = \"kf-gradient\"\npatience = 100000000\n\
                   level = { epochs = 100000000 }\n\n[[fusion]]";
    let nowhere = TINY
        .replace("seeds = [1, 2]", "seeds = [1]")
        .replacen("[[fusion]]", endless, 1);
    let other = Bench::with(&nowhere);
    let args = [
        "exec",
        "tiny.toml",
        "--executor",
        "slurm",
        "slurm.pack=4",
        "slurm.time=1m",
        "slurm.warn=57s",
    ];
    let mut command = other.std(&[&args[..], &["slurm.options=['--nodelist=n2']"]].concat());
    command.env("SLURM_CONF", here.cluster.folder.join("slurm.conf"));
    Run::of(command.output().expect("the program starts")).ok();

    until("a training has been saved", || {
        let files = here.files().into_iter();
        files
            .filter(|file| file.contains(".training-0") && !file.contains(".tmp-"))
            .count()
            > 0
    });
    // The node's daemon, the step's, and the program itself, as if the power had gone.
    let workers = here.workers();
    assert!(!workers.is_empty());
    let node = here.cluster.pid("n1");
    let parents = workers.iter().map(|pid| parent(pid));
    let lost: Vec<String> = std::iter::once(node)
        .chain(parents)
        .chain(workers.clone())
        .collect();
    let kill = std::process::Command::new("kill").arg("-9").args(&lost).status();
    assert!(kill.expect("kill").success());
    assert_eq!(here.records().len(), 0, "it had not ended");
    let id = std::fs::read_to_string(here.only("/0.id")).expect("an id");
    until("the task is queued again", || {
        here.cluster
            .queued()
            .iter()
            .any(|task| *task == format!("{id}_0 PENDING"))
    });
    assert!(here.cluster.tool("start").status().expect("bash").success());
    here.until_done(5);
    assert_eq!(here.records(), undisturbed(&manifest));

    until("the other is done", || other.records().len() == 6);
    let (_, record) = other.record("kf-gradient");
    let text = record["error"]["chain"][0].as_str().expect("text");
    assert!(
        text.starts_with("the time limit of the Slurm task was reached"),
        "{text}"
    );
    let failed = other
        .records()
        .into_values()
        .filter(|record| record["status"] != "ok");
    assert_eq!(failed.count(), 1);
}

fn parent(pid: &str) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    rest.split_whitespace().nth(1).expect("a parent").to_string()
}

#[test]
fn cancelled_jobs_are_missing_and_only_they_are_submitted_again() {
    let manifest = TINY
        .replace("epochs = 3", "epochs = [1, 10000000]")
        .replace("seeds = [1, 2]", "seeds = [1]");
    let Some(here) = Here::with(&manifest) else { return };
    here.submit(&["slurm.pack=3"]).ok();
    until("the first point is done and the second runs", || {
        here.count("ok") == 5 && here.count("running") == 1
    });
    let again = here.submit(&["slurm.pack=3"]).ok().stdout;
    assert!(
        again.contains("nothing submitted; 5 jobs are queued or running"),
        "{again}"
    );
    let status = here.runner(&["status", "tiny"]).ok().stdout;
    assert!(
        status.contains("waiting  train-model_1") && status.contains("is running)"),
        "{status}"
    );
    assert!(
        status.contains("waiting  fuse-") && status.contains(": Dependency)"),
        "{status}"
    );
    assert!(
        status.contains("tiny: 10 jobs: 5 ok, 1 running, 4 waiting"),
        "{status}"
    );
    let said = here.runner(&["cancel", "tiny"]).ok().stdout;
    assert!(said.contains("tiny: 2 tasks cancelled"), "{said}");
    until("the queue is empty", || here.cluster.queued().is_empty());
    assert_eq!((here.count("ok"), here.count("missing")), (5, 5));
    let said = here.runner(&["cancel", "tiny"]).ok().stdout;
    assert!(said.contains("nothing is queued or running"), "{said}");
    // What it had learned until then is kept, and no claim is.
    let kept = here
        .files()
        .into_iter()
        .filter(|file| file.contains(".training-0"));
    assert_eq!(kept.count(), 1);
    assert_eq!(
        here.files()
            .iter()
            .filter(|file| file.contains("/claims/"))
            .count(),
        0
    );
    let again = here.submit(&["base.epochs=1", "seeds=1,2"]).ok().stdout;
    assert!(again.contains("5 jobs submitted"), "{again}");
    here.until_done(10);
}

#[test]
fn held_jobs_are_reported_two_submitters_submit_once_and_a_lost_id_is_found() {
    let Some(here) = Here::with(TINY) else { return };
    let args = ["slurm.pack=3", "slurm.options=['--hold']"];
    let children: Vec<Child> = (0..2)
        .map(|_| {
            let all = [&["exec", "tiny.toml", "--executor", "slurm", "--wait"], &args[..]].concat();
            let mut command = here.command(&all);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the program starts")
        })
        .collect();
    let runs: Vec<Run> = children
        .into_iter()
        .map(|child| Run::of(child.wait_with_output().expect("ends")).ok())
        .collect();
    let submitted = runs.iter().filter(|run| run.stdout.contains("10 jobs submitted"));
    assert_eq!(submitted.count(), 1, "{runs:?}");
    let nothing = runs
        .iter()
        .find(|run| run.stdout.contains("nothing submitted; 10 jobs"));
    let nothing = nothing.expect("the other finds them queued");
    assert!(
        nothing
            .stderr
            .contains("is held (JobHeldUser): `scontrol release"),
        "{nothing:?}"
    );
    assert_eq!(here.cluster.queued().len(), 4);
    let status = here.runner(&["status", "tiny"]).ok().stdout;
    assert!(
        status.contains("held     train-model_0") && status.contains("10 held"),
        "{status}"
    );

    // As if the submitting host had gone down between Slurm's answer and the next write.
    let ids: Vec<String> = here.files().into_iter().filter(|file| is_id(file)).collect();
    assert_eq!(ids.len(), 2);
    for id in &ids {
        std::fs::remove_file(id).expect("there");
    }
    let again = here.submit(&args).ok().stdout;
    assert!(again.contains("nothing submitted; 10 jobs are queued"), "{again}");
    assert_eq!(here.cluster.queued().len(), 4);
    for id in ids {
        let id = std::fs::read_to_string(id).expect("written again");
        here.cluster.slurm("scontrol", &["release", &id]);
    }
    here.until_done(10);
    assert_eq!(here.records(), undisturbed(TINY));
}

#[test]
fn a_folder_that_the_nodes_do_not_see_is_named() {
    let Some(here) = Here::with(TINY) else { return };
    here.submit(&["slurm.pack=10", "slurm.options=['--hold']"]).ok();
    let ids = here.files().into_iter().filter(|file| is_id(file));
    let ids: Vec<String> = ids
        .map(|id| std::fs::read_to_string(id).expect("an id"))
        .collect();
    let moved = here.path("elsewhere");
    std::fs::rename(here.path("results"), &moved).expect("moved");
    for id in &ids {
        here.cluster.slurm("scontrol", &["release", id]);
    }
    until("the tasks have ended", || here.cluster.queued().is_empty());
    let _ = std::fs::remove_dir_all(here.path("results"));
    std::fs::rename(&moved, here.path("results")).expect("moved back");
    let status = here.runner(&["status", "tiny"]).ok().stdout;
    assert!(
        status.contains("ended without having begun: FAILED") && status.contains("does its node share"),
        "{status}"
    );
    // Another folder of the same name has another token.
    let script = here
        .files()
        .into_iter()
        .find(|file| file.ends_with("0.sh"))
        .expect("a script");
    let token = Path::new(&script).with_file_name("token");
    runner::result::write_atomic(&token, b"of another").expect("written");
    let output = std::process::Command::new("bash")
        .arg(&script)
        .output()
        .expect("bash");
    let run = Run::of(output).code(66);
    assert!(
        run.stderr
            .contains("does not see the results folder of the submission"),
        "{}",
        run.stderr
    );
    here.submit(&["slurm.pack=10"]).ok();
    here.until_done(10);
}

#[test]
fn what_slurm_refuses_is_shown_and_nothing_is_left_behind() {
    let Some(here) = Here::with(TINY) else { return };
    let run = here.submit(&["slurm.partition=nowhere"]).code(2);
    assert!(
        run.stderr
            .contains("`sbatch` refused: invalid partition specified: nowhere")
            && run
                .stderr
                .contains("hint: `sinfo` lists the partitions; set `slurm.partition`"),
        "{}",
        run.stderr
    );
    let run = here.submit(&["resources.memory=100T"]).code(2);
    assert!(
        run.stderr.contains("hint: no node has what a job needs"),
        "{}",
        run.stderr
    );
    let mut command = here.command(&["exec", "tiny.toml", "--executor", "slurm"]);
    let run = Run::of(command.env("PATH", "/nowhere").output().expect("starts")).code(2);
    assert!(
        run.stderr.contains("cannot start `sbatch`") && run.stderr.contains("use `--executor local`"),
        "{}",
        run.stderr
    );
    let left = here.files().into_iter().filter(|file| file.contains("/slurm/"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(here.cluster.queued(), Vec::<String>::new());
    assert_eq!(here.count("missing"), 10);
    here.submit(&["-j", "2"])
        .code(2)
        .says("`--jobs` does not go with `--executor slurm`");

    // Where squeue is not there, `status` says so, and what is queued is not submitted twice.
    here.submit(&["slurm.options=['--hold']"]).ok();
    let mut command = here.command(&["status", "tiny"]);
    let run = Run::of(command.env("PATH", "/nowhere").output().expect("starts")).ok();
    assert!(
        run.stderr
            .contains("what is queued on Slurm is not known: cannot start `squeue`"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("10 missing"), "{}", run.stdout);
    let mut command = here.command(&["exec", "tiny.toml", "--executor", "slurm"]);
    Run::of(command.env("PATH", "/nowhere").output().expect("starts"))
        .code(2)
        .says("cannot start `squeue`");
}

#[test]
fn settings_come_from_the_user_and_the_manifest_wins() {
    let Some(here) = Here::with(&format!(
        "{TINY}\n[slurm]\npack = 10\n[resources]\ngpus = 1\ncores = 2\n"
    )) else {
        return;
    };
    std::fs::create_dir_all(here.path("config/runner")).expect("a folder");
    here.write(
        "config/runner/config.toml",
        "[slurm]\npartition = \"main\"\npack = 1\nat-once = 1\nsetup = [\"export OF_THE_USER=1\"]\n",
    );
    // On the nodes of this cluster GPUs are pretended.
    here.submit(&["--device", "cpu"]).ok();
    let script = here
        .files()
        .into_iter()
        .find(|file| file.ends_with("0.sh"))
        .expect("a script");
    let script = std::fs::read_to_string(script).expect("readable");
    for line in [
        "#SBATCH --partition=\"main\"",
        "#SBATCH --array=\"0%1\"",
        "#SBATCH --gres=\"gpu:1\"",
        "#SBATCH --cpus-per-task=\"2\"",
        "export OF_THE_USER=1",
    ] {
        assert!(script.contains(line), "{line}: {script}");
    }
    here.until_done(10);
    here.write("config/runner/config.toml", "[base]\nepochs = 1\n");
    let run = here.submit(&[]).code(2);
    assert!(
        run.stderr
            .contains("`base` cannot stand in the user's own settings")
            && run.stderr.contains("config.toml:1:2"),
        "{}",
        run.stderr
    );
}

/// Whether a file holds the number of a submitted array.
fn is_id(file: &str) -> bool {
    Path::new(file)
        .extension()
        .is_some_and(|extension| extension == "id")
}
