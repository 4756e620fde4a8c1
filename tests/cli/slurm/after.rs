//! What comes after a submission: another one, a cancel, the end, clearing away.

use super::*;

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
    // A task that has just ended may still be completing.
    let told = ["tiny: 2 tasks cancelled", "tiny: 3 tasks cancelled"];
    assert!(told.iter().any(|text| said.contains(text)), "{said}");
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
fn what_has_ended_is_cleared_away_and_what_is_queued_is_not() {
    let Some(here) = Here::with(TINY) else { return };
    here.submit(&["slurm.pack=5", "slurm.options=['--hold']"]).ok();
    let submission = |here: &Here| {
        let files = here.files().into_iter();
        files.filter(|file| file.contains("/cache/slurm/")).count()
    };
    let before = submission(&here);
    // Another plan has taken the place of the one that is queued, which needs what was trained for it all the same.
    here.exec(&["-E", "kind=train"]).ok();
    here.exec(&["base.epochs=1"]).ok();
    let gone = here.runner(&["gc", "tiny"]).ok().stdout;
    assert!(gone.ends_with("0 files, 0 bytes removed\n"), "{gone}");
    assert_eq!(submission(&here), before);
    here.runner(&["cancel", "tiny"]).ok();
    until("the queue is empty", || here.cluster.queued().is_empty());
    let before = submission(&here);
    // Where nobody tells what has ended, nothing has.
    let mut command = here.command(&["gc", "tiny", "--dry-run"]);
    let run = Run::of(command.env("PATH", "/nowhere").output().expect("starts")).ok();
    assert!(
        run.stderr.contains("what was submitted to Slurm stays"),
        "{}",
        run.stderr
    );
    assert!(
        run.stdout.ends_with("0 files, 0 bytes would be removed\n"),
        "{}",
        run.stdout
    );
    let dry = here.runner(&["gc", "tiny", "--dry-run"]).ok().stdout;
    assert!(
        dry.contains("/cache/slurm/") && dry.contains("train-model_0"),
        "{dry}"
    );
    assert_eq!(submission(&here), before);
    let gone = here.runner(&["gc", "tiny"]).ok().stdout;
    assert_eq!(gone.replace("removed", "would be removed"), dry);
    assert_eq!(submission(&here), 0);
    here.exec(&["base.epochs=1"]).ok().says("10 up to date");
}

#[test]
fn a_command_hears_of_the_end_of_what_was_submitted() {
    let Some(here) = Here::with(TINY) else { return };
    let command =
        r#"notify.command="cat >heard.json; printf '%s|%s' \"$NOTIFY_STATUS\" \"$NOTIFY_MESSAGE\" >heard""#;
    let heard = |words: &str| {
        let path = here.path("heard");
        until("it was told", || path.exists());
        until(words, || {
            std::fs::read_to_string(&path).is_ok_and(|text| text == words)
        });
        std::fs::remove_file(&path).expect("there");
    };
    here.submit(&["slurm.pack=5", command]).ok();
    heard("ok|tiny: ok, 10 jobs, 0 up to date, 10 run, 0 failed, 0 skipped");
    let text = std::fs::read_to_string(here.path("heard.json")).expect("document");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&document["status"], &document["ok"]), (&"ok".into(), &10.into()));
    here.submit(&["slurm.pack=5", "-f", "resources.timeout=1ns", command])
        .ok();
    heard("failed|tiny: failed, 10 jobs, 0 up to date, 0 run, 4 failed, 6 skipped");
    here.submit(&["slurm.pack=5", "slurm.options=['--hold']", command])
        .ok();
    here.runner(&["cancel", "tiny"]).ok();
    heard("interrupted|tiny: interrupted, 10 jobs, 0 up to date, 0 run, 0 failed, 0 skipped");
}
