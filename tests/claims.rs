//! Claims of several processes on the same work, in a folder they share.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runner::process::Process;
use runner::result::{Claim, Claims, Owner, StoreError, Timing};

const QUICK: Timing = Timing {
    beat: Duration::from_millis(20),
    lease: Duration::from_millis(1500),
};

fn claims(folder: &Path) -> Claims {
    Claims::open(folder, None, QUICK).expect("claims")
}

fn is_ours(claims: &Claims, name: &str) -> bool {
    matches!(
        claims.take(name).expect("a folder that can be written"),
        Claim::Ours
    )
}

/// A claim of a process of another machine, that is never renewed.
fn foreign(folder: &Path, file: &str, id: &str) {
    renewed(folder, file, id, 7);
}

/// Likewise, renewed so many times.
fn renewed(folder: &Path, file: &str, id: &str, times: u64) {
    let owner = Owner {
        process: Process {
            host: "n1".into(),
            boot: "another".into(),
            ..Process::default()
        },
        slurm: Some("12_3".into()),
        id: id.into(),
        beat: format!("{times:010}"),
    };
    let text = serde_json::to_vec(&owner).expect("JSON");
    runner::result::write_atomic(&folder.join(file), &text).expect("written");
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_living_owner_keeps_its_claim_however_long_it_takes() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (one, two) = (claims(folder.path()), claims(folder.path()));
    assert!(is_ours(&one, "job"));
    let since = Instant::now();
    while since.elapsed() < 3 * QUICK.lease {
        match two.take("job").expect("readable") {
            Claim::Theirs {
                owner: Some(owner),
                alive,
            } => {
                assert!(alive);
                assert_eq!(owner.process, *Process::current());
            }
            other => panic!("{other:?}"),
        }
        std::thread::sleep(QUICK.beat);
    }
    one.release("job");
    assert!(is_ours(&two, "job"));
    drop(two);
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[test]
fn a_stale_claim_goes_to_exactly_one_of_many() {
    for round in 0..4 {
        let folder = tempfile::tempdir().expect("temporary folder");
        // As a chain that is stale itself, every other time.
        foreign(folder.path(), "job", "aa");
        if round % 2 == 1 {
            foreign(folder.path(), "job~aa", "bb");
        }
        let all: Vec<Claims> = (0..8).map(|_| claims(folder.path())).collect();
        assert!(
            all.iter().all(|claims| !is_ours(claims, "job")),
            "it may be alive"
        );
        let since = Instant::now();
        let winners: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = all
                .iter()
                .map(|claims| {
                    scope.spawn(move || {
                        let mut won = 0;
                        while since.elapsed() < 2 * QUICK.lease {
                            won += usize::from(is_ours(claims, "job"));
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        won
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .sum()
        });
        assert_eq!(winners, 1);
        let owners = Claims::owners(folder.path());
        assert_eq!(owners["job"].process, *Process::current());
        drop(all);
        assert_eq!(files(folder.path()), Vec::<String>::new());
    }
}

#[test]
fn a_clock_that_is_wrong_changes_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    foreign(folder.path(), "job", "aa");
    let file = File::options()
        .write(true)
        .open(folder.path().join("job"))
        .expect("there");
    // Of long ago, by somebody's clock; a file of the future is as good.
    let long_ago = std::time::SystemTime::now() - Duration::from_hours(1000);
    file.set_modified(long_ago).expect("a time");
    let ours = claims(folder.path());
    let since = Instant::now();
    while !is_ours(&ours, "job") {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(since.elapsed() >= QUICK.lease, "{:?}", since.elapsed());
}

#[test]
fn a_living_owner_keeps_its_claim_whatever_the_time_of_the_file_is() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let ours = claims(folder.path());
    let hours = Duration::from_hours(1000);
    let since = Instant::now();
    let mut times = 0;
    while since.elapsed() < 2 * QUICK.lease {
        times += 1;
        renewed(folder.path(), "job", "aa", times);
        let file = File::options().write(true).open(folder.path().join("job"));
        let now = std::time::SystemTime::now();
        // Minutes ahead, minutes behind, or standing still.
        let time = match times % 3 {
            0 => now + hours,
            1 => now - hours,
            _ => std::time::UNIX_EPOCH + hours,
        };
        file.expect("there").set_modified(time).expect("a time");
        assert!(!is_ours(&ours, "job"));
        std::thread::sleep(QUICK.lease / 10);
    }
    // Renewed a moment ago, and then no more.
    let survey = ours.survey(&mut |_| ());
    assert_eq!(survey.held.keys().collect::<Vec<_>>(), ["job"]);
    std::thread::sleep(QUICK.lease);
    let survey = ours.survey(&mut |_| ());
    assert_eq!(survey.stale.keys().collect::<Vec<_>>(), ["job"]);
}

#[test]
fn a_survey_tells_the_living_from_the_dead_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let at = |name: &str| folder.path().join(name);
    let (one, two) = (claims(folder.path()), claims(folder.path()));
    assert!(is_ours(&one, "here"));
    foreign(folder.path(), "dead", "aa");
    foreign(folder.path(), "dead~aa", "bb");
    File::create(at("never-written")).expect("made");
    // Of this machine, and gone: seen at once.
    let gone = Owner {
        process: Process {
            pid: u32::MAX,
            ..Process::current().clone()
        },
        slurm: Some("9_1".into()),
        id: "cc".into(),
        beat: format!("{:010}", 1),
    };
    let text = serde_json::to_vec(&gone).expect("JSON");
    runner::result::write_atomic(&at("gone"), &text).expect("written");
    let before = files(folder.path());
    let done = std::sync::atomic::AtomicBool::new(false);
    let survey = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut times = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                times += 1;
                renewed(folder.path(), "there", "dd", times);
                std::thread::sleep(QUICK.beat);
            }
        });
        while !at("there").exists() {
            std::thread::sleep(QUICK.beat);
        }
        let mut told = Vec::new();
        let since = Instant::now();
        let survey = two.survey(&mut |owner| told.push(owner.to_string()));
        assert!(
            since.elapsed() >= QUICK.lease,
            "the dead of other machines take a lease"
        );
        assert_eq!(told.len(), 1, "{told:?}");
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        survey
    });
    assert_eq!(survey.held.keys().collect::<Vec<_>>(), ["here", "there"]);
    assert_eq!(
        survey.stale.keys().collect::<Vec<_>>(),
        ["dead", "gone", "never-written"]
    );
    assert_eq!(survey.stale["dead"], [at("dead"), at("dead~aa")]);
    let mut now = files(folder.path());
    now.retain(|file| file != "there");
    assert_eq!(now, before);
    assert_eq!(Claims::of_slurm_jobs(folder.path())["9_1"], ["gone"]);

    for name in survey.stale.keys() {
        assert!(two.clear(name).expect("removed"), "{name}");
    }
    assert!(!two.clear("here").expect("looked at"));
    assert_eq!(files(folder.path()), ["here", "there"]);
    drop(one);
}

