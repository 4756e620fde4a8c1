//! Best and second best, tests against a baseline, costs and further columns, precision, macros.

use super::*;
use runner::report::{Cell, Test, to_csv, to_macros};

/// Accuracies of methods over seeds.
fn methods(values: &[(&str, &[f64])]) -> Summary {
    let each = values.iter().flat_map(|(name, values)| {
        let seeds = values.iter().zip(1..);
        seeds.map(|(value, seed)| record(Kind::Fuse, 2, seed, name, *value))
    });
    summary(&each.collect::<Vec<_>>())
}

fn marks(summary: &Summary) -> Vec<(bool, bool)> {
    let table = by_split(summary, Metric::Accuracy).expect("table");
    let mark = |row: &runner::report::Row| match row.cells[0] {
        Cell::Value { best, second, .. } => (best, second),
        _ => (false, false),
    };
    table.rows.iter().map(mark).collect()
}

const BEST: (bool, bool) = (true, false);
const SECOND: (bool, bool) = (false, true);
const NONE: (bool, bool) = (false, false);

#[test]
fn what_prints_alike_and_what_lies_within_a_standard_error_is_marked_alike() {
    let single = methods(&[
        ("hf-linear", &[0.912_34]),
        ("kf-linear", &[0.912_32]),
        ("kf-gradient", &[0.9]),
        ("otfusion", &[0.9]),
        ("git-rebasin", &[0.8]),
    ]);
    assert_eq!(marks(&single), [BEST, BEST, SECOND, SECOND, NONE]);
    // The best has mean .93 and standard error .01: .921 is as good, .919 is not.
    let several = methods(&[
        ("hf-linear", &[0.91, 0.93, 0.95].map(|x| x * 1.0)),
        ("kf-linear", &[0.92]),
        ("kf-gradient", &[0.915]),
    ]);
    assert_eq!(marks(&several), [BEST, BEST, SECOND]);
    // A single run that is best by less than another's standard error, .01.
    let once = methods(&[
        ("hf-linear", &[0.935]),
        ("kf-linear", &[0.91, 0.93, 0.95]),
        ("kf-gradient", &[0.9]),
    ]);
    assert_eq!(marks(&once), [BEST, BEST, SECOND]);
    assert_eq!(
        marks(&methods(&[("hf-linear", &[0.9]), ("ensemble", &[0.99])])),
        [NONE, NONE]
    );
}

fn against(summary: &Summary, baseline: &str, test: Test) -> Result<Table, ReportError> {
    let options = TableOptions {
        baseline: Some(baseline.to_string()),
        test,
        precision: Some(1),
        ..TableOptions::new(Metric::Accuracy)
    };
    Table::of(summary, &options)
}

fn p_values(table: &Table) -> Vec<Option<f64>> {
    let p = |row: &runner::report::Row| match row.cells[0] {
        Cell::Value { p, .. } => p,
        _ => None,
    };
    table.rows.iter().map(p).collect()
}

