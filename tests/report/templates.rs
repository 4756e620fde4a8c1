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
    assert_eq!(
        templates.names(),
        [
            "ablation",
            "full-data",
            "kf-gradient-only",
            "methods-by-split",
            "wide"
        ]
    );
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
    assert_eq!(error.to_string(), "the template `wide` has no `.md` file");
    assert_eq!(
        error.hint().as_deref(),
        Some("ask for `--format latex`, or write `wide.md` into the folder of templates")
    );
    let error = templates.check("wide.tex").expect_err("a file");
    assert!(
        error.hint().expect("hint").starts_with("did you mean `wide`?"),
        "{error}"
    );
    let error = templates.check("method-by-split").expect_err("unknown");
    assert_eq!(
        error.hint().as_deref(),
        Some(
            "did you mean `methods-by-split`? Known are: ablation, full-data, kf-gradient-only, methods-by-split, wide"
        )
    );
    assert!(Templates::load(Some(&folder.path().join("absent"))).is_ok());
    let own = Templates::load(None).expect("templates");
    own.names()
        .into_iter()
        .for_each(|name| own.check(name).expect("they parse"));
}

#[test]
fn the_first_line_of_a_template_may_name_its_layout() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let write = |name: &str, text: &str| {
        runner::result::write_atomic(&folder.path().join(name), text.as_bytes()).expect("write");
    };
    write("mine.tex", "{# layout: ablation #}\n{{ label }}");
    write("plain.tex", "{{ label }}");
    write("wrong.tex", "{#- layout: abblation: wide -#}\n{{ label }}");
    let templates = Templates::load(Some(folder.path())).expect("templates");
    let layout = |name: &str| templates.layout(name).map_err(|error| error.to_string());
    assert_eq!(layout("mine").as_deref(), Ok("ablation"));
    assert_eq!(layout("plain").as_deref(), Ok("methods-by-split"));
    assert_eq!(layout("full-data").as_deref(), Ok("full-data"));
    assert_eq!(layout("kf-gradient-only").as_deref(), Ok("kf-gradient-only"));
    let error = layout("wrong").expect_err("unknown");
    assert!(
        error.ends_with("wrong.tex:1: unknown layout `abblation`; known are methods-by-split, kf-gradient-only, full-data, ablation"),
        "{error}"
    );
    assert!(templates.check("wrong").is_err());
}