#[test]
fn many_processes_one_after_the_other_never_work_at_once() {
    let folder = tempfile::tempdir().expect("temporary folder");
    // Longer than a busy machine keeps a thread waiting: who is not heard of for a lease is succeeded, and rightly so.
    let patient = Timing {
        lease: Duration::from_secs(30),
        ..QUICK
    };
    let working = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let ours = Claims::open(folder.path(), None, patient).expect("claims");
                let mut done = 0;
                while done < 30 {
                    if is_ours(&ours, "job") {
                        let before = working.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(before, 0, "two at once");
                        std::thread::yield_now();
                        working.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        ours.release("job");
                        done += 1;
                    }
                }
            });
        }
    });
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[test]
fn a_claim_that_was_never_written_down_is_stale_too() {
    let folder = tempfile::tempdir().expect("temporary folder");
    File::create(folder.path().join("job")).expect("made");
    let ours = Arc::new(claims(folder.path()));
    let mut told = 0;
    let guard = ours
        .guard("job", false, &mut |_| told += 1)
        .expect("stale in the end");
    assert_eq!(told, 1);
    let two = Arc::new(claims(folder.path()));
    assert!(matches!(
        two.guard("job", false, &mut |_| ()),
        Err(StoreError::Locked { .. })
    ));
    drop(guard);
    assert!(is_ours(&two, "job"));
}