/// p of `scipy.stats.ttest_rel` and `scipy.stats.wilcoxon` of SciPy 1.17.1; Holm doubles the smaller one.
#[test]
#[expect(clippy::unreadable_literal, reason = "as SciPy prints them")]
fn tests_against_a_baseline_are_paired_and_corrected() {
    let summary = methods(&[
        ("vanilla-averaging", &[0.80, 0.81, 0.79, 0.83, 0.80]),
        ("kf-gradient", &[0.90, 0.92, 0.90, 0.91, 0.92]),
        ("hf-linear", &[0.81, 0.80, 0.80, 0.83, 0.81]),
    ]);
    let table = against(&summary, "vanilla-averaging", Test::T).expect("table");
    let p = p_values(&table);
    let close = |found: Option<f64>, expected: f64| {
        assert!(
            (found.expect("a p") - expected).abs() < 1e-12,
            "{found:?} {expected}"
        );
    };
    assert_eq!(p[0], None);
    close(p[1], 2.0 * 0.00010551622649142079);
    close(p[2], 0.37390096630005887);
    let text = render(Format::Markdown, &table);
    assert!(text.contains("| **91.0 (±1.0)**\\* |"), "{text}");
    assert!(text.contains("_81.0 (±1.2)_ |"), "{text}");
    assert!(
        text.contains("differs from Vanilla averaging at the level 0.05"),
        "{text}"
    );

    let table = against(&summary, "Vanilla averaging", Test::Wilcoxon).expect("by its label");
    close(p_values(&table)[1], 0.125);
    assert!(
        table.notes[1].contains(
            "With n = 5 pairs Wilcoxon's p cannot go below 0.0625, 0.125 after Holm's correction over 2 rows, so nothing",
        ),
        "{:?}",
        table.notes
    );
    let error = against(&summary, "vanila-averaging", Test::T).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "the table has no row `vanila-averaging` to compare with"
    );
    assert!(
        error
            .hint()
            .expect("hint")
            .contains("did you mean `vanilla-averaging`?")
    );
    // One set of base models: runs of the methods, a method without randomness having one.
    let random = |name: &'static str, method_seed: u64, accuracy: f64| {
        with(record(Kind::Fuse, 2, 1, name, accuracy), |record| {
            record.method_seed = Some(method_seed);
            record.settings = json!({"method-seed": method_seed});
        })
    };
    let mut records = vec![random("hf-linear", 0, 0.8)];
    records.extend((0..4).map(|seed| random("kf-linear", seed, 0.9 + seed as f64 / 100.0)));
    let table = against(&super::summary(&records), "hf-linear", Test::T).expect("table");
    close(p_values(&table)[1], 0.0003856171515912925);
    assert!(
        table.notes[1].contains("this says nothing about other base models"),
        "{:?}",
        table.notes
    );
    let once = methods(&[("vanilla-averaging", &[0.8]), ("kf-gradient", &[0.9])]);
    let table = against(&once, "vanilla-averaging", Test::T).expect("table");
    assert_eq!(p_values(&table), [None, None]);
    assert_eq!(
        table.notes,
        ["No difference from Vanilla averaging can be tested: the paired t-test needs three pairs of runs."]
    );
    assert_eq!(
        table.warnings,
        [
            "1 of 1 differences from Vanilla averaging could not be tested: the paired t-test needs three pairs of runs"
        ]
    );
    // With two pairs there would be a p, of one degree of freedom; rows that are equal in every run have a p of 1.
    let twice = methods(&[
        ("vanilla-averaging", &[0.8, 0.81, 0.83]),
        ("kf-gradient", &[0.9, 0.91]),
        ("hf-linear", &[0.8, 0.81, 0.83]),
    ]);
    let table = against(&twice, "vanilla-averaging", Test::T).expect("table");
    assert_eq!(p_values(&table), [None, None, Some(1.0)]);
    assert!(
        table.warnings[0].starts_with("1 of 2 differences"),
        "{:?}",
        table.warnings
    );
    assert!(
        table.notes[1].starts_with("Not every difference could be tested"),
        "{:?}",
        table.notes
    );
}

