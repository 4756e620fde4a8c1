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
    let owner = Owner {
        process: Process {
            host: "n1".into(),
            boot: "another".into(),
            ..Process::default()
        },
        slurm: Some("12_3".into()),
        id: id.into(),
        beat: format!("{:010}", 7),
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
fn many_processes_one_after_the_other_never_work_at_once() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let working = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let ours = claims(folder.path());
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
