//! From jobs to tasks, and what goes wrong on the way.

use super::*;

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
fn more_tasks_than_an_array_may_have_become_several_arrays() {
    let Some(here) = Here::with(TINY) else { return };
    let arrays = |here: &Here, from: usize| -> Vec<String> {
        let scripts = here.text(".sh");
        let lines = scripts
            .lines()
            .filter_map(|line| line.strip_prefix("#SBATCH --array="));
        lines
            .skip(from)
            .map(|line| line.trim_matches('"').to_string())
            .collect()
    };
    let run = here.submit(&["slurm.pack=1"]).ok();
    assert!(
        run.stdout
            .contains("10 jobs submitted to Slurm as 10 tasks, arrays"),
        "{}",
        run.stdout
    );
    // Four trainings; six fusions, that wait for all of them.
    assert_eq!(arrays(&here, 0), ["0-3", "0-4", "0"]);
    assert_eq!(here.text(".sh").matches("--dependency=\"afterany:").count(), 2);
    here.until_done(10);
    assert_eq!(here.records(), undisturbed(TINY));
    // All are done: the next submission takes the place of this one. A task leaves the queue after its last record.
    until("the queue is empty", || here.cluster.queued().is_empty());
    let more = TINY.replace("seeds = [1, 2]", "seeds = [3, 4, 5, 6, 7, 8]");
    here.write("tiny.toml", &more);
    let run = here.submit(&["slurm.pack=3"]).ok();
    assert!(
        run.stdout
            .contains("30 jobs submitted to Slurm as 12 tasks, arrays"),
        "{}",
        run.stdout
    );
    // Of each seed two trainings in a task, three fusions in the one of the same number.
    assert_eq!(arrays(&here, 0), ["0-4", "0", "0-4", "0"]);
    let scripts = here.text(".sh");
    let waits: Vec<&str> = scripts
        .lines()
        .filter(|line| line.contains("--dependency"))
        .collect();
    assert_eq!(waits.len(), 2);
    assert!(
        waits
            .iter()
            .all(|line| line.contains("aftercorr:") && !line.contains(',')),
        "{waits:?}"
    );
    here.until_done(30);
    // Those of the first manifest's seeds are set aside.
    assert_eq!(here.records(), undisturbed(&more));
}

#[test]
fn jobs_that_share_a_gpu_run_at_once_in_one_task() {
    let manifest = TINY
        .replace("epochs = 3", "epochs = 10000000")
        .replace("seeds = [1, 2]", "seeds = [1]");
    let Some(here) = Here::with(&manifest) else { return };
    here.submit(&[
        "--device",
        "cpu",
        "slurm.pack=5",
        "resources.gpus=0.5",
        "resources.cores=1",
        "resources.memory=300M",
    ])
    .ok();
    until("both trainings run", || here.count("running") == 2);
    assert_eq!(
        here.cluster
            .queued()
            .iter()
            .filter(|task| task.ends_with("RUNNING"))
            .count(),
        1
    );
    let script = std::fs::read_to_string(here.only("/0.sh")).expect("a script");
    for line in ["--gres=\"gpu:1\"", "--cpus-per-task=\"2\"", "--mem=\"614400K\""] {
        assert!(script.contains(line), "{line}: {script}");
    }
    here.runner(&["cancel", "tiny"]).ok();
    until("the queue is empty", || here.cluster.queued().is_empty());
    let claims = here.files().into_iter().filter(|file| file.contains("/claims/"));
    assert_eq!(claims.count(), 0, "both gave theirs back");
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
