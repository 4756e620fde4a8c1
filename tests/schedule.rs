//! The dispatcher over a mock executor: what runs, in which order, and what becomes of the rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runner::event::Event;
use runner::job::{JobError, skipped};
use runner::manifest::{Layers, resolve};
use runner::plan::{Inputs, JobSpec, Plan, build};
use runner::result::{Provenance, Record, Status, Store, StoreError};
use runner::schedule::{Costs, Executor, GRACE, Halt, Notice, Options, Outcome, dispatch};
use tempfile::TempDir;

/// How a job ends, one entry per try; after the last, and without any, it succeeds.
type Script = BTreeMap<&'static str, Vec<End>>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Fails,
    /// Its record cannot be written.
    DiskFull,
    /// The user presses Ctrl-C while it runs; it hears of it and stops.
    Stopped,
}

/// Runs nothing: ends jobs in the order of their start, as the script says.
struct Mock<'a> {
    capacity: usize,
    script: Script,
    stop: &'a AtomicBool,
    running: VecDeque<(usize, Arc<JobSpec>)>,
    started: Vec<String>,
    most: usize,
    cancelled: bool,
}

impl Executor for Mock<'_> {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn start(&mut self, id: usize, job: Arc<JobSpec>) {
        self.started.push(short(&job));
        self.running.push_back((id, job));
        self.most = self.most.max(self.running.len());
        assert!(!self.cancelled, "nothing starts after the end was called for");
    }

    fn next(&mut self, _: Duration) -> Option<Notice> {
        let (id, job) = self.running.pop_front()?;
        let ends = self
            .script
            .iter_mut()
            .find(|(name, _)| **name == short(&job))
            .map(|(_, ends)| ends);
        let end = ends.filter(|ends| !ends.is_empty()).map(|ends| ends.remove(0));
        let record = |status| {
            let blank = skipped(&job, "", &Provenance::default()).expect("a record");
            Box::new(Record { status, ..blank })
        };
        let result = match end {
            _ if self.cancelled => Err(JobError::Cancelled),
            None => Ok(record(Status::Ok)),
            Some(End::Fails) => Ok(record(Status::Failed)),
            Some(End::DiskFull) => Err(JobError::Store(StoreError::Io {
                action: "write",
                path: "records".into(),
                source: std::io::ErrorKind::StorageFull.into(),
            })),
            Some(End::Stopped) => {
                self.stop.store(true, Ordering::SeqCst);
                self.running.push_front((id, job));
                return None;
            }
        };
        Some(Notice::Done(id, result))
    }

    fn cancel(&mut self) {
        self.cancelled = true;
    }
}

/// `train-model_0-seed=1-1a2b3c4d` as `m0/1`, `fuse-ensemble-...` as `ensemble/1`.
fn short(job: &JobSpec) -> String {
    let name = job
        .name
        .split('-')
        .nth(1)
        .expect("kind and name")
        .replace("model_", "m");
    format!("{name}/{}", job.seed)
}

/// Two seeds; of each two models and two fusions of both.
fn plan() -> Plan {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("m.toml");
    let text = "name = \"t\"\nseeds = [1, 2]\n[dataset]\nname = \"digits\"\n[[fusion]]\nmethod = \"vanilla-averaging\"\n[[fusion]]\nmethod = \"ensemble\"\n";
    runner::result::write_atomic(&path, text.as_bytes()).expect("written");
    let layers = Layers::read(&path, Vec::new()).expect("readable");
    build(&resolve(&layers).expect("sound"), &Inputs::default(), "cpu").expect("no name twice")
}

struct Case {
    plan: Plan,
    todo: BTreeSet<usize>,
    capacity: usize,
    max_fail: Option<usize>,
    retries: usize,
    stop: AtomicBool,
    script: Script,
    costs: Costs,
}

struct Ran {
    outcome: Outcome,
    started: Vec<String>,
    /// `finished` events: short name and status.
    finished: Vec<(String, Status)>,
    most: usize,
    cancelled: bool,
    store: Store,
    _folder: TempDir,
}

