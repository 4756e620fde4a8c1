//! `runner watch`: a running experiment, seen from its results folder alone. Whoever runs the jobs need not know.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rayon::prelude::*;

use super::args::Global;
use super::{CliError, output, setup, stop};
use crate::result::{Claims, Kind, Lookup, Stamp, Status, Store};
use crate::schedule::seen;

/// How often the folder is looked at, at most.
const LOOK: Duration = Duration::from_millis(500);
/// Without a terminal, how often a line is written although nothing failed.
const LINE: Duration = Duration::from_secs(10);
/// Rates are about so much of the past.
const WINDOW: Duration = Duration::from_mins(1);

/// Runs the command, until every job has a record, or the `exec` that was running has ended.
pub fn run(experiment: &str, global: &Global) -> Result<(), CliError> {
    let store = setup::store_of(experiment, global)?;
    let stop = stop::on_signal()?;
    let mut seen = Watched::new(&store)?;
    let mut view = View::new(&seen);
    let mut was_running = false;
    loop {
        let since = Instant::now();
        // Before looking, so that what its last moments wrote is seen.
        let running = Claims::is_worked_on(&store.claims());
        // An `exec` that has not begun to replace records yet has not done so.
        let running_here = Claims::is_worked_on_here(&store.claims());
        let failures = seen.look(&store);
        view.failures(&failures);
        let done = (seen.missing() == 0 && !running_here) || (was_running && !running);
        if done || stop.load(std::sync::atomic::Ordering::SeqCst) {
            view.end(&seen);
            return match seen.count(State::Ended(Status::Failed)) {
                0 => Ok(()),
                _ => Err(CliError::JobsFailed),
            };
        }
        was_running |= running;
        view.show(&seen, running);
        // Jobs by the hundred thousand take a while to look at.
        let pause = LOOK.max(since.elapsed() * 10);
        let until = Instant::now() + pause;
        while Instant::now() < until && !stop.load(std::sync::atomic::Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Missing,
    Corrupt,
    Ended(Status),
}

struct Job {
    name: String,
    key: String,
    kind: Kind,
    state: State,
    /// Of the record when it was read.
    stamp: Option<Stamp>,
    seconds: f64,
    error: String,
}

impl Job {
    /// Looks again, unless there is nothing new; says whether there was.
    /// `replaced` is the hash of a record that is about to be replaced: it counts as missing.
    fn look(&mut self, store: &Store, replaced: Option<&String>) -> bool {
        let is_old = |old: &String| seen(store, &self.name).is_some_and(|now| now.to_hex().as_str() == old);
        if replaced.is_some_and(is_old) {
            self.state = State::Missing;
            self.stamp = None;
            return false;
        }
        if self.state == State::Ended(Status::Ok) {
            return false;
        }
        let stamp = Stamp::of(&store.record_path(&self.name));
        if stamp == self.stamp {
            return false;
        }
        self.stamp = stamp;
        if let Some(known) = store.glance(&self.name, &self.key)
            && known.status == Status::Ok
        {
            self.state = State::Ended(Status::Ok);
            self.seconds = known.seconds;
            return true;
        }
        let before = self.state;
        match store.lookup(&self.name, &self.key) {
            Lookup::Missing => self.state = State::Missing,
            Lookup::Corrupt(error) => {
                self.state = State::Corrupt;
                self.error = error.to_string();
            }
            Lookup::Found(record) => {
                self.state = State::Ended(record.status);
                self.seconds = record.seconds.get("total").copied().unwrap_or_default();
                self.error = record
                    .error
                    .map(|error| error.chain.join(": "))
                    .unwrap_or_default();
            }
        }
        // A job that failed again is news, too.
        self.state != State::Missing || before != State::Missing
    }
}

/// The jobs and what has been seen of them.
struct Watched {
    experiment: String,
    jobs: Vec<Job>,
    /// When how many jobs ended, and how many seconds they had taken.
    past: VecDeque<(Instant, usize, f64)>,
}

impl Watched {
    fn new(store: &Store) -> Result<Self, CliError> {
        let index = store.load_index()?;
        let mut seen = BTreeSet::new();
        let jobs = index
            .jobs
            .into_iter()
            .filter(|entry| seen.insert(entry.job.clone()));
        let mut watched = Self {
            experiment: index.experiment,
            jobs: jobs
                .map(|entry| Job {
                    name: entry.job,
                    key: entry.key,
                    kind: entry.kind,
                    state: State::Missing,
                    stamp: None,
                    seconds: 0.0,
                    error: String::new(),
                })
                .collect(),
            past: VecDeque::new(),
        };
        let replaced = store.replaced();
        watched.jobs.par_iter_mut().for_each(|job| {
            job.look(store, replaced.get(&job.name));
        });
        watched.past.push_back((Instant::now(), 0, 0.0));
        Ok(watched)
    }

    /// Looks at the folder; returns the failures since the last time.
    fn look(&mut self, store: &Store) -> Vec<String> {
        let first = self.past.len() == 1 && self.past[0].1 == 0;
        let replaced = store.replaced();
        let look = |job: &mut Job| job.look(store, replaced.get(&job.name));
        let news: Vec<bool> = self.jobs.par_iter_mut().map(look).collect();
        let new = || {
            self.jobs
                .iter()
                .zip(&news)
                .filter(|(_, new)| **new)
                .map(|(job, _)| job)
        };
        let ended = new().filter(|job| matches!(job.state, State::Ended(Status::Ok | Status::Failed)));
        let (n, seconds) = ended.fold((0, 0.0), |(n, sum), job| (n + 1, sum + job.seconds));
        self.past.push_back((Instant::now(), n, seconds));
        while self.past.len() > 2 && self.past[1].0.elapsed() > WINDOW {
            self.past.pop_front();
        }
        let failed = |job: &&Job| matches!(job.state, State::Ended(Status::Failed) | State::Corrupt);
        let line = |job: &Job| match job.state {
            State::Corrupt => format!("corrupt: {}: {}", job.name, job.error),
            _ => format!("failed: {}: {}", job.name, job.error),
        };
        // What had failed before is worth telling once.
        match first {
            true => self.jobs.iter().filter(failed).map(line).collect(),
            false => new().filter(failed).map(line).collect(),
        }
    }

    fn count(&self, state: State) -> usize {
        self.jobs.iter().filter(|job| job.state == state).count()
    }

    fn missing(&self) -> usize {
        self.count(State::Missing)
    }

    /// Stages in the order of the index: with a record, failed or skipped, all.
    fn stages(&self) -> Vec<(Kind, Stage)> {
        let mut stages: Vec<(Kind, Stage)> = Vec::new();
        let mut at: BTreeMap<Kind, usize> = BTreeMap::new();
        for job in &self.jobs {
            let position = *at.entry(job.kind).or_insert_with(|| {
                stages.push((job.kind, Stage::default()));
                stages.len() - 1
            });
            stages[position].1.add(job);
        }
        stages
    }

    /// Jobs per second, and what is likely left.
    fn pace(&self) -> (f64, Option<Duration>) {
        let over = self
            .past
            .front()
            .map_or(0.0, |(start, _, _)| start.elapsed().as_secs_f64());
        let ended: usize = self.past.iter().map(|(_, n, _)| n).sum();
        let worked: f64 = self.past.iter().map(|(_, _, seconds)| seconds).sum();
        if ended == 0 || over < 0.1 {
            return (0.0, None);
        }
        let stages = self.stages();
        let known = |stage: &Stage| (stage.ok > 0).then(|| stage.seconds / stage.ok as f64);
        let mean = worked / ended as f64;
        let work: f64 = stages
            .iter()
            .map(|(_, stage)| (stage.all - stage.ended()) as f64 * known(stage).unwrap_or(mean))
            .sum();
        // As many jobs at a time as there were; jobs too short to be timed go by their number.
        let left = match worked > 1e-6 {
            true => work / (worked / over),
            false => self.missing() as f64 / (ended as f64 / over),
        };
        (ended as f64 / over, Duration::try_from_secs_f64(left).ok())
    }
}

#[derive(Debug, Default)]
struct Stage {
    ok: usize,
    failed: usize,
    skipped: usize,
    all: usize,
    /// That the finished jobs took.
    seconds: f64,
}

impl Stage {
    fn add(&mut self, job: &Job) {
        self.all += 1;
        match job.state {
            State::Missing => {}
            State::Ended(Status::Ok) => {
                self.ok += 1;
                self.seconds += job.seconds;
            }
            State::Ended(Status::Skipped) => self.skipped += 1,
            State::Ended(Status::Failed) | State::Corrupt => self.failed += 1,
        }
    }

    fn ended(&self) -> usize {
        self.ok + self.failed + self.skipped
    }

    /// `12/40`, `12/40 (1 failed, 2 skipped)`.
    fn text(&self) -> String {
        let mut text = format!("{}/{}", self.ended(), self.all);
        let named = [(self.failed, "failed"), (self.skipped, "skipped")];
        let named = named
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} {what}"));
        let named: Vec<String> = named.collect();
        if !named.is_empty() {
            text = format!("{text} ({})", named.join(", "));
        }
        text
    }
}

/// Bars on a terminal, lines elsewhere.
struct View {
    bars: Option<(MultiProgress, Vec<ProgressBar>, ProgressBar)>,
    written: Option<(Instant, String)>,
}

impl View {
    fn new(seen: &Watched) -> Self {
        let bars = (std::io::stderr().is_terminal() && !output::is_json()).then(|| {
            let all = MultiProgress::new();
            let style = |template| {
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
            };
            let bar = |(kind, stage): &(Kind, Stage)| {
                let bar = all.add(ProgressBar::new(stage.all as u64));
                bar.set_style(style("{prefix:9} {bar:12} {wide_msg}"));
                bar.set_prefix(kind.as_str());
                bar
            };
            let bars = seen.stages().iter().map(bar).collect();
            let last = all.add(ProgressBar::new_spinner());
            last.set_style(style("{wide_msg}"));
            (all, bars, last)
        });
        Self { bars, written: None }
    }

    fn failures(&mut self, lines: &[String]) {
        for line in lines {
            match &self.bars {
                Some((all, _, _)) => all.suspend(|| output::complaint(line)),
                None => output::complaint(line),
            }
        }
    }

    fn show(&mut self, seen: &Watched, running: bool) {
        let stages = seen.stages();
        let (rate, left) = seen.pace();
        let mut pace = match left {
            Some(left) => format!("{rate:.1} jobs/s, about {} left", rough(left)),
            None => "no job has ended yet since this began".to_string(),
        };
        if !running {
            pace.push_str("; no exec is running on this machine");
        }
        let Some((_, bars, last)) = &self.bars else {
            let stages: Vec<String> = stages
                .iter()
                .map(|(kind, stage)| format!("{} {}", kind.as_str(), stage.text()))
                .collect();
            let stages = stages.join(", ");
            let due = self
                .written
                .as_ref()
                .is_none_or(|(when, what)| when.elapsed() > LINE && *what != stages);
            if due {
                output::info(format!("{}: {stages}; {pace}", seen.experiment));
                self.written = Some((Instant::now(), stages));
            }
            return;
        };
        for (bar, (_, stage)) in bars.iter().zip(&stages) {
            bar.set_position(stage.ended() as u64);
            bar.set_message(stage.text());
        }
        last.set_message(pace);
    }

    fn end(self, seen: &Watched) {
        if let Some((_, bars, last)) = &self.bars {
            for bar in bars.iter().chain([last]) {
                bar.finish_and_clear();
            }
        }
        let stages = seen.stages();
        let stages = stages
            .iter()
            .map(|(kind, stage)| format!("{} {}", kind.as_str(), stage.text()));
        output::info(format!(
            "{}: {}",
            seen.experiment,
            stages.collect::<Vec<_>>().join(", ")
        ));
    }
}

/// Two units are as much as an estimate is worth.
fn rough(left: Duration) -> String {
    let text = humantime::format_duration(Duration::from_secs(left.as_secs().max(1))).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}
