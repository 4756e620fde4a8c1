//! What comes between: time limits, preemption, lost nodes, memory, clocks.

use super::*;

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
fn of_an_array_only_the_task_whose_time_is_up_is_queued_again() {
    let manifest = long(2000);
    let Some(here) = Here::with(&manifest) else { return };
    here.submit(&["slurm.pack=1"]).ok();
    until("both trainings are under way", || {
        let logs = here.files().into_iter().filter(|file| file.contains("/logs/"));
        let begun = |file: String| std::fs::read_to_string(file).is_ok_and(|log| log.contains("epoch="));
        logs.map(begun).filter(|&begun| begun).count() == 2
    });
    let id = std::fs::read_to_string(here.only("/0.id")).expect("an id");
    // Slurm knows the last task of an array by the array's own number, too.
    here.cluster
        .slurm("scancel", &["--batch", "--signal=TERM", &format!("{id}_1")]);
    until("it is queued again", || {
        here.output().contains("queued again, to go on from here")
    });
    let sibling = format!("{id}_0 RUNNING");
    assert!(
        here.cluster.queued().contains(&sibling),
        "{:?}",
        here.cluster.queued()
    );
    here.until_done(5);
    let output = here.output();
    assert_eq!(
        output.matches("queued again, to go on from here").count(),
        1,
        "{output}"
    );
    assert!(output.matches("DUE TO JOB REQUEUE").count() <= 1, "{output}");
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
    here.cluster.start_again();
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

#[test]
fn a_task_that_is_preempted_or_queued_again_in_mid_training_gives_the_same_numbers() {
    let manifest = long(1000);
    let Some(here) = Here::with(&manifest) else { return };
    let args = [
        "exec",
        "tiny.toml",
        "--executor",
        "slurm",
        "slurm.pack=5",
        "resources.checkpoint=200ms",
    ];
    here.runner(&[&args[..], &["slurm.options=['--nodelist=n1']"]].concat())
        .ok();
    let other = Bench::with(&manifest);
    let mut command = other.std(&[&args[..], &["slurm.options=['--nodelist=n2']"]].concat());
    command.env("SLURM_CONF", here.cluster.folder.join("slurm.conf"));
    Run::of(command.output().expect("the program starts")).ok();
    let saved = |bench: &Bench| {
        let files = bench.files().into_iter();
        files
            .filter(|file| file.contains(".training-0") && !file.contains(".tmp-"))
            .count()
            > 0
    };
    until("both trainings have been saved", || saved(&here) && saved(&other));
    here.cluster.slurm(
        "scontrol",
        &["create", "PartitionName=urgent", "Nodes=n1,n2", "PriorityTier=10"],
    );
    // Slurm itself pushes the one out, as its partition is the lesser: SIGTERM, and two seconds later SIGKILL.
    here.cluster.slurm(
        "sbatch",
        &[
            "--partition=urgent",
            "--nodelist=n1",
            "--exclusive",
            "--output=/dev/null",
            "--wrap=sleep 1",
        ],
    );
    let id = |bench: &Bench| {
        let file = bench.files().into_iter().find(|file| file.ends_with("/0.id"));
        std::fs::read_to_string(file.expect("submitted")).expect("an id")
    };
    let (preempted, requeued) = (id(&here), id(&other));
    here.cluster
        .slurm("scontrol", &["requeue", &format!("{requeued}_0")]);
    assert_eq!(
        here.records().len() + other.records().len(),
        0,
        "neither had ended"
    );
    until("all jobs are done", || {
        std::thread::sleep(Duration::from_millis(200));
        here.records().len() + other.records().len() == 10
    });
    let expected = undisturbed(&manifest);
    for (bench, id, word) in [
        (&here.bench, preempted, "DUE TO PREEMPTION"),
        (&other, requeued, "DUE TO JOB REQUEUE"),
    ] {
        assert_eq!(bench.records(), expected, "{word}");
        let text = |part: &str| -> String {
            let files = bench.files().into_iter().filter(|file| file.contains(part));
            files
                .map(|file| std::fs::read_to_string(file).unwrap_or_default())
                .collect()
        };
        assert!(text("/out/").contains(word), "{}", text("/out/"));
        assert!(
            text("/logs/").contains("going on with the saved training"),
            "{word}"
        );
        let job = here
            .cluster
            .slurm("scontrol", &["show", "job", &format!("{id}_0")]);
        assert!(job.contains("Restarts=1"), "{job}");
    }
}

#[test]
fn a_job_that_is_killed_for_its_memory_fails_and_is_not_submitted_again_without_a_word() {
    let manifest = TINY
        .replace("seeds = [1, 2]", "seeds = [1]")
        .replace("hidden = [8]", "hidden = [400000]")
        .replace("epochs = 3", "epochs = 100000");
    let Some(here) = Here::with(&manifest) else { return };
    // Only there memory is watched for sure: another test has the tool start n1 again.
    let args = [
        "slurm.pack=1",
        "resources.memory=200M",
        "slurm.options=['--nodelist=n2']",
    ];
    here.submit(&args).ok();
    until("the tasks have ended", || here.cluster.queued().is_empty());
    assert_eq!(here.records().len(), 0, "there was no time for one");
    let id = std::fs::read_to_string(here.only("/0.id")).expect("an id");
    let text = format!(
        "Slurm ended task {id}_0 while it ran this job: it used more memory than the 200 MiB it had asked for (`--mem`)"
    );
    let status = here.runner(&["status", "tiny"]).ok().stdout;
    assert!(
        status.contains("failed   train-model_0") && status.contains(&text),
        "{status}"
    );
    assert!(status.contains("2 failed, 3 missing"), "{status}");
    let run = here.submit(&args).code(100);
    assert!(
        run.stderr
            .contains(&format!(": {text}\nhint: raise `resources.memory`")),
        "{}",
        run.stderr
    );
    assert_eq!(here.cluster.queued(), Vec::<String>::new());
    let records = here.records();
    let count = |status: &str| {
        records
            .values()
            .filter(|record| record["status"] == status)
            .count()
    };
    assert_eq!((count("failed"), count("skipped")), (2, 3), "{records:?}");
    let (_, record) = here.record("train-model_0");
    assert_eq!(record["error"]["chain"][0], text);
    // From here on it is one that failed, as any other.
    let plan = here.to_run(&[]);
    assert!(
        plan.iter()
            .any(|line| line.contains("train-model_0") && line.ends_with("failed before")),
        "{plan:?}"
    );
    let run = here
        .submit(&["slurm.pack=1", "resources.memory=2G", "slurm.options=['--hold']"])
        .ok();
    assert!(run.stdout.contains("5 jobs submitted"), "{}", run.stdout);
}

#[test]
fn nodes_whose_clocks_are_wrong_say_so_and_each_job_runs_once() {
    let Some(here) = Here::with(TINY) else { return };
    let setup = r"slurm.setup=['[ $SLURMD_NODENAME = n1 ] && export RUNNER_FAULTS=clock=240 || export RUNNER_FAULTS=clock=-240']";
    // A node to each of four trainings.
    here.submit(&["slurm.pack=1", "resources.cores=4", setup]).ok();
    here.until_done(10);
    let output = here.output();
    for word in ["is 4m ahead of", "is 4m behind"] {
        assert!(output.contains(word), "{word}: {output}");
    }
    assert_eq!(here.records(), undisturbed(TINY));
    assert_eq!(here.logs().matches(" finished ").count(), 10, "{}", here.logs());
}
