//! Figures as SVG and PNG.

use runner::report::{FIGURES, FigureOptions, Results, Theme, figures};

use super::layouts::ablation;
use super::*;

/// Records with a history of training and confusion matrices that fit their accuracies.
pub fn results(mut records: Vec<Record>) -> Results {
    for record in &mut records {
        if let Some(metrics) = &mut record.metrics {
            let right = (metrics.accuracy.clamp(0.0, 1.0) * 100.0) as u64;
            metrics.confusion_matrix = vec![vec![right, 100 - right], vec![5, 95]];
        }
        let losses: Vec<f64> = (1..=8)
            .map(|epoch| 2.0 / f64::from(epoch) + record.seed as f64 / 50.0)
            .collect();
        record.diagnostics = if record.method.is_none() {
            json!({"epochs": losses.iter().enumerate().map(|(i, loss)| json!({"epoch": i, "train-loss": loss})).collect::<Vec<_>>()})
        } else if record.method.as_deref() == Some("kf-gradient") {
            json!({"fusion": {"levels": [{"layer": "fc1", "training": {"train-loss": losses, "val-loss": losses}}]}})
        } else {
            Value::Null
        };
    }
    Results::new(index(&records), records).expect("results")
}

fn options() -> FigureOptions {
    FigureOptions::default()
}

#[test]
fn every_figure_is_drawn() {
    let (by_split, ablated) = (results(experiment().1), results(ablation()));
    let mut names = Vec::new();
    for name in FIGURES {
        let results = if name == "ablation" { &ablated } else { &by_split };
        for figure in figures(results, name, &options()).expect(name) {
            let svg = figure.to_svg(Theme::File);
            assert_eq!(svg, figure.to_svg(Theme::File), "drawn alike each time");
            let (opened, closed) = (svg.matches("<text").count(), svg.matches("</text>").count());
            assert!(
                opened == closed && opened > 5 && svg.trim_end().ends_with("</svg>"),
                "{svg}"
            );
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            let page = figure.to_svg(Theme::Page);
            assert!(
                page.contains("currentColor") && !page.contains("<rect"),
                "on any page"
            );

            let bytes = figure.to_png(1.0).expect("PNG");
            let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes))
                .read_info()
                .expect("a PNG");
            let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
            reader.next_frame(&mut pixels).expect("pixels");
            let inked = pixels
                .chunks(3)
                .filter(|pixel| pixel.iter().any(|c| *c < 250))
                .count();
            assert!(
                inked * 200 > pixels.len() / 3,
                "{} has {inked} inked pixels",
                figure.name
            );
            names.push(figure.name);
        }
    }
    assert_eq!(
        names,
        [
            "bars-2-models",
            "bars-4-models",
            "models-accuracy",
            "confusion-2-models",
            "confusion-4-models",
            "classes-2-models",
            "classes-4-models",
            "training-base",
            "training-fusion-2-models",
            "training-fusion-4-models",
            "ablation-accuracy"
        ]
    );
}

/// Bars say their values, undefined metrics have no panel, and what is not there has a dash.
#[test]
fn bars_hold_the_tables_numbers() {
    let figure = &figures(&results(experiment().1), "bars", &options()).expect("bars")[1];
    let svg = figure.to_svg(Theme::File);
    assert!(svg.contains(">92.5 \u{b1} 0.7</text>"), "{svg}");
    assert!(svg.contains(">Ensemble, head-weighted</text>"));
    assert!(!svg.contains("ROC AUC"), "undefined everywhere");
    assert!(svg.contains("one standard deviation over the runs"), "{svg}");
    let tex = figure.to_pgf();
    assert!(
        tex.contains("{$92.5\\pm0.7$}") && tex.contains("Whiskers, and what stands behind $\\pm$"),
        "{tex}"
    );
}

#[test]
fn what_cannot_be_drawn_is_an_error() {
    let mut records = experiment().1;
    records.retain(|record| record.parts == 2);
    let few = Results::new(index(&records), records).expect("results");
    let message = |name: &str| figures(&few, name, &options()).expect_err("nothing").to_string();
    assert_eq!(
        message("models"),
        "`quick_start` has no method with results for several numbers of models, which the figure `models` shows"
    );
    assert_eq!(
        message("training"),
        "`quick_start` has no training history, which the figure `training` shows"
    );
    assert_eq!(message("bar"), "unknown figure `bar`");
    let bars = figures(&few, "bars", &options()).expect("bars");
    assert!(
        bars[0]
            .to_png(100.0)
            .expect_err("huge")
            .to_string()
            .contains("pixels are too many")
    );
}

fn curves(figure: &runner::report::Figure, panel: usize) -> &[runner::report::Curve] {
    match &figure.panels[panel].chart {
        runner::report::Chart::Lines(lines) => &lines.curves,
        other => panic!("{other:?}"),
    }
}

/// A method with one number of models is a mark of its own; all figures give it the same colour, and its importances
/// dashes, or tints where dashes say something else.
#[test]
fn a_method_has_one_colour_in_all_figures() {
    let results = results(experiment().1);
    let models = &figures(&results, "models", &options()).expect("models")[0];
    let of = |name: &str| {
        let found = curves(models, 0).iter().find(|curve| curve.name == name);
        found.unwrap_or_else(|| panic!("{name} is not in {models:?}"))
    };
    let alone = of("HF linear, Uniform");
    assert_eq!(alone.points.len(), 1);
    assert!(alone.style.mark.is_some());
    let gradient = of("KF gradient, DeepLIFT");
    assert_ne!(gradient.style.colour, alone.style.colour);
    assert_eq!(gradient.style.colour, of("KF gradient, Uniform").style.colour);
    assert_ne!(gradient.style.dash, of("KF gradient, Uniform").style.dash);
    // A dash is not seen at a point that stands alone, but the mark's fill is.
    assert!(models.to_svg(Theme::File).contains("fill=\"#ffffff\""));
    assert!(models.to_svg(Theme::Page).contains("fill=\"var(--paper)\""));
    assert!(models.to_pgf().contains("fill=white"));
    let training = figures(&results, "training", &options()).expect("training");
    let levels = training
        .iter()
        .find(|figure| figure.name == "training-fusion-2-models")
        .expect("a figure");
    let styles: Vec<runner::report::Style> = curves(levels, 0).iter().map(|curve| curve.style).collect();
    assert!(
        styles.iter().all(|style| style.colour == gradient.style.colour),
        "{styles:?}"
    );
    assert_eq!(
        styles.iter().map(|style| style.tint).collect::<Vec<_>>(),
        [0, 0, 2, 2]
    );
}

#[test]
fn an_ablations_axis_has_words_and_values() {
    let mut records = ablation();
    for record in &mut records {
        let wide = record.axes.remove("model.hidden") == Some(json!([32]));
        record
            .axes
            .insert("fusion.rescale-importance".to_string(), json!(wide));
    }
    records.retain(|record| !record.job.contains("16"));
    let figure = &figures(&results(records), "ablation", &options()).expect("ablation")[0];
    assert!(
        figure.title.ends_with("by rescale importance"),
        "{}",
        figure.title
    );
    let runner::report::Chart::Lines(lines) = &figure.panels[0].chart else {
        panic!("{figure:?}")
    };
    let names = ["false", "true"].map(str::to_string).to_vec();
    assert_eq!(lines.ticks, runner::report::Ticks::Named(names));
}
