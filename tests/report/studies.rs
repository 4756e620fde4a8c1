//! What single steps store, and its figures.

use std::fs;

use runner::report::{FigureOptions, Theme, study_figure};
use runner::result::{
    Findings, Interpolation, Line, Neurons, ScoredNeurons, StoreError, StudiedModel, Study,
};

use super::*;

fn study(found: Findings) -> Study {
    Study {
        schema: SCHEMA,
        dataset: "digits".to_string(),
        models: ["a.pt", "b.pt"]
            .map(|file| StudiedModel {
                file: file.to_string(),
                blake3: String::new(),
            })
            .to_vec(),
        settings: Value::Null,
        seed: 1,
        found,
        seconds: [("total".to_string(), 0.5)].into(),
        provenance: Provenance::default(),
        checksum: String::new(),
    }
}

/// Losses 1 at both ends; in between 3 without and 1.5 with alignment.
pub fn interpolation() -> Study {
    let line = |alignment: Option<&str>, middle: f64| Line {
        alignment: alignment.map(str::to_string),
        metrics: [1.0, (1.0 + middle) / 2.0, middle, (1.0 + middle) / 2.0, 1.0]
            .map(|loss| Metrics {
                loss,
                accuracy: 0.9 / loss,
                f1_macro: 0.8,
                roc_auc: None,
                confusion_matrix: vec![vec![1, 0], vec![0, 1]],
            })
            .to_vec(),
        barrier: middle - 1.0,
        barrier_at: 0.5,
    };
    study(Findings::Interpolation(Interpolation {
        alpha: vec![0.0, 0.25, 0.5, 0.75, 1.0],
        lines: vec![line(None, 3.0), line(Some("git-rebasin"), 1.5)],
    }))
}

/// Two models of three neurons, in two clusters.
pub fn neurons() -> Study {
    let scored = |importance: &str, scores: [f64; 3]| ScoredNeurons {
        importance: importance.to_string(),
        scores: vec![scores.to_vec(); 2],
        clusters: vec![vec![0, 1, 1], vec![0, 0, 1]],
        centres: vec![[0.5, 0.5], [2.0, 1.5]],
    };
    study(Findings::Neurons(Neurons {
        level: "fc1".to_string(),
        images: [3, 7],
        activations: vec![
            vec![[0.0, 0.5], [2.0, 1.0], [2.5, 2.0]],
            vec![[1.0, 0.2], [0.4, 0.9], [1.5, 1.4]],
        ],
        scored: vec![scored("uniform", [1.0; 3]), scored("deeplift", [0.1, 0.4, 0.0])],
    }))
}

#[test]
fn a_study_is_read_as_it_was_written_and_nothing_else() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("study.json");
    for study in [interpolation(), neurons()] {
        let saved = study.save(&path).expect("saved");
        assert_eq!(Study::load(&path).expect("read"), saved);
    }
    let text = fs::read_to_string(&path).expect("text");
    let write = |text: String| runner::result::write_atomic(&path, text.as_bytes()).expect("written");
    write(text.replace("0.4", "0.5"));
    assert!(matches!(Study::load(&path), Err(StoreError::Checksum { .. })));
    // Times are not part of what was found.
    write(text.replace("\"total\": 0.5", "\"total\": 0.6"));
    assert!(Study::load(&path).is_ok());
    write(text.replace(&format!("\"schema\": {SCHEMA}"), "\"schema\": 99"));
    let error = Study::load(&path).expect_err("another version");
    assert!(matches!(error, StoreError::Schema { found: 99, .. }), "{error}");
    write(text[..100].to_string());
    let error = Study::load(&path).expect_err("torn");
    assert!(
        error.to_string().ends_with("study.json` is not a valid study"),
        "{error}"
    );
}

#[test]
fn a_line_between_two_networks_is_drawn_with_its_barrier() {
    let options = FigureOptions::default();
    let svg = study_figure(&interpolation(), &options).to_svg(Theme::File);
    for expected in [
        ">not aligned: loss barrier 2.0000 at 0.50</text>",
        ">aligned (git-rebasin): loss barrier 0.5000 at 0.50</text>",
        ">straight line between the losses of both ends</text>",
        ">test loss</text>",
        ">test accuracy (%)</text>",
    ] {
        assert!(svg.contains(expected), "{expected} is not in {svg}");
    }
    let loss = FigureOptions {
        metric: Metric::Loss,
        axis: None,
    };
    assert_eq!(study_figure(&interpolation(), &loss).panels.len(), 1);
    let undefined = FigureOptions {
        metric: Metric::RocAuc,
        axis: None,
    };
    assert_eq!(
        study_figure(&interpolation(), &undefined).panels.len(),
        1,
        "undefined everywhere"
    );
}

#[test]
fn neurons_are_tied_to_the_mean_of_their_cluster() {
    let figure = study_figure(&neurons(), &FigureOptions::default());
    let runner::report::Chart::Scatter(scatter) = &figure.panels[1].chart else {
        panic!("{figure:?}")
    };
    assert_eq!(scatter.dots.len(), 6);
    assert_eq!((scatter.dots[1].at, scatter.dots[1].to), ((2.0, 1.0), (2.0, 1.5)));
    assert_eq!(scatter.dots[1].size, 1.0, "the largest score of all models");
    assert_eq!((scatter.dots[3].shape, scatter.dots[3].colour), (1, 0));
    let svg = figure.to_svg(Theme::File);
    for expected in [
        "Uniform",
        "DeepLIFT",
        "activation on image 7",
        "neuron of model 1",
        "mean of a cluster",
    ] {
        assert!(svg.contains(expected), "{expected} is not in {svg}");
    }
    assert!(figure.to_png(1.0).expect("PNG").len() > 1000);
}