#[test]
fn further_columns_stand_beside_each() {
    let mut records = Vec::new();
    for seed in [1, 2] {
        for (model, accuracy) in [(0, 0.8), (1, 0.5)] {
            records.push(record(Kind::Train, 2, seed, &format!("model_{model}"), accuracy));
        }
        records.push(with(record(Kind::Fuse, 2, seed, "kf-linear", 0.6), |record| {
            record.seconds.insert("fuse".to_string(), 1.25);
            record.provenance.peak_memory = Some(300 << 20);
            record.diagnostics = json!({"fusion-samples": 400});
        }));
        records.push(record(Kind::Fuse, 2, seed, "vanilla-averaging", 0.4));
    }
    let summary = summary(&records);
    let options = TableOptions {
        columns: [
            Metric::NormalisedAccuracy,
            Metric::FuseSeconds,
            Metric::PeakMemory,
            Metric::Samples,
        ]
        .to_vec(),
        ..TableOptions::new(Metric::Accuracy)
    };
    let table = Table::of(&summary, &options).expect("table");
    insta::assert_snapshot!(render(Format::Markdown, &table), @r"
    **quick\_start**: test accuracy (%) on digits, mean (±standard deviation) over 2 runs

    | Method            | Importance | 2 models, acc. (%) | 2 models, norm. acc. (%) | 2 models, fuse (s) | 2 models, memory (MiB) | 2 models, samples |
    | ----------------- | ---------- | -----------------: | -----------------------: | -----------------: | ---------------------: | ----------------: |
    | Model 0           | --         |      80.00 (±0.00) |           100.00 (±0.00) |                N/A |                    N/A |               N/A |
    | Model 1           | --         |      50.00 (±0.00) |            62.50 (±0.00) |                N/A |                    N/A |               N/A |
    | KF linear         | --         |  **60.00 (±0.00)** |        **75.00 (±0.00)** |       1.25 (±0.00) |                    300 |               400 |
    | Vanilla averaging | --         |    _40.00 (±0.00)_ |          _50.00 (±0.00)_ |                N/A |                    N/A |               N/A |
    ");
    assert!(
        to_csv(std::slice::from_ref(&table), false).contains(
            "network,KF linear,,\"2 models, memory (MiB)\",value,peak_memory,314572800,0,2,false,false,\r\n"
        ),
        "{}",
        to_csv(std::slice::from_ref(&table), false)
    );
    let json = serde_json::to_string(&summary).expect("JSON");
    assert!(
        !json.contains("peak") && !json.contains("normalised"),
        "costs would make equal results differ"
    );
    let request = runner::result::TableRequest {
        columns: vec!["fuse_secnds".to_string()],
        ..runner::result::TableRequest::default()
    };
    let error = TableOptions::requested(&request, "accuracy", "methods-by-split".to_string())
        .expect_err("unknown column");
    assert_eq!(error.to_string(), "unknown metric `fuse_secnds`");
    let hint = error.hint().expect("hint");
    assert!(
        hint.starts_with("did you mean `fuse_seconds`? Known are: "),
        "{hint}"
    );
}

#[test]
fn each_cell_has_a_macro() {
    let text = to_macros(&[table(Metric::Accuracy)]);
    // `quick_start` is not to be mistaken for `quick-start`.
    let prefix = "\\newcommand{\\QuickStartMethodsBySplit";
    let tag = text.split_once(prefix).expect("a macro").1[..4].to_string();
    assert!(
        tag != "Accu" && tag.chars().all(|c| c.is_ascii_alphabetic()),
        "{tag}"
    );
    let text = text.replace(&format!("{prefix}{tag}"), prefix);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.contains(&"\\newcommand{\\QuickStartMethodsBySplitAccuracyKFGradientDeepLIFTFourModels}{\\ensuremath{92.50 \\pm 0.71}}"),
        "{text}"
    );
    assert!(
        lines.contains(
            &"\\newcommand{\\QuickStartMethodsBySplitAccuracyKFGradientUniformFourModels}{\\textrm{--}}"
        ),
        "{text}"
    );
    assert!(
        lines.contains(
            &"\\newcommand{\\QuickStartMethodsBySplitAccuracyHFLinearUniformFourModels}{\\textrm{N/A}}"
        ),
        "{text}"
    );
    let mut names: Vec<&str> = lines[2..]
        .iter()
        .filter_map(|line| line.split('}').next())
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "names are unique");
}

/// The line on top of a file makes it again.
#[test]
fn a_table_says_what_made_it() {
    let (index, records) = experiment();
    let summary = Summary::from_records(&index, &records).expect("summary");
    let request = runner::result::TableRequest {
        template: "methods-by-split".to_string(),
        columns: ["fuse_seconds", "loss", "seconds", "accuracy"]
            .map(str::to_string)
            .to_vec(),
        precision: Some(1),
        baseline: Some("KF gradient, Uniform".to_string()),
        test: Some("wilcoxon".to_string()),
        ..runner::result::TableRequest::default()
    };
    let options = TableOptions::requested(&request, "accuracy", "methods-by-split".to_string());
    let table = Table::of(&summary, &options.expect("options")).expect("table");
    let expected = "runner table quick_start --template methods-by-split --metric accuracy --columns fuse_seconds,loss \
                    --precision 1 --baseline 'KF gradient, Uniform' --test wilcoxon";
    assert_eq!(table.command, expected);
    let latex = render(Format::Latex, &table);
    assert!(
        latex.starts_with(&format!("% Made by: {expected} --format latex\n")),
        "{latex}"
    );
    let ablated = TableOptions {
        template: "ablation".to_string(),
        layout: "ablation".to_string(),
        ..TableOptions::new(Metric::Loss)
    };
    let table = Table::of(&super::summary(&super::layouts::ablation()), &ablated).expect("table");
    assert!(
        table
            .command
            .ends_with("--template ablation --metric loss --axis model.hidden"),
        "{}",
        table.command
    );
}
