//! The page of an experiment, in a real browser where one is installed.

mod chromium;

use std::time::Instant;

use runner::report::{load, page};

use self::chromium::Browser;
use super::figures::results;
use super::files::save;
use super::*;

fn html(folder: &std::path::Path, records: Vec<Record>) -> String {
    let store = save(folder, index(&records), records);
    let html = page(
        &store,
        &load(&store).expect("results"),
        &Templates::load(None).expect("templates"),
        store.root(),
    )
    .expect("page");
    runner::result::write_atomic(&folder.join("report.html"), html.as_bytes()).expect("written");
    html
}

/// The text of each row's cell in a column, from above.
fn column(browser: &mut Browser, number: usize) -> Vec<String> {
    let rows = "[...document.querySelectorAll('#table tbody tr')]";
    let cells = browser.value(&format!("{rows}.map(row => row.cells[{number}].textContent)"));
    let cells = cells.as_array().expect("rows");
    cells
        .iter()
        .map(|cell| cell.as_str().expect("text").to_string())
        .collect()
}

const FOCUS: &str = "document.activeElement.textContent.trim() || document.activeElement.id";

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
    let Some(mut browser) = Browser::start("the page in a browser") else {
        return;
    };
    browser.open(&folder.path().join("report.html"));
    assert_eq!(
        column(&mut browser, 0).len(),
        experiment().1.len(),
        "one row per job"
    );
    let requests = browser.value("performance.getEntriesByType('resource').length");
    assert_eq!(requests, 0, "nothing else is loaded");
    assert_eq!(
        browser.value("document.querySelectorAll('script').length"),
        2,
        "text is text"
    );
}

/// Everything by keys alone, as somebody without a mouse does.
#[test]
fn jobs_are_sorted_filtered_and_opened_by_keys() {
    let folder = tempfile::tempdir().expect("temporary folder");
    html(folder.path(), results(experiment().1).records);
    let Some(mut browser) = Browser::start("the keys of the page") else {
        return;
    };
    browser.show(1300, "light");
    browser.open(&folder.path().join("report.html"));

    browser.press("/");
    assert_eq!(browser.text(FOCUS), "filter");
    browser.write("ensemble split.parts=4");
    browser.value("new Promise(done => setTimeout(done, 200))");
    let kinds = column(&mut browser, 5);
    assert!(
        kinds.len() == 6 && kinds.iter().all(|kind| kind == "Ensemble"),
        "{kinds:?}"
    );
    assert!(
        browser
            .text("document.getElementById('shown').textContent")
            .starts_with("6 of ")
    );

    // From the filter over both lists to the heads.
    for _ in 0..3 {
        browser.press("Tab");
    }
    assert_eq!(browser.text(FOCUS), "Job");
    browser.tab_until(&format!("({FOCUS}) === 'Accuracy'"));
    browser.press("Enter");
    let sorted = column(&mut browser, 8);
    assert_eq!(sorted, ["95.00", "95.70", "96.00", "96.70", "98.00", "98.70"]);
    browser.press("Enter");
    assert_eq!(column(&mut browser, 8)[0], "98.70");
    let order = "document.querySelector('th[aria-sort=descending]').textContent";
    assert_eq!(browser.text(order), "Accuracy");
    browser.picture("sorted");

    browser.tab_until(&format!("({FOCUS}).startsWith('job-')"));
    let first = browser.text(FOCUS);
    browser.press("ArrowDown");
    let second = browser.text(FOCUS);
    assert_ne!(first, second);
    browser.press("Enter");
    let dialog = "document.querySelector('dialog[open]').textContent";
    let details = browser.text(dialog);
    for part in [second.as_str(), "Settings", "Provenance", "The record"] {
        assert!(details.contains(part), "{part}: {details}");
    }
    browser.picture("details");
    browser.press("Escape");
    assert_eq!(
        browser.value("document.querySelector('dialog[open]')"),
        Value::Null
    );
    assert_eq!(browser.text(FOCUS), second, "the focus comes back");

    // Errors stand in the details of a job that failed.
    browser.value("document.getElementById('filter').value = ''; document.getElementById('status').value = 'failed'; update()");
    browser.value("document.querySelector('#table tbody button').click()");
    assert!(browser.text(dialog).contains("it broke"));
}

/// Text stands out from the page by a factor of 4.5 (WCAG 2.1, AA), in both schemes, and no width makes the page itself
/// scroll sideways.
#[test]
fn the_page_is_legible_in_light_and_dark_wide_and_narrow() {
    let folder = tempfile::tempdir().expect("temporary folder");
    html(folder.path(), results(experiment().1).records);
    let Some(mut browser) = Browser::start("the looks of the page") else {
        return;
    };
    browser.show(1300, "light");
    browser.open(&folder.path().join("report.html"));
    let contrast = "(() => {
        const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
        const paper = light(getComputedStyle(document.body).backgroundColor);
        const worst = [...document.querySelectorAll('h1, p, a, td, th button, .muted, .bad, dt, svg text[fill=currentColor]')].map(e => {
            const style = getComputedStyle(e), ink = light(e.tagName === 'text' ? style.fill : style.color);
            return [(Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05), e.tagName];
        });
        return worst.reduce((a, b) => b[0] < a[0] ? b : a);
    })()";
    for scheme in ["light", "dark"] {
        for width in [1300, 400] {
            browser.show(width, scheme);
            browser.picture(&format!("{scheme}-{width}"));
            let overflow = browser.value("document.documentElement.scrollWidth - innerWidth");
            assert!(
                overflow.as_f64().expect("a number") <= 0.0,
                "{scheme} {width}: {overflow}"
            );
        }
        let worst = browser.value(contrast);
        assert!(worst[0].as_f64().expect("a number") >= 4.5, "{scheme}: {worst}");
    }
    let paper = "getComputedStyle(document.body).backgroundColor";
    let dark = browser.text(paper);
    browser.show(1300, "light");
    assert_ne!(browser.text(paper), dark);
}

/// `cargo test --release -- --ignored ten_thousand_jobs --nocapture` prints the figures.
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
    let Some(mut browser) = Browser::start("the page in a browser") else {
        return;
    };
    let ready = browser.open(&folder.path().join("report.html"));
    let filter = "(() => { const since = performance.now(); document.getElementById('filter').value = 'method-3 seed'; update(); return performance.now() - since; })()";
    let filtered = browser.value(filter);
    eprintln!(
        "{} bytes, saved and made in {made:?}, ready after {ready} ms, filtered in {filtered} ms",
        html.len()
    );
    assert!(ready < 2000.0);
}
