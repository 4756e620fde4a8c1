//! The page of an experiment, in a real browser where one is installed.

use std::process::Command;
use std::time::Instant;

use runner::report::{load, page};

use super::figures::results;
use super::files::save;
use super::*;

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// The page after its scripts ran; `None`, said aloud, without a browser.
fn opened(what: &str, file: &std::path::Path) -> Option<String> {
    let profile = tempfile::tempdir().expect("temporary folder");
    for browser in BROWSERS {
        let run = Command::new(browser)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--virtual-time-budget=20000",
                "--dump-dom",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("file://{}", file.display()))
            .output();
        if let Ok(run) = run {
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
            return Some(String::from_utf8_lossy(&run.stdout).into_owned());
        }
    }
    crate::shared::say_skipped(what, "no Chromium is installed");
    None
}

fn html(folder: &std::path::Path, records: Vec<Record>) -> String {
    let store = save(folder, index(&records), records);
    let html = page(
        &store,
        &load(&store).expect("results"),
        &Templates::load(None).expect("templates"),
    )
    .expect("page");
    runner::result::write_atomic(&folder.join("report.html"), html.as_bytes()).expect("written");
    html
}

#[test]
fn a_page_holds_everything_and_needs_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut records = results(experiment().1).records;
    let evil = "</script><script>alert(1)</script><!-- \u{2028} \"";
    records[0].settings = json!({"note": evil});
    records[0].label = Some(evil.to_string());
    let html = html(folder.path(), records);
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        let own = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!own.contains(outside), "the page refers to {outside}");
    }
    assert_eq!(html.matches("</script>").count(), 2, "no text ends a script");
    assert!(
        html.contains("<b>93.33</b>") && html.contains("4 models: 2 of 3 results (1 failed)"),
        "tables and warnings"
    );
    let Some(dom) = opened("the page in a browser", &folder.path().join("report.html")) else {
        return;
    };
    let jobs = dom.matches("data-job=").count();
    assert_eq!(jobs, experiment().1.len(), "one row per job");
    assert!(dom.contains("data-ready="), "the script ran to its end");
    assert!(dom.contains("it broke"), "errors are in the data");
    assert!(!dom.contains("alert(1)</script><!--"), "text is text");
}

/// `cargo test -- --ignored opens_in_time` prints the figures.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "the figures")]
fn ten_thousand_jobs_open_in_time() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut records = Vec::new();
    for seed in 0..250 {
        for method in 0..40 {
            records.push(with(record(Kind::Fuse, 4, seed, &format!("method-{method}"), 0.9), |record| {
                record.settings = json!({"method": method, "values": (0..100).map(|i| f64::from(i) * 1.37).collect::<Vec<_>>()});
            }));
        }
    }
    let start = Instant::now();
    let html = html(folder.path(), records);
    let made = start.elapsed();
    let Some(dom) = opened("the page in a browser", &folder.path().join("report.html")) else {
        return;
    };
    let ready = dom
        .split("data-ready=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .and_then(|ms| ms.parse::<f64>().ok());
    let ready = ready.expect("the script ran to its end");
    eprintln!(
        "{} bytes, saved and made in {made:?}, ready after {ready} ms",
        html.len()
    );
    assert!(ready < 2000.0);
}
