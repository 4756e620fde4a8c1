//! Groups of models and the first n, from the manifest to the table.

use super::*;

/// Four models that saw everything, each with a seed of its own.
const SET: &str = r#"name = "tiny"

[dataset]
name = "digits"

[model-set]
seeds = [11, 12, 13, 14]

[model]
hidden = [8]

[base]
epochs = 2

[fusion-set]
samples = 50

[[fusion]]
method = "vanilla-averaging"

[[fusion]]
method = "hf-linear"
groups = { size = 2 }

[[fusion]]
method = "kf-linear"
groups = { size = 3, sample = 2, with = ["ensemble"] }

[[fusion]]
method = "vanilla-averaging"
first = [2, 4]
"#;

fn summary(bench: &Bench) -> Value {
    let text = std::fs::read_to_string(bench.path("results/tiny/summary.json")).expect("a summary");
    serde_json::from_str(&text).expect("JSON")
}

/// The only group of the summary with this method and number of models.
fn group<'a>(summary: &'a Value, method: &str, axis: &str) -> &'a Value {
    let groups = summary["groups"].as_array().expect("groups").iter();
    let mut found = groups.filter(|group| group["method"] == method && !group["axes"][axis].is_null());
    let (group, next) = (found.next(), found.next());
    assert!(next.is_none(), "{method} by {axis}");
    group.unwrap_or_else(|| panic!("no {method} by {axis}"))
}

#[test]
fn statistics_run_over_groups() {
    let bench = Bench::with(SET);
    let run = bench.exec(&[]).ok();
    // Four models, all four averaged, three times six pairs, twice two groups of three; the first two are the pair 0-1,
    // and the first four are all.
    assert_eq!(bench.records().len(), 4 + 1 + 18 + 4);
    let summary = summary(&bench);
    let pairs = &group(&summary, "hf-linear", "fusion.groups")["metrics"]["accuracy"];
    let names: Vec<&str> = pairs["values"]
        .as_array()
        .expect("values")
        .iter()
        .map(|v| v["group"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, ["g0-1", "g0-2", "g0-3", "g1-2", "g1-3", "g2-3"]);
    let values: Vec<f64> = pairs["values"]
        .as_array()
        .expect("values")
        .iter()
        .map(|v| v["value"].as_f64().expect("a number"))
        .collect();
    let mean = values.iter().sum::<f64>() / 6.0;
    let std = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 5.0).sqrt();
    assert!((pairs["mean"].as_f64().expect("mean") - mean).abs() < 1e-12);
    assert!((pairs["std"].as_f64().expect("std") - std).abs() < 1e-12);
    assert_eq!(pairs["n"], 6);
    assert_eq!(
        group(&summary, "kf-linear", "fusion.groups")["metrics"]["accuracy"]["n"],
        2
    );
    // The record of pair 0-1 stands in two rows.
    let average = bench.record("vanilla-averaging-g0-1").1["metrics"]["accuracy"].clone();
    let averages = summary["groups"].as_array().expect("groups").iter();
    let first: Vec<&Value> = averages
        .filter(|group| group["axes"]["fusion.first"] == 2)
        .collect();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0]["metrics"]["accuracy"]["values"][0]["value"], average);
    for row in [
        "Vanilla averaging ",
        "Vanilla averaging, first 2",
        "Vanilla averaging, first 4",
        "Vanilla averaging, groups of 2",
        "Ensemble, groups of 2",
        "Ensemble, groups of 3",
        "HF linear, groups of 2",
        "KF linear, groups of 3 ",
    ] {
        assert_eq!(
            run.stdout
                .lines()
                .filter(|line| line.starts_with(&format!("| {row}")))
                .count(),
            1,
            "{row}\n{}",
            run.stdout
        );
    }
    assert!(
        !run.stdout.contains("N/A") && !run.stdout.contains("-- |\n"),
        "{}",
        run.stdout
    );
    // All of it is there: a second run does nothing, and a status counts every job once.
    assert!(bench.to_run(&[]).is_empty());
    bench.run(&["status", "tiny"]).ok();
    let status = bench.run(&["status", "tiny", "--format", "json"]).ok().json();
    assert_eq!(
        (&status["counts"]["ok"], status["jobs"].as_array().map(Vec::len)),
        (&27.into(), Some(27))
    );
}

#[test]
fn a_longer_list_of_seeds_and_another_sample_compute_what_is_new() {
    let bench = Bench::with(SET);
    bench
        .exec(&["model-set.seeds=[11, 12]", "-E", "kind=train|fuse,group=0-1"])
        .code(2)
        .says("there are only 2 models here");
    bench.exec(&[]).ok();
    let before = bench.records();
    let grown = bench.to_run(&["model-set.seeds=[11, 12, 13, 14, 15]"]);
    // The fifth model, its four pairs three times over, other groups of three, all five averaged.
    assert!(
        grown.iter().any(|job| job.starts_with("train-model_4")),
        "{grown:?}"
    );
    assert!(
        !grown
            .iter()
            .any(|job| job.contains("train-model_0") || job.contains("hf-linear-uniform-g0-1")),
        "{grown:?}"
    );
    assert_eq!(grown.iter().filter(|job| job.contains("hf-linear")).count(), 4);
    // Seed 12 first: the same models under other numbers.
    bench
        .exec(&["model-set.seeds=[12, 11, 13, 14]", "-E", "kind=train"])
        .ok();
    let (name, record) = bench.record("train-model_0");
    assert_eq!(
        (&record["seed"], &record["models"][0]),
        (&12.into(), &"model_0".into())
    );
    let same = before
        .values()
        .find(|old| old["key"] == record["key"])
        .expect("the same job");
    assert_eq!(
        (&same["models"][0], &same["metrics"]),
        (&"model_1".into(), &record["metrics"]),
        "{name}"
    );
}

#[test]
fn the_first_by_accuracy_are_those_of_the_best_models() {
    let bench = Bench::with(&SET.replace("[base]\n", "[base]\norder = \"test-accuracy\"\n"));
    bench.exec(&["-E", "first=2", "-E", "kind=train"]).ok();
    let accuracy = |model: usize| {
        bench.record(&format!("train-model_{model}")).1["metrics"]["accuracy"]
            .as_f64()
            .expect("a number")
    };
    let mut ranked: Vec<usize> = (0..4).collect();
    ranked.sort_by(|a, b| accuracy(*b).total_cmp(&accuracy(*a)));
    let record = bench.record("first=2").1;
    let expected: Vec<String> = ranked[..2].iter().map(|model| format!("model_{model}")).collect();
    assert_eq!(record["models"], serde_json::json!(expected));
    // The pair of these two in their own right gives the same numbers.
    let mut pair = ranked[..2].to_vec();
    pair.sort_unstable();
    bench
        .exec(&["-E", &format!("method=vanilla-*,group={}-{}", pair[0], pair[1])])
        .ok();
    let group = bench
        .record(&format!("vanilla-averaging-g{}-{}", pair[0], pair[1]))
        .1;
    assert_eq!(
        (&group["metrics"], &group["models"]),
        (&record["metrics"], &record["models"])
    );
    assert!(bench.to_run(&["-E", "first=2"]).is_empty());
}