impl Case {
    fn new(script: &[(&'static str, &[End])]) -> Self {
        let plan = plan();
        Self {
            todo: (0..plan.jobs.len()).collect(),
            plan,
            capacity: 1,
            max_fail: None,
            retries: 0,
            stop: AtomicBool::new(false),
            script: script.iter().map(|(name, ends)| (*name, ends.to_vec())).collect(),
            costs: Costs::default(),
        }
    }

    fn run(self) -> Ran {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).expect("store");
        let mut mock = Mock {
            capacity: self.capacity,
            script: self.script,
            stop: &self.stop,
            running: VecDeque::new(),
            started: Vec::new(),
            most: 0,
            cancelled: false,
        };
        let options = Options {
            max_fail: self.max_fail,
            retries: self.retries,
            backoff: Duration::from_millis(1),
            costs: &self.costs,
            stop: &self.stop,
            grace: GRACE,
            store: &store,
            provenance: &Provenance::default(),
        };
        let by_name: BTreeMap<&str, String> = self
            .plan
            .jobs
            .iter()
            .map(|job| (job.name.as_str(), short(job)))
            .collect();
        let mut finished = Vec::new();
        let outcome = dispatch(&self.plan, &self.todo, &mut mock, &options, &mut |event| {
            if let Event::Finished { job, status, .. } = event {
                finished.push((by_name[job.as_str()].clone(), status));
            }
        });
        Ran {
            outcome,
            started: mock.started,
            finished,
            most: mock.most,
            cancelled: mock.cancelled,
            store,
            _folder: folder,
        }
    }
}

impl Ran {
    fn with(&self, status: Status) -> Vec<&str> {
        self.finished
            .iter()
            .filter(|(_, s)| *s == status)
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

/// Models first, as fusions wait for them; otherwise as in the manifest.
const ORDER: [&str; 8] = [
    "m0/1",
    "m1/1",
    "m0/2",
    "m1/2",
    "vanilla/1",
    "ensemble/1",
    "vanilla/2",
    "ensemble/2",
];

#[test]
fn the_longest_chain_starts_first_and_jobs_after_those_they_need() {
    let ran = Case::new(&[]).run();
    assert_eq!(ran.started, ORDER);
    assert_eq!(ran.with(Status::Ok), ORDER);
    assert!(ran.outcome.halt.is_none());
}

#[test]
fn what_took_long_before_starts_first() {
    let case = Case::new(&[]);
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::open(folder.path()).expect("store");
    for (name, seconds) in [("m1/2", 50.0), ("ensemble/1", 100.0), ("vanilla/1", 3.0)] {
        let job = case
            .plan
            .jobs
            .iter()
            .find(|job| short(job) == name)
            .expect("there");
        let record = skipped(job, "", &Provenance::default()).expect("a record");
        let seconds = [("total".to_string(), seconds)].into();
        store.save(Record { seconds, ..record }).expect("saved");
    }
    // The same of the other seed is likely to take as long.
    let costs = Costs::of_store(&Store::open(folder.path()).expect("store"));
    let ran = Case { costs, ..case }.run();
    let order = [
        "m1/1",
        "m1/2",
        "m0/1",
        "m0/2",
        "ensemble/1",
        "ensemble/2",
        "vanilla/1",
        "vanilla/2",
    ];
    assert_eq!(ran.started, order);
}

#[test]
fn never_more_at_a_time_than_the_executor_takes() {
    for capacity in [2, 3, 20] {
        let ran = Case {
            capacity,
            ..Case::new(&[])
        }
        .run();
        assert_eq!(ran.outcome.count(Status::Ok), 8);
        assert!(ran.most <= capacity, "{}", ran.most);
        // All four models are free from the start.
        assert_eq!(ran.most, capacity.min(4));
        let at = |name: &str| ran.started.iter().position(|started| started == name);
        assert!(at("vanilla/2") > at("m1/2") && at("ensemble/1") > at("m1/1"));
    }
}

#[test]
fn what_is_not_to_run_counts_as_there() {
    let case = Case::new(&[]);
    let ran = Case {
        todo: [2, 3, 5].into(),
        ..case
    }
    .run();
    assert_eq!(ran.started, ["m1/2", "vanilla/1", "ensemble/1"]);
}

#[test]
fn after_a_failure_dependents_are_skipped_and_the_rest_goes_on() {
    for capacity in [1, 4] {
        let ran = Case {
            capacity,
            ..Case::new(&[("m1/1", &[End::Fails])])
        }
        .run();
        assert_eq!(ran.with(Status::Failed), ["m1/1"]);
        assert_eq!(ran.with(Status::Skipped), ["vanilla/1", "ensemble/1"]);
        assert_eq!(ran.outcome.count(Status::Ok), 5);
        assert!(!ran.started.contains(&"vanilla/1".to_string()));
        // Skips are on record, with the reason.
        let records = std::fs::read_dir(ran.store.records()).expect("records");
        let names: Vec<String> = records
            .flatten()
            .map(|r| r.file_name().to_string_lossy().replace(".json", ""))
            .collect();
        assert_eq!(names.len(), 2);
        for name in names {
            let record = ran.store.load(&name).expect("sound");
            assert_eq!(record.status, Status::Skipped);
            let chain = record.error.expect("a reason").chain;
            assert!(
                chain[0].starts_with("it needs `train-model_1-seed=1-"),
                "{chain:?}"
            );
        }
    }
}

#[test]
fn two_failures_skip_a_common_dependent_once() {
    let ran = Case::new(&[("m0/1", &[End::Fails]), ("m1/1", &[End::Fails])]).run();
    assert_eq!(ran.with(Status::Skipped), ["vanilla/1", "ensemble/1"]);
    assert_eq!(ran.outcome.finished.len(), 8);
}

#[test]
fn after_so_many_failures_nothing_new_starts_but_what_runs_ends() {
    let case = Case::new(&[("m0/1", &[End::Fails])]);
    let ran = Case {
        max_fail: Some(1),
        ..case
    }
    .run();
    assert_eq!(ran.started, ["m0/1"]);
    let script: &[(&'static str, &[End])] = &[("m0/1", &[End::Fails]), ("m1/2", &[End::Fails])];
    let ran = Case {
        max_fail: Some(1),
        capacity: 2,
        ..Case::new(script)
    }
    .run();
    assert_eq!(ran.started, ["m0/1", "m1/1"]);
    assert_eq!(ran.with(Status::Ok), ["m1/1"]);
    let ran = Case {
        max_fail: Some(2),
        ..Case::new(script)
    }
    .run();
    assert_eq!(ran.started, ["m0/1", "m1/1", "m0/2", "m1/2"]);
    assert!(!ran.cancelled && ran.outcome.halt.is_none());
}

#[test]
fn a_failed_job_is_tried_again_as_often_as_asked() {
    let twice: &[(&'static str, &[End])] = &[("m0/1", &[End::Fails, End::Fails])];
    let ran = Case {
        retries: 2,
        ..Case::new(twice)
    }
    .run();
    assert_eq!(ran.started.iter().filter(|name| *name == "m0/1").count(), 3);
    assert_eq!(ran.outcome.count(Status::Ok), 8);
    let ran = Case {
        retries: 1,
        ..Case::new(twice)
    }
    .run();
    assert_eq!(ran.with(Status::Failed), ["m0/1"]);
    assert_eq!(ran.outcome.count(Status::Skipped), 2);
    // Only the last try counts towards the failures.
    let ran = Case {
        retries: 2,
        max_fail: Some(1),
        ..Case::new(twice)
    }
    .run();
    assert_eq!(ran.outcome.count(Status::Ok), 8);
}

/// Whatever is waiting for another try when enough has failed: no failure is left out, nor what depends on it.
#[test]
fn after_so_many_failures_what_waits_for_another_try_has_failed() {
    const FAILS: &[End] = &[End::Fails, End::Fails];
    for capacity in [1, 2, 4] {
        let ran = Case {
            capacity,
            retries: 1,
            max_fail: Some(1),
            ..Case::new(&[("m0/1", FAILS), ("m1/2", FAILS), ("m1/1", FAILS)])
        }
        .run();
        let ended: BTreeSet<String> = ran.finished.iter().map(|(name, _)| name.clone()).collect();
        let started: BTreeSet<String> = ran.started.iter().cloned().collect();
        assert!(started.is_subset(&ended), "{started:?} {ended:?}");
        assert_eq!(ran.outcome.finished.len(), ran.finished.len());
        for seed in ["/1", "/2"] {
            let failed = ran.with(Status::Failed).iter().any(|name| name.ends_with(seed));
            let skipped = ran.with(Status::Skipped);
            let skipped = skipped.iter().filter(|name| name.ends_with(seed)).count();
            assert_eq!(skipped, if failed { 2 } else { 0 }, "{:?}", ran.finished);
        }
    }
}

#[test]
fn stopped_it_cancels_what_runs_and_starts_nothing() {
    let ran = Case {
        capacity: 2,
        ..Case::new(&[("m1/1", &[End::Stopped])])
    }
    .run();
    assert!(matches!(ran.outcome.halt, Some(Halt::Interrupted)));
    assert!(ran.cancelled);
    assert_eq!(ran.with(Status::Ok), ["m0/1"]);
    assert_eq!(ran.outcome.finished.len(), 1);
    let case = Case::new(&[]);
    case.stop.store(true, Ordering::SeqCst);
    let ran = case.run();
    assert_eq!(ran.started, Vec::<String>::new());
    assert!(matches!(ran.outcome.halt, Some(Halt::Interrupted)));
}

#[test]
fn results_that_cannot_be_written_end_the_run() {
    let ran = Case {
        capacity: 2,
        ..Case::new(&[("m0/1", &[End::DiskFull])])
    }
    .run();
    assert!(matches!(ran.outcome.halt, Some(Halt::Broken(JobError::Store(_)))));
    assert!(ran.cancelled);
    assert_eq!(ran.started, ["m0/1", "m1/1"]);
}

#[test]
fn a_skip_that_cannot_be_recorded_ends_the_run() {
    let case = Case::new(&[("m0/1", &[End::Fails])]);
    let plan = case.plan.clone();
    let folder = tempfile::tempdir().expect("temporary folder");
    // No folder of records: the store was never opened.
    let store = Store::at(folder.path().join("nowhere"));
    let stop = AtomicBool::new(false);
    let mut mock = Mock {
        capacity: 1,
        script: case.script,
        stop: &stop,
        running: VecDeque::new(),
        started: Vec::new(),
        most: 0,
        cancelled: false,
    };
    let options = Options {
        max_fail: None,
        retries: 0,
        backoff: Duration::ZERO,
        costs: &Costs::default(),
        stop: &stop,
        grace: GRACE,
        store: &store,
        provenance: &Provenance::default(),
    };
    let outcome = dispatch(&plan, &case.todo, &mut mock, &options, &mut |_| ());
    assert!(matches!(outcome.halt, Some(Halt::Broken(_))));
    assert_eq!(mock.started, ["m0/1"]);
}
