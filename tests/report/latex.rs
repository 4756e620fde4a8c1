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
                    // A name without a hash.
                    let experiment = "quick-start".to_string();
                    macros += &to_macros(&[Table { experiment, ..table }]);
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

/// Whatever labels begin with and are made of, they are what the reader sees; characters without a font have numbers.
#[test]
fn hostile_labels_compile() {
    const LABELS: [(&str, &str); 24] = [
        ("[8], [16]", "[8], [16]"),
        ("*", "*"),
        ("* starred", "* starred"),
        ("\u{202e}[turned", "[turned"),
        ("&", "&"),
        ("a & b % c # d $ e", "a & b % c # d $ e"),
        ("~ ^ \\ { } _", "˜ˆ\\{}"),
        ("\\end{tabular}", "\\end{tabular}"),
        ("$x$ \\\\ [2pt]", "$x$ \\\\ [2pt]"),
        ("<a>|b|", "<a>|b|"),
        ("\"quoted\" `so` 'so'", "so"),
        ("=cmd|' /C calc'!A0", "=cmd"),
        ("", ""),
        ("line\nfeed", "line feed"),
        ("esc\u{1b}[31m", "esc [31m"),
        ("naïve Ångström, Łódź", "ngstr"),
        ("e\u{301}t\u{e9}", "t"),
        ("σ ≤ Ω, ∇λ", "σ ≤ Ω"),
        ("«ąđþ» „x“", "U+0105"),
        ("模型", "U+6A21"),
        ("😀\u{fe0f}", "U+1F600"),
        ("Жук שלום", "U+0416"),
        ("%", "%"),
        ("--lr=1e-3", "lr=1e-3"),
    ];
    let templates = Templates::load(None).expect("templates");
    let long = "very long ".repeat(60);
    let labels: Vec<&str> = LABELS
        .iter()
        .map(|(label, _)| *label)
        .chain([long.as_str()])
        .collect();
    let labelled = |parts: usize, at: usize, change: &dyn Fn(&mut Record)| {
        with(record(Kind::Fuse, parts, 1, "hf-linear", 0.5), |record| {
            record.label = Some(labels[at].to_string());
            record.importance = Some("[*]".to_string());
            record.settings = json!({ "number": at });
            change(record);
        })
    };
    let rename = |summary: &mut Summary| {
        summary.experiment = "100 % [x]_{#}".to_string();
        summary.dataset = "./my data_*&/\u{9b}".to_string();
    };
    // Names of columns, too. TeX's widest table has some 3000 characters in a line.
    let kind = |at: usize| labels[at].chars().take(40).collect::<String>();
    let records: Vec<Record> = (0..labels.len())
        .map(|at| {
            labelled(2, at, &|record| {
                record.axes.insert("split.kind".to_string(), json!(kind(at)));
            })
        })
        .collect();
    let mut hostile = summary(&records);
    rename(&mut hostile);
    let mut body = String::new();
    for layout in ["methods-by-split", "full-data", "ablation"] {
        let options = TableOptions {
            layout: layout.to_string(),
            axis: (layout == "ablation").then(|| "split.kind".to_string()),
            baseline: Some("*".to_string()),
            ..TableOptions::new(Metric::Accuracy)
        };
        let table = Table::of(&hostile, &options).expect("table");
        body += &templates.render(layout, Format::Latex, &table).expect("rendered");
        body += "\\clearpage\n";
    }
    let packages = match has("pgfplots.sty") {
        true => "\\usepackage{pgfplots}\\usepgfplotslibrary{groupplots}\\pgfplotsset{compat=1.16}",
        false => "",
    };
    if !packages.is_empty() {
        let all = (0..LABELS.len()).flat_map(|at| [2, 4].map(|parts| labelled(parts, at, &|_| ())));
        let mut results = super::figures::results(all.collect());
        rename(&mut results.summary);
        for name in ["bars", "models", "classes"] {
            for figure in figures(&results, name, &FigureOptions::default()).unwrap_or_default() {
                let _ = writeln!(body, "\\noindent {}\\clearpage", figure.to_pgf());
            }
        }
    }
    let Some(text) = compiled("LaTeX of hostile labels", packages, &body) else {
        return;
    };
    // Spaces between words are a matter of the font, and pdftotext may write the ohm sign for an omega.
    let dense = |text: &str| {
        text.split_whitespace()
            .collect::<String>()
            .replace('\u{2126}', "Ω")
    };
    let text = dense(&text);
    for (label, expected) in LABELS {
        assert!(
            text.contains(&dense(expected)),
            "{label:?}: {expected:?} is not in: {text}"
        );
    }
}

