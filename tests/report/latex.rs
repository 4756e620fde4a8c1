//! What we write for LaTeX, through a real LaTeX where one is installed.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use runner::report::{FIGURES, FigureOptions, figures, load, study_figure, to_macros};
use runner::result::Store;

use super::layouts::{ablation, full_data};
use super::*;

/// Compiles a document on wide paper and returns its text, without line breaks; `None`, said aloud, where a program is
/// missing.
fn compiled(what: &str, packages: &str, body: &str) -> Option<String> {
    compiled_on("a3paper,landscape,margin=5mm", what, packages, body)
}

/// The same on this paper, where nothing may be wider than the text.
fn compiled_on(paper: &str, what: &str, packages: &str, body: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("temporary folder");
    let document = format!(
        "\\documentclass{{article}}\n\\usepackage[{paper}]{{geometry}}\n\\usepackage{{booktabs,adjustbox}}\n{packages}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
    );
    runner::result::write_atomic(&folder.path().join("t.tex"), document.as_bytes()).expect("write");
    let run = |program: &str, args: &[&str]| {
        Command::new(program)
            .args(args)
            .current_dir(folder.path())
            .output()
    };
    let Ok(made) = run(
        "pdflatex",
        &["-interaction=nonstopmode", "-halt-on-error", "t.tex"],
    ) else {
        crate::shared::say_skipped(what, "`pdflatex` is not installed");
        return None;
    };
    assert!(
        made.status.success(),
        "{what}: {}",
        String::from_utf8_lossy(&made.stdout)
    );
    let said = String::from_utf8_lossy(&made.stdout);
    let wide: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("Overfull \\hbox"))
        .collect();
    assert!(wide.is_empty(), "{what}: {wide:?}");
    let Ok(text) = run("pdftotext", &["-layout", "t.pdf", "-"]) else {
        crate::shared::say_skipped(what, "`pdftotext` is not installed");
        return None;
    };
    let text = String::from_utf8_lossy(&text.stdout).replace('\u{ad}', "-");
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn has(style: &str) -> bool {
    let found = Command::new("kpsewhich").arg(style).output();
    found.is_ok_and(|run| {
        run.status.success() && Path::new(String::from_utf8_lossy(&run.stdout).trim()).is_file()
    })
}

/// All layouts, with and without further columns and a baseline, and the macros.
#[test]
fn every_table_compiles() {
    let templates = Templates::load(None).expect("templates");
    let (index, records) = experiment();
    let by_split = Summary::from_records(&index, &records).expect("summary");
    let (full, ablated) = (summary(&full_data()), summary(&ablation()));
    let cases = [
        ("methods-by-split", &by_split),
        ("kf-gradient-only", &by_split),
        ("full-data", &full),
        ("ablation", &ablated),
    ];
    let (mut body, mut macros) = (String::new(), String::new());
    for (layout, summary) in cases {
        for metric in [Metric::Accuracy, Metric::Loss] {
            let plain = TableOptions {
                layout: layout.to_string(),
                ..TableOptions::new(metric)
            };
            let wide = TableOptions {
                columns: vec![Metric::FuseSeconds, Metric::NormalisedAccuracy],
                baseline: Some("vanilla-averaging".to_string()),
                precision: Some(3),
                ..plain.clone()
            };
            for options in [plain, wide] {
                let table = Table::of(summary, &options).expect("table");
                body += &templates.render(layout, Format::Latex, &table).expect("rendered");
                body += "\\clearpage\n";
                if layout == "methods-by-split" && options.columns.is_empty() {
                    macros += &to_macros(&table);
                }
            }
        }
    }
    body += "Text: $\\QuickStartMethodsBySplitAccuracyKFGradientDeepLIFTFourModels$ and \\QuickStartMethodsBySplitAccuracyKFGradientDeepLIFTFourModels, $\\QuickStartMethodsBySplitLossHFLinearUniformFourModels$ and \\QuickStartMethodsBySplitAccuracyKFGradientUniformFourModels.";
    let Some(text) = compiled("LaTeX of tables", &macros, &body) else {
        return;
    };
    for expected in [
        // The underscore of the font is a line and no character.
        "of quick start on digits",
        "HF linear Uniform 92.33 ± 1.53 N/A",
        "KF gradient Uniform 93.33 ± 1.53 --",
        "KF gradient DeepLIFT 0.0667 ± 0.0153 0.0750 ± 0.0071",
        "before fine-tuning after fine-tuning",
        "pairs groups of 4",
        "Individual models",
        "hidden [8] hidden [16] hidden [32]",
        "differs from Vanilla averaging at the level 0.05",
        "Text: 92.50 ± 0.71 and 92.50 ± 0.71, N/A and --.",
    ] {
        let expected = expected.replace("--", "\u{2013}");
        assert!(text.contains(&expected), "{expected:?} is not in: {text}");
    }
}

#[test]
fn every_figure_compiles() {
    if !has("pgfplots.sty") {
        crate::shared::say_skipped(
            "pgfplots of figures",
            "LaTeX's package `pgfplots` is not installed",
        );
        return;
    }
    let mut body = String::new();
    for results in [
        super::figures::results(experiment().1),
        super::figures::results(ablation()),
    ] {
        for name in FIGURES {
            for figure in figures(&results, name, &FigureOptions::default()).unwrap_or_default() {
                for part in ["\\noindent ", &figure.to_pgf(), "\\clearpage\n"] {
                    body += part;
                }
            }
        }
    }
    for study in [super::studies::interpolation(), super::studies::neurons()] {
        let figure = study_figure(&study, &FigureOptions::default());
        let _ = writeln!(body, "\\noindent {}\\clearpage", figure.to_pgf());
    }
    let packages = "\\usepackage{pgfplots}\\usepgfplotslibrary{groupplots}\\pgfplotsset{compat=1.16}";
    let Some(text) = compiled("pgfplots of figures", packages, &body) else {
        return;
    };
    for expected in [
        "Ensemble, head-weighted",
        "number of models",
        "KF gradient, DeepLIFT",
        "predicted class",
        "fused network",
        "20 %",
        "[16]",
        "epoch",
        "aligned (git-rebasin): loss barrier 0.5000 at 0.50",
        "mean of a cluster",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in: {text}");
    }
}

/// The committed results whose rows have the longest names, and those with the most classes, in a text of 12.1 cm.
#[test]
fn figures_are_as_wide_as_the_text() {
    let what = "the width of pgfplots";
    if !has("pgfplots.sty") {
        crate::shared::say_skipped(what, "LaTeX's package `pgfplots` is not installed");
        return;
    }
    let mut body = String::new();
    for experiment in ["mnist-mlp-full-small", "cifar100-vgg11-non-iid-small"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("results")
            .join(experiment);
        let results = load(&Store::at(folder)).expect("results");
        for name in FIGURES {
            for figure in figures(&results, name, &FigureOptions::default()).unwrap_or_default() {
                let _ = writeln!(body, "\\noindent {}\\clearpage", figure.to_pgf());
            }
        }
    }
    let packages = "\\usepackage{pgfplots}\\usepgfplotslibrary{groupplots}\\pgfplotsset{compat=1.16}";
    let paper = "a4paper,textwidth=12.1cm,textheight=24cm";
    let Some(text) = compiled_on(paper, what, packages, &body) else {
        return;
    };
    // Long names have two lines, and panels are wide enough for the numbers of an axis.
    for expected in ["models, groups of 2", "0 20 40 60 80 100 0 20 40 60 80 100"] {
        assert!(text.contains(expected), "{expected:?} is not in: {text}");
    }
}
