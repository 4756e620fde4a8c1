//! The user's own templates.

use std::fs;

use super::*;

#[test]
fn template_errors_name_file_line_and_reason() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let message = |text: &str| {
        fs::remove_dir_all(folder.path()).expect("clean");
        fs::create_dir(folder.path()).expect("folder");
        runner::result::write_atomic(&folder.path().join("mine.md"), text.as_bytes()).expect("write");
        let templates = Templates::load(Some(folder.path())).expect("templates");
        let checked = templates.check("mine");
        let error = templates
            .render("mine", Format::Markdown, &table(Metric::Loss))
            .expect_err("broken");
        let place = folder.path().display().to_string() + "/";
        (checked.is_ok(), error.to_string().replace(&place, ""))
    };
    insta::assert_debug_snapshot!(message("one\n{% for row in rows %}\n{{ row.label }"), @r#"
    (
        false,
        "mine.md:3:14: expected `or`, `and`, `not`, `<=`, `>=`, `<`, `>`, `==`, `!=`, `+`, `-`, `*`, `/`, `%`, a filter, or a variable end (`}}`)",
    )
    "#);
    insta::assert_debug_snapshot!(message("one\n{{ rows | latex }} {{ experimnt | md }}"), @r#"
    (
        true,
        "mine.md:2:11: Filter call 'latex' failed: `latex` takes text, not a list",
    )
    "#);
    insta::assert_debug_snapshot!(message("one\n\n{{ experimnt | md }}"), @r#"
    (
        true,
        "mine.md:3:4: Variable `experimnt` not found in 'mine'",
    )
    "#);
    insta::assert_debug_snapshot!(message("{% for row in rows %}\n  {{ row.labl }}{% endfor %}"), @r#"
    (
        true,
        "mine.md:2:6: Variable `row.labl` not found in 'mine'",
    )
    "#);
    insta::assert_debug_snapshot!(message("one\n{{ experiment | shout }}"), @r#"
    (
        true,
        "mine.md:2:17: Filter 'shout' not found",
    )
    "#);
    insta::assert_debug_snapshot!(message("{% include \"other.md\" %}"), @r#"
    (
        true,
        "mine.md:1:13: Template '[other.md]' not found",
    )
    "#);
}

#[test]
fn templates_of_the_project_win() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let own = "own {{ experiment | md }}";
    runner::result::write_atomic(&folder.path().join("methods-by-split.md"), own.as_bytes()).expect("write");
    runner::result::write_atomic(&folder.path().join("wide.tex"), own.as_bytes()).expect("write");
    let templates = Templates::load(Some(folder.path())).expect("templates");
    let table = table(Metric::Accuracy);
    assert_eq!(templates.names(), ["methods-by-split", "wide"]);
    assert_eq!(
        templates
            .render("methods-by-split", Format::Markdown, &table)
            .expect("own"),
        "own quick\\_start\n"
    );
    assert!(
        templates
            .render("methods-by-split", Format::Latex, &table)
            .expect("compiled in")
            .contains("toprule")
    );
    let error = templates
        .render("wide", Format::Markdown, &table)
        .expect_err("no such format");
    assert_eq!(error.to_string(), "unknown template `wide.md`");
    let error = templates.check("method-by-split").expect_err("unknown");
    assert_eq!(
        error.hint().as_deref(),
        Some("did you mean `methods-by-split`? Known are: methods-by-split, wide")
    );
    assert!(Templates::load(Some(&folder.path().join("absent"))).is_ok());
    Templates::load(None)
        .expect("templates")
        .check("methods-by-split")
        .expect("they parse");
}
