//! Figures, pages, comparisons and verification from the command line.

use super::*;

#[test]
fn figures_are_written_as_asked_and_nothing_on_an_error() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let run = bench
        .run(&["plot", "tiny", "--figure", "bars,classes", "--format", "svg,png"])
        .ok();
    let files: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(
        files,
        [
            "bars-2-models.svg",
            "bars-2-models.png",
            "classes-2-models.svg",
            "classes-2-models.png"
        ]
        .map(|name| format!("results/tiny/plots/{name}"))
    );
    assert!(files.iter().all(|file| bench.path(file).is_file()));
    let run = bench.run(&["plot", "tiny", "--figure", "bars,modles", "--out", "elsewhere"]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("unknown figure `modles`") && run.stderr.contains("did you mean `models`?"),
        "{}",
        run.stderr
    );
    let run = bench.run(&["plot", "tiny", "--figure", "models", "--out", "elsewhere"]);
    assert!(
        run.code == Some(2)
            && run
                .stderr
                .contains("no method with results for several numbers of models"),
        "{}",
        run.stderr
    );
    assert!(!bench.path("elsewhere").exists());
}

#[test]
fn a_page_links_to_the_manifest_and_shows_logs() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let run = bench.run(&["report", "tiny.toml"]).ok();
    assert_eq!(run.stdout, "results/tiny/report.html\n");
    let html = std::fs::read_to_string(bench.path("results/tiny/report.html")).expect("written");
    assert!(html.contains("href=\"../../tiny.toml\""));
    assert!(html.contains("finished"), "the jobs' logs are in it");
    std::fs::create_dir_all(bench.path("templates")).expect("folder");
    bench.write(
        "templates/report.html",
        "{{ experiment | html }} has {{ counts | length }} kinds\n{% if %}",
    );
    let run = bench.run(&["report", "tiny"]);
    assert!(
        run.code == Some(2) && run.stderr.contains("templates/report.html:2"),
        "{}",
        run.stderr
    );
}

#[test]
fn results_are_compared_by_place() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    bench
        .run(&["--results", "other", "exec", "tiny.toml", "base.epochs=4"])
        .ok();
    let same = bench.run(&["compare", "results/tiny", "tiny"]).ok();
    assert_eq!(
        same.stdout,
        "10 equal, 0 differ, 0 only in the first, 0 only in the second\n"
    );
    let run = bench.run(&["compare", "tiny", "other/tiny"]).ok();
    assert!(
        run.stdout.contains("changed: base.epochs: 3 -> 4"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("(McNemar)"),
        "predictions are compared: {}",
        run.stdout
    );
    let json = bench
        .run(&["compare", "tiny", "other/tiny", "--format", "json"])
        .ok()
        .json();
    assert_eq!(json["differing"].as_array().map(Vec::len), Some(10));
    let run = bench.run(&["compare", "tiny", "HEAD:results/tiny"]);
    assert!(
        run.code == Some(2) && run.stderr.contains("git has no `HEAD:results/tiny`"),
        "{}",
        run.stderr
    );
}

fn git(bench: &Bench, args: &[&str]) {
    let mut command = std::process::Command::new("git");
    command
        .args(["-c", "user.name=t", "-c", "user.email=t@t"])
        .args(args)
        .current_dir(bench.folder.path());
    assert!(command.output().expect("git").status.success(), "git {args:?}");
}

#[test]
fn records_that_are_not_the_committed_ones_are_refused_and_missing_ones_are_missed() {
    let bench = Bench::new();
    git(&bench, &["init", "--quiet"]);
    bench.exec(&[]).ok();
    git(&bench, &["add", "-A"]);
    git(&bench, &["commit", "--quiet", "-m", "results"]);
    // A confusion matrix alone is a difference.
    let store = runner::result::Store::at(bench.path("results/tiny"));
    let job = store.load_index().expect("index").jobs[9].job.clone();
    let mut record = store.load(&job).expect("record");
    record.metrics.as_mut().expect("metrics").confusion_matrix[0][0] += 1;
    store.save(record).expect("saved");
    let run = bench.run(&["compare", "HEAD:results/tiny", "tiny"]).ok();
    assert!(
        run.stdout.contains("the confusion matrix is another"),
        "{}",
        run.stdout
    );
    bench
        .run(&["verify", "tiny.toml"])
        .code(2)
        .says("records of `tiny` differ from those that are committed");
    // What is gone is missed by a sample, too.
    std::fs::remove_file(store.record_path(&job)).expect("removed");
    let run = bench
        .run(&["verify", "tiny.toml", "--allow-dirty", "--sample", "1"])
        .code(100);
    assert!(
        run.stdout
            .contains(&format!("{job}  has no record to compare with")),
        "{}",
        run.stdout
    );
    bench
        .run(&["verify", "tiny.toml", "--tolerance=-1"])
        .code(2)
        .says("a number of at least 0 is wanted");
}

