//! What multiplies is counted before it is expanded, and what is listed costs no more than it is long.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::*;

const SMALL: &str = "[dataset]\nname = \"digits\"\n[model]\nhidden = [4]\n";

fn list(numbers: std::ops::Range<usize>) -> String {
    let numbers: Vec<String> = numbers.map(|n| n.to_string()).collect();
    format!("[{}]", numbers.join(", "))
}

fn in_time<T>(limit: Duration, what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let outcome = run();
    let spent = start.elapsed();
    // Machines that run many tests at a time are slow.
    assert!(spent < limit * 4, "{what} took {spent:?}");
    outcome
}

#[test]
fn too_much_is_refused_at_once_with_the_product() {
    let few = list(1..1001);
    let all = list(1..500_001);
    let cases = [
        (
            format!("seeds = {all}\n{SMALL}[[fusion]]\nmethod = \"ensemble\"\n"),
            "500000 seeds x 2 models",
        ),
        (
            format!("seeds = {few}\n{SMALL}[split]\nparts = [2, 4]\n[base]\nbatch-size = {few}\n"),
            "1000 batch-size x 2 parts x 1000 seeds x 4 models",
        ),
        (
            format!("{SMALL}[base]\nbatch-size = {few}\naccumulate = {few}\nepochs = {few}\n"),
            "1000 accumulate x 1000 batch-size x 1000 epochs",
        ),
        (
            format!("seeds = [1, 2, 3]\nmethod-seeds = {all}\n{SMALL}[[fusion]]\nmethod = \"kf-linear\"\n"),
            "3 seeds x 2 models x 500000 method seeds",
        ),
        (
            format!(
                "seeds = {few}\n{SMALL}[model-set]\nseeds = {}\n[[fusion]]\nmethod = \"ensemble\"\ngroups = {{ size = 3 }}\n",
                list(1..40)
            ),
            "1000 seeds x 39 models",
        ),
        (
            format!("seeds = [1, 2, 3]\n{SMALL}[model-set]\nseeds = {all}\n"),
            "3 seeds x 500000 models",
        ),
        (
            format!("{SMALL}[split]\nparts = 1000000000000\n"),
            "1000000000000 models",
        ),
        (
            format!("{SMALL}[[fusion]]\nmethod = \"kf-gradient\"\nbatch-size = {few}\npatience = {few}\n"),
            "1000 batch-size x 1000 patience",
        ),
        (
            format!("{SMALL}[finetune]\nlr = {few}\nepochs = {few}\n"),
            "more than 10,000 pairs",
        ),
        (
            format!(
                "{SMALL}[[fusion]]\nmethod = \"ensemble\"\n\n[[include]]\nepochs = {few}\nbatch-size = {few}\naccumulate = {few}\n"
            ),
            "1000 accumulate x 1000 batch-size x 1000 epochs",
        ),
    ];
    for (text, product) in cases {
        let folder = folder(&format!("name = \"t\"\n{text}"));
        let read =
            || Layers::read(&folder.path().join("m.toml"), Vec::new()).and_then(|layers| resolve(&layers));
        let error = in_time(Duration::from_secs(1), product, read).expect_err(product);
        assert!(error.to_string().contains(product), "{product}: {error}");
    }
}

#[test]
fn a_hundred_thousand_jobs_are_planned() {
    let text = format!(
        "name = \"t\"\nseeds = {}\n{SMALL}[split]\nparts = [2, 4]\n[[fusion]]\nmethod = \"vanilla-averaging\"\n[[fusion]]\nmethod = \"ensemble\"\n",
        list(1..10_001)
    );
    let plan = in_time(Duration::from_secs(5), "100,000 jobs", || plan(&text, &[]));
    assert_eq!(plan.jobs.len(), 100_000);
}

/// A manifest with 20,000 tables of a kind.
fn many(head: &str, table: impl Fn(usize) -> String) -> String {
    let mut text = format!(
        "name = \"t\"\nseeds = {}\n{SMALL}[split]\nparts = [2, 4]\n{head}\n",
        list(1..101)
    );
    for i in 0..20_000 {
        let _ = writeln!(text, "{}", table(i));
    }
    text
}

#[test]
fn twenty_thousand_excludes_includes_and_adjusts() {
    let fusions = "[[fusion]]\nmethod = \"kf-gradient\"\nlevel = { lr = [1e-3, 1e-4] }\n[[fusion]]\nmethod = \"ensemble\"\n";
    let cases = [
        many(fusions, |i| {
            format!(
                "[[exclude]]\nparts = 2\nseed = {}\nmethod = \"kf-gradient\"",
                i + 1
            )
        }),
        many(fusions, |_| "[[exclude]]\nmethod = \"ensemble\"".into()),
        many(fusions, |i| format!("[[exclude]]\nparts = {}", i + 3)),
        many(fusions, |i| {
            format!("[[include]]\nparts = 2\nmethod = \"ensemble\"\nseed = {}", i + 1)
        }),
        many(fusions, |i| {
            format!(
                "[[include]]\nmethod = \"kf-gradient\"\nparts = 2\nseed = 1\nbatch-size = {}",
                i + 33
            )
        }),
        many(fusions, |i| {
            format!("[adjust.a{i}]\nwhen = {{ parts = {} }}\nbase.epochs = 3", i + 2)
        }),
        many(fusions, |i| {
            format!("[adjust.a{i}]\nwhen = {{ parts = 4, patience = {i} }}\nkf-gradient.patience = 3")
        }),
    ];
    for text in cases {
        let folder = folder(&text);
        let what = &text[text.len() - 80..];
        let read =
            || Layers::read(&folder.path().join("m.toml"), Vec::new()).and_then(|layers| resolve(&layers));
        let resolved = in_time(Duration::from_secs(2), what, read).unwrap_or_else(|error| panic!("{error}"));
        assert!(!resolved.points.is_empty());
    }
}

/// Every mistake is reported, and that takes no longer than the text is.
#[test]
fn twenty_thousand_mistakes() {
    let text = many("", |i| format!("[[exclude]]\nunknown-{i} = 1"));
    let folder = folder(&text);
    let read = || Layers::read(&folder.path().join("m.toml"), Vec::new()).and_then(|layers| resolve(&layers));
    let error = in_time(Duration::from_secs(2), "20,000 mistakes", read).expect_err("mistakes");
    assert_eq!(error.problems.len(), 20_000);
    let lines: std::collections::BTreeSet<usize> = error
        .problems
        .iter()
        .filter_map(|problem| Some(problem.location.as_ref()?.line))
        .collect();
    assert_eq!(lines.len(), 20_000);
}

#[test]
fn many_manifests_extend_each_other() {
    let folder = folder("extends = \"1.toml\"\nname = \"t\"\n[dataset]\nname = \"digits\"\n");
    for i in 1..100 {
        write(
            folder.path(),
            &format!("{i}.toml"),
            format!("extends = \"{}.toml\"\n", i + 1),
        );
    }
    let read = || Layers::read(&folder.path().join("m.toml"), Vec::new());
    assert!(
        read()
            .expect_err("a long chain")
            .to_string()
            .contains("more than 8 manifests")
    );
    for i in 1..100 {
        write(folder.path(), &format!("{i}.toml"), "");
    }
    let names: Vec<String> = (1..100).map(|i| format!("\"{i}.toml\"")).collect();
    write(
        folder.path(),
        "m.toml",
        format!("extends = [{}]\nname = \"t\"\n", names.join(", ")),
    );
    assert!(
        read()
            .expect_err("a wide one")
            .to_string()
            .contains("more than 64 others")
    );
}
