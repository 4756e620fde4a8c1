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
        false,
        "mine.md:1:1: a template stands alone: `include`, `extends`, `import` and `super` are not supported",
    )
    "#);
}

/// A loop that doubles the variable `x` forty times by an expression.
fn doubled(start: &str, expression: &str) -> String {
    format!(
        "{{% set x = {start} %}}\n{{% for i in range(end=40) %}}{{% set_global x = {expression} %}}{{% endfor %}}{{{{ x }}}}"
    )
}

/// The text, whether `check` finds it, its place, the beginning of the reason.
fn hostile() -> [(String, bool, &'static str, &'static str); 18] {
    let nested = |open: &str, close: &str, n: usize| format!("{}x{}", open.repeat(n), close.repeat(n));
    let recursion = |condition: &str| {
        format!(
            "one\n{{% macro f(n) %}}{condition}{{{{ self::f(n=n + 1) }}}}{{% endif %}}{{% endmacro %}}{{{{ self::f(n=1) }}}}"
        )
    };
    let endless = "one\n{% macro f(x) %}{{ self::g(x=x) }}{% endmacro %}{% macro g(x) %}{{ self::f(x=x) }}{% endmacro %}x";
    let size = "the template makes more than 64 MiB";
    [
        (endless.to_owned(), true, "2:1", "the macro `f` calls itself"),
        (
            recursion("{% if n > 0 %}"),
            false,
            "2:1",
            "more than 64 macros call each other",
        ),
        (
            nested("{% if 1 %}", "{% endif %}", 20_000),
            true,
            "1:641",
            "more than 64 tags",
        ),
        (
            nested("{{ f(a=", ") }}", 1).replace("f(a=x)", &nested("f(a=", ")", 9)),
            true,
            "1:1",
            "its parentheses",
        ),
        (
            format!("{{{{ {}1 }}}}", "1+".repeat(3000)),
            true,
            "1:1",
            "an expression has too many parts",
        ),
        (
            "{% for i in range(end=100000000) %}{% endfor %}x".to_owned(),
            false,
            "1:1",
            size,
        ),
        (
            "{{ range(end=9223372036854775807) | length }}".to_owned(),
            false,
            "1:1",
            size,
        ),
        (
            "{{ range(end=5, step_by=0) | length }}".to_owned(),
            false,
            "1:1",
            size,
        ),
        (doubled("\"aaaa\"", "x ~ x"), false, "2:29", size),
        (doubled("[1, 2]", "x | concat(with=x)"), false, "2:29", size),
        (doubled("[1]", "[x, x]"), false, "2:29", size),
        (
            doubled("\"aaaa\"", "x | replace(from=\"a\", to=x)"),
            false,
            "2:29",
            size,
        ),
        (
            doubled("\"aa\"", "x | split(pat=\"\") | join(sep=x)"),
            false,
            "2:29",
            size,
        ),
        (doubled("\"\\\\\"", "x | json_encode"), false, "2:29", size),
        (
            "{% for i in range(end=1000000) %}{% for j in range(end=1000000) %}{% endfor %}{% endfor %}"
                .to_owned(),
            false,
            "1:34",
            size,
        ),
        (
            "{% set x = [1] %}{% for i in range(end=99) %}{% set_global x = [x] %}{% endfor %}x".to_owned(),
            false,
            "1:46",
            "lists are inside each other 64 deep",
        ),
        (
            "one {{ get_env(name=\"PATH\") }}".to_owned(),
            false,
            "1:8",
            "Function 'get_env' not found",
        ),
        (
            "x".repeat(1 << 20),
            true,
            "",
            "it has 1048576 bytes, and at most 524288 are read",
        ),
    ]
}

#[test]
fn templates_that_take_too_much_are_refused_with_their_place() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (text, found, place, reason) in hostile() {
        let shown: String = text.chars().take(80).collect();
        runner::result::write_atomic(&folder.path().join("mine.md"), text.as_bytes()).expect("write");
        let templates = Templates::load(Some(folder.path())).expect("templates");
        assert_eq!(templates.check("mine").is_err(), found, "{shown}");
        let error = templates
            .render("mine", Format::Markdown, &table(Metric::Loss))
            .expect_err("too much")
            .to_string();
        let after = error.split_once("mine.md").expect("the file").1;
        let place = if place.is_empty() {
            String::new()
        } else {
            format!(":{place}")
        };
        assert!(
            after.starts_with(&format!("{place}: {reason}")),
            "{shown}: {error}"
        );
    }
}

#[test]
fn templates_may_recurse_and_nest_within_the_bounds() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let text = format!(
        "{{% macro f(n) %}}{{% if n > 0 %}}{}{{{{ n }}}},{}{{{{ self::f(n=n - 1) }}}}{{% endif %}}{{% endmacro %}}{{{{ self::f(n=60) }}}}{{% block b %}}{{{{ nothing | default(value=\"d\") }}}}{{% endblock %}}{{% if nothing %}}{{% elif not nothing and rows | length > 0 %}}e{{% endif %}}{{{{ \"f\" ~ runs ~ 1 }}}}",
        "{% if n %}".repeat(60),
        "{% endif %}".repeat(60)
    );
    runner::result::write_atomic(&folder.path().join("mine.md"), text.as_bytes()).expect("write");
    let templates = Templates::load(Some(folder.path())).expect("templates");
    let made = templates
        .render("mine", Format::Markdown, &table(Metric::Loss))
        .expect("sound");
    assert!(made.starts_with("60,59,58,"), "{made}");
    assert!(made.contains(",2,1,def"), "{made}");
}

#[test]
fn files_outside_of_the_folder_are_not_read_and_pipes_not_waited_for() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("templates")).expect("a folder");
    runner::result::write_atomic(&path("secret.md"), b"secret").expect("written");
    std::os::unix::fs::symlink(path("secret.md"), path("templates/out.md")).expect("a link");
    rustix::fs::mkfifoat(rustix::fs::CWD, path("templates/pipe.md"), rustix::fs::Mode::RWXU).expect("a pipe");
    runner::result::write_atomic(&path("templates/latin.md"), b"\xe9").expect("written");
    runner::result::write_atomic(&path("templates/in.md"), b"{{ experiment }}").expect("written");
    std::os::unix::fs::symlink("in.md", path("templates/link.md")).expect("a link");
    let templates = Templates::load(Some(&path("templates"))).expect("templates");
    let render = |name: &str| templates.render(name, Format::Markdown, &table(Metric::Loss));
    assert!(render("in").is_ok() && render("link").is_ok());
    assert!(!templates.names().contains(&"pipe"));
    for (name, reason) in [("out", "a link to a file outside"), ("latin", "utf-8")] {
        let error = templates.check(name).expect_err(name).to_string();
        assert!(error.contains(reason), "{error}");
        assert!(render(name).is_err());
    }
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