#[test]
fn results_are_read_from_git_and_verified() {
    let bench = Bench::new();
    let git = |args: &[&str]| git(&bench, args);
    git(&["init", "--quiet"]);
    bench
        .run(&["verify", "tiny.toml", "--allow-dirty"])
        .code(2)
        .says("there are no results of `tiny` to compare with");
    bench.exec(&[]).ok();
    let run = bench.run(&["verify", "tiny.toml"]);
    assert!(
        run.code == Some(2) && run.stderr.contains("is not committed as it is"),
        "{}",
        run.stderr
    );
    git(&["add", "-A"]);
    git(&["commit", "--quiet", "-m", "results"]);
    let compared = bench.run(&["compare", "HEAD:results/tiny", "results/tiny"]).ok();
    assert!(
        compared.stdout.starts_with("10 equal, 0 differ"),
        "{}",
        compared.stdout
    );

    let run = bench.run(&["verify", "tiny.toml"]).ok();
    assert_eq!(
        run.stdout,
        "tiny: 10 of 10 verified jobs are the same, of 10 in all\n\
         the same is: metrics equal bit for bit (recorded and run on cpu); 10 jobs\n"
    );
    let json = bench
        .run(&["verify", "tiny.toml", "--sample", "2", "--format", "json"])
        .ok()
        .json();
    assert_eq!((&json["verified"], &json["same"]), (&2.into(), &2.into()));

    // A record whose numbers are not what comes out, sealed as if they were.
    let store = runner::result::Store::at(bench.path("results/tiny"));
    let job = store.load_index().expect("index").jobs[9].job.clone();
    let mut record = store.load(&job).expect("record");
    record.metrics.as_mut().expect("metrics").accuracy += 1e-12;
    store.save(record).expect("saved");
    git(&["commit", "--quiet", "-am", "another number"]);
    let run = bench.run(&["verify", "tiny.toml"]);
    assert_eq!(run.code, Some(100));
    assert!(
        run.stdout.contains(&format!("{job}  differs: accuracy ")),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("9 of 10 verified jobs are the same"),
        "{}",
        run.stdout
    );

    // What is torn is damaged, and what is of other settings is not held to them.
    let path = store.record_path(&job);
    let text = std::fs::read(&path).expect("record");
    runner::result::write_atomic(&path, &text[..text.len() / 2]).expect("torn");
    let run = bench.run(&["verify", "tiny.toml", "--allow-dirty"]).code(100);
    assert!(
        run.stdout.contains(&format!("{job}  its record is damaged: ")),
        "{}",
        run.stdout
    );
    runner::result::write_atomic(&path, &text).expect("whole");
    let run = bench
        .run(&["verify", "tiny.toml", "--allow-dirty", "base.epochs=4"])
        .code(100);
    assert_eq!(
        run.stdout
            .matches("settings changed since it was recorded: base.epochs: 3 -> 4")
            .count(),
        10,
        "{}",
        run.stdout
    );
    bench
        .run(&["compare", "HEAD", "HEAD"])
        .code(2)
        .says("`HEAD` is a revision of git")
        .says("`HEAD:results/NAME`");
}