/// Losses of forty digits, in cells, marks, macros, axes and beside bars.
#[test]
fn large_numbers_compile() {
    let diverged = |accuracy: f64, seed: u64| {
        with(record(Kind::Fuse, 2, seed, "hf-linear", accuracy), |record| {
            record.metrics.as_mut().expect("metrics").loss = accuracy * 1e40 + seed as f64 * 1e39;
        })
    };
    let mut records = vec![diverged(0.5, 1), diverged(0.5, 2), diverged(0.5, 3)];
    records
        .extend([1, 2, 3].map(|seed| record(Kind::Fuse, 2, seed, "kf-linear", 0.25 + seed as f64 / 100.0)));
    let results = super::figures::results(records);
    let options = TableOptions {
        baseline: Some("kf-linear".to_string()),
        ..TableOptions::new(Metric::Loss)
    };
    let table = Table::of(&results.summary, &options).expect("table");
    let templates = Templates::load(None).expect("templates");
    let mut body = templates
        .render("methods-by-split", Format::Latex, &table)
        .expect("rendered");
    assert!(
        body.contains(r"$\underline{7.00\cdot10^{39}} \pm {1.00\cdot10^{39}}^{*}$"),
        "{body}"
    );
    let markdown = templates
        .render("methods-by-split", Format::Markdown, &table)
        .expect("rendered");
    assert!(markdown.contains("7.00e39 (±1.00e39)"), "{markdown}");
    assert!(markdown.lines().all(|line| line.len() < 120), "{markdown}");
    let macros = to_macros(std::slice::from_ref(&table));
    assert!(
        macros.contains(r"\ensuremath{7.00\cdot10^{39} \pm 1.00\cdot10^{39}}"),
        "{macros}"
    );
    if has("pgfplots.sty") {
        for figure in figures(&results, "bars", &FigureOptions::default()).expect("figures") {
            let svg = figure.to_svg(runner::report::Theme::File);
            assert!(
                svg.contains("7.00e39 ± 1.00e39") && !svg.contains("0000000"),
                "{svg}"
            );
            body += &figure.to_pgf();
        }
        macro_packages(&macros, &body);
    }
}

fn macro_packages(macros: &str, body: &str) {
    let packages = "\\usepackage{pgfplots}\\usepgfplotslibrary{groupplots}\\pgfplotsset{compat=1.16}\n";
    let Some(text) = compiled("LaTeX of large numbers", &(packages.to_string() + macros), body) else {
        return;
    };
    assert!(text.contains("7.00 · 10"), "{text}");
}

/// A matrix with one row, which pgfplots does not know.
#[test]
fn a_figure_of_one_model_compiles() {
    if !has("pgfplots.sty") {
        crate::shared::say_skipped(
            "a matrix of one row",
            "LaTeX's package `pgfplots` is not installed",
        );
        return;
    }
    let results = super::figures::results(vec![record(Kind::Fuse, 2, 1, "hf-linear", 0.5)]);
    let mut body = String::new();
    for name in ["bars", "classes", "confusion"] {
        for figure in figures(&results, name, &FigureOptions::default()).expect("figures") {
            let _ = writeln!(body, "\\noindent {}\\clearpage", figure.to_pgf());
        }
    }
    let packages = "\\usepackage{pgfplots}\\usepgfplotslibrary{groupplots}\\pgfplotsset{compat=1.16}";
    if let Some(text) = compiled("a matrix of one row", packages, &body) {
        assert!(text.contains("HF linear"), "{text}");
    }
}