#[test]
fn a_single_run_is_tested_over_its_examples() {
    let bench = Bench::new();
    bench.exec(&["seeds=1"]).ok();
    let args = [
        "table",
        "tiny",
        "--metric",
        "accuracy",
        "--baseline",
        "vanilla-averaging",
        "--test",
    ];
    let run = bench
        .run(&[args.as_slice(), &["mcnemar", "--format", "json"]].concat())
        .ok();
    let table = run.json();
    let ensemble = table["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .find(|row| row["label"] == "Ensemble")
        .expect("a row");
    let p = ensemble["cells"][0]["p"].as_f64().expect("a p");
    assert!((0.0..=1.0).contains(&p), "{p}");
    assert!(
        table["notes"][0]
            .as_str()
            .expect("a note")
            .contains("McNemar's exact test"),
        "{table}"
    );
    std::fs::remove_dir_all(bench.path("results/tiny/cache/predictions")).expect("removed");
    let run = bench.run(&[args.as_slice(), &["mcnemar"]].concat()).ok();
    assert!(
        run.stdout
            .contains("needs one run of each, and its answers to the test examples"),
        "{}",
        run.stdout
    );
    assert!(
        run.stderr.contains("warning: 2 of 2 differences") && run.stderr.contains("which git does not keep"),
        "{}",
        run.stderr
    );
    let run = bench.run(&[args.as_slice(), &["wilcoxn"]].concat());
    assert!(
        run.code == Some(2) && run.stderr.contains("did you mean `wilcoxon`?"),
        "{}",
        run.stderr
    );
}

/// A table of some jobs, the file that a second `[[report]]` of the template makes, and what is asked for in vain.
#[test]
fn tables_of_some_jobs_and_what_fits_no_table() {
    let reports = "[[report]]\nmetric = [\"accuracy\"]\n[[report]]\nmetric = [\"accuracy\"]\nbaseline = \"hf-linear\"\n";
    let bench = Bench::with(&format!("{TINY}\n{reports}"));
    bench.exec(&[]).ok();
    let read = |name: &str| {
        std::fs::read_to_string(bench.path(&format!("results/tiny/tables/{name}"))).expect("a table")
    };
    let second = read("methods-by-split-accuracy-2.tex");
    assert!(!read("methods-by-split-accuracy.tex").contains("--baseline"));
    let command = second
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("% Made by: runner "));
    let words: Vec<&str> = command.expect("a command").split(' ').collect();
    let made = bench.run(&words).ok().stdout;
    assert!(made.ends_with(&second), "{made}");

    let some = [
        "table",
        "tiny",
        "--metric",
        "loss",
        "--format",
        "csv",
        "-E",
        "method=hf-*",
        "-E",
        "model=0",
    ];
    let run = bench.run(&some).ok();
    // Two tables differ in their baseline.
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(
        lines
            .iter()
            .skip(1)
            .all(|line| line.contains("HF linear") || line.contains("Model 0")),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 1 + 2 * 2, "{lines:?}");
    bench.run(&["table", "tiny", "-E", "method=otfusion"]).code(4);
    bench
        .run(&["table", "tiny", "--axis", "split.parts"])
        .code(2)
        .says("the axis `split.parts` is for ablations");
    bench
        .run(&["plot", "tiny", "--figure", "bars", "--axis", "split.parts"])
        .code(2)
        .says("the axis `split.parts` is for the figure `ablation`");
    for (report, message) in [
        (
            "baseline = \"kf-linear\"",
            "the table has no row `kf-linear` to compare with",
        ),
        (
            "axis = \"split.parts\"",
            "the axis `split.parts` is for ablations",
        ),
        ("test = \"wilcoxon\"", "a test compares rows with a `baseline`"),
        (
            "template = \"ablation\"",
            "an ablation is along one axis, and none varies here",
        ),
        ("template = \"ablation.tex\"", "did you mean `ablation`?"),
    ] {
        bench.write("tiny.toml", &format!("{TINY}\n[[report]]\n{report}\n"));
        bench
            .run(&["check", "tiny.toml"])
            .code(2)
            .says(message)
            .says("tiny.toml:");
    }
    bench
        .run(&["table", "tiny", "--template", "kf", "--test", "t"])
        .code(2)
        .says("`--baseline ROW`");
}

/// Whatever is wrong with the results, the message says what and where, and nothing is written.
#[test]
fn no_empty_table_is_written() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let index = bench.path("results/tiny/index.json");
    let text = std::fs::read_to_string(&index).expect("an index");
    let write = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&text).expect("JSON");
        // The first version has no checksum.
        value["schema"] = 1.into();
        change(&mut value);
        bench.write("results/tiny/index.json", &value.to_string());
    };
    write(&|index| index["jobs"] = serde_json::json!([]));
    for command in ["table", "plot", "report"] {
        bench.run(&[command, "tiny"]).code(2).says("`tiny` has n");
    }
    assert!(!bench.path("results/tiny/report.html").exists());
    // Who asks for no tables in the manifest still gets one.
    write(&|index| index["tables"] = serde_json::json!([]));
    assert!(
        bench
            .run(&["table", "tiny"])
            .ok()
            .stdout
            .contains("test accuracy (%)")
    );
    write(&|index| index["schema"] = 9.into());
    for command in ["table", "plot", "report"] {
        bench
            .run(&[command, "tiny"])
            .code(2)
            .says("`results/tiny/index.json` has schema version 9, this program reads versions 1 to 2")
            .says("a newer version of this program wrote it");
    }
    write(&|_| {});
    std::fs::create_dir(bench.path("own")).expect("made");
    bench.write("own/empty.md", "{# layout: methods-by-split #}\n");
    bench
        .run(&["table", "tiny", "--templates", "own", "--template", "empty"])
        .code(2)
        .says("it makes an empty table");
    bench
        .run(&["table", "tiny", "--template", "kf-gradient-only"])
        .code(2)
        .says("kf-gradient");
    // Two tables are one document.
    let both = bench
        .run(&["table", "tiny", "--metric", "loss,f1", "--format", "json"])
        .ok()
        .json();
    assert_eq!(both.as_array().map(Vec::len), Some(2));
    let loss = [
        "table",
        "tiny",
        "--metric",
        "loss",
        "--baseline",
        "vanilla-averaging",
    ];
    let run = bench.run(&[&loss[..], &["--test", "mcnemar"]].concat()).ok();
    assert!(
        run.stdout.contains("is of accuracy alone") && !run.stdout.contains("*: differs"),
        "{}",
        run.stdout
    );
    for (args, message) in [
        (["--metric", "roc"], "unknown metric `roc`"),
        (["--columns", "sample"], "unknown metric `sample`"),
        (["--template", "full"], "unknown template `full`"),
        (["--baseline", "kf-linear"], "no row `kf-linear`"),
        (["--axis", "model.hidden"], "no axis `model.hidden`"),
    ] {
        let template: &[&str] = if args[0] == "--axis" {
            &["--template", "ablation"]
        } else {
            &[]
        };
        let run = bench.run(&[&["table", "tiny"], &args[..], template].concat());
        assert_eq!(run.stdout, "", "{args:?}");
        run.code(2).says(message);
    }
}

#[test]
fn verifying_tells_another_kind_of_cpu() {
    let bench = Bench::new();
    bench.exec(&[]).ok();
    let store = runner::result::Store::open(bench.path("results/tiny")).expect("store");
    let (name, _) = bench.record("fuse-vanilla-averaging-seed=1");
    let mut record = store.load(name.trim_end_matches(".json")).expect("a record");
    let metrics = record.metrics.as_mut().expect("metrics");
    metrics.loss += 1e-4;
    record.provenance.cpu = Some("x86_64: sse2".into());
    store.save(record.clone()).expect("saved");
    let run = bench
        .run(&["verify", "tiny.toml", "--allow-dirty", "--format", "json"])
        .ok();
    let text = run.json().to_string();
    assert!(
        text.contains("within 0.001 (another kind of CPU, x86_64: sse2 -> "),
        "{text}"
    );
    let run = bench
        .run(&["verify", "tiny.toml", "--allow-dirty", "--tolerance=1e-6"])
        .code(100);
    assert!(run.stdout.contains("another kind of CPU"), "{}", run.stdout);
    // Without another kind there is no excuse.
    record.provenance.cpu = None;
    store.save(record).expect("saved");
    let run = bench.run(&["verify", "tiny.toml", "--allow-dirty"]).code(100);
    assert!(run.stdout.contains("differs: loss"), "{}", run.stdout);
}
