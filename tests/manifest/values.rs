//! Values by what their key takes, keys taken away, and bytes that are no text.

use insta::assert_snapshot;

use super::*;

/// The merged manifest after one override of a manifest on the digits.
fn merged(text: &str) -> serde_json::Value {
    let fusion = "[[fusion]]\nmethod = \"ensemble\"\n[[report]]\ntemplate = \"methods-by-split\"\n";
    let folder = folder(&format!("{DIGITS}{fusion}"));
    let layers = Layers::read(&folder.path().join("m.toml"), vec![set(text)]);
    layers.unwrap_or_else(|error| panic!("{text}: {error}")).merged()
}

#[test]
fn text_that_looks_like_something_else_is_text_where_text_is_wanted() {
    for (key, value) in [
        ("name", "2024"),
        ("name", "007"),
        ("name", "2024-01-15"),
        ("name", "true"),
        ("name", "1e5"),
        ("name", "inf"),
        ("name", "99999999999999999999"),
        ("description", "50% of x, y"),
        ("description", "[1, 2]"),
        ("description", "{ a = 1 }"),
        ("description", "\"quoted\" and more"),
        ("slurm.partition", "2024"),
        ("slurm.account", "12345"),
        ("slurm.time", "30"),
        ("notify.command", "echo a, b"),
        ("resources.memory", "4"),
        ("dataset.dir", "2024"),
        ("dataset.name", "1_0"),
        ("base.models", "run[1]/{seed}.pt"),
        ("fusion-set.file", "+5"),
        ("split.kind", "true"),
        ("base.optimizer.name", "12"),
        ("fusion.0.label", "2024"),
        ("fusion.0.method", "7"),
        ("report.0.baseline", "1"),
        ("other-models.architecture", "5"),
        ("adjust.a.base.optimizer.name", "3"),
        ("adjust.a.kf-linear.importance", "4"),
    ] {
        let merged = merged(&format!("{key}={value}"));
        let found = key
            .split('.')
            .fold(&merged, |found, part| match part.parse::<usize>() {
                Ok(i) => &found[i],
                Err(_) => &found[part],
            });
        assert_eq!(found, value, "{key}={value}");
    }
    let variable = Override::from_environment("RUNNER__SLURM__ACCOUNT", "12345").expect("prefix");
    let layers = Layers::in_memory(figment::value::Dict::new(), vec![variable]).expect("read");
    assert_eq!(layers.merged()["slurm"]["account"], "12345");
}

#[test]
fn quotes_are_tomls_and_lists_have_texts_in_them() {
    assert_eq!(merged("name=\"2024\"")["name"], "2024");
    assert_eq!(merged("name='a b'")["name"], "a b");
    let list = |text: &str, section: &str, key: &str| merged(text)[section][key].to_string();
    assert_eq!(list("dataset.dir=2024,a", "dataset", "dir"), r#"["2024","a"]"#);
    assert_eq!(list("dataset.dir=[2024, 1]", "dataset", "dir"), r#"["2024","1"]"#);
    assert_eq!(
        list("dataset.dir=[2024, 01]", "dataset", "dir"),
        r#"["2024","01"]"#
    );
    assert_eq!(
        list("split.kind=full,random", "split", "kind"),
        r#"["full","random"]"#
    );
    assert_eq!(
        list("slurm.setup=module load cuda", "slurm", "setup"),
        r#"["module load cuda"]"#
    );
    assert_eq!(list("slurm={account=12}", "slurm", "account"), "\"12\"");
    assert_eq!(
        merged("report.0.metric=f1")["report"][0]["metric"].to_string(),
        r#"["f1"]"#
    );
    // Where numbers are wanted they are numbers.
    assert_eq!(list("split.parts=2,4", "split", "parts"), "[2,4]");
    assert_eq!(list("model.hidden=64,32", "model", "hidden"), "[64,32]");
    assert_eq!(list("base.epochs=+3", "base", "epochs"), "3");
    assert_eq!(
        list("base.optimizer={name=\"adam\", lr=1e-3}", "base", "optimizer"),
        r#"{"lr":0.001,"name":"adam"}"#
    );
}

#[test]
fn integers_end_where_tomls_do_in_files_and_elsewhere() {
    for value in [
        "18446744073709551615",
        "[1, 9223372036854775808]",
        "1,99999999999999999999",
    ] {
        let folder = folder(DIGITS);
        let error = Layers::read(
            &folder.path().join("m.toml"),
            vec![set(&format!("seeds={value}"))],
        );
        let text = error.expect_err(value).to_string();
        assert!(text.contains("the largest is 9223372036854775807"), "{text}");
        assert!(text.contains("--> --set seeds="), "{text}");
    }
    let largest = resolved(DIGITS, &["seeds=9223372036854775807"]);
    let again = toml::to_string(&largest.manifest).expect("TOML");
    assert_eq!(resolved(&again, &[]).seeds, [9_223_372_036_854_775_807]);
    assert_snapshot!(report("name = \"t\"\nseeds = [18446744073709551615]\n"), @r"
    error: this is not valid TOML: an integer is too large: the largest is 9223372036854775807
      --> m.toml:2:10
       |
     2 | seeds = [18446744073709551615]
       |          ^^^^^^^^^^^^^^^^^^^^
    ");
}

#[test]
fn numbers_of_the_wrong_form_say_how_to_write_them() {
    assert_snapshot!(digits("[base]\nepochs = 3.0\nbatch-size = \"32\"\n[model]\nhidden = 64\n[slurm]\naccount = 12345\n"), @r#"
    error: `base.epochs` must be a whole number, 0 or more, not 3.0
      --> m.toml:6:10
       |
     6 | epochs = 3.0
       |          ^^^

    hint: 3.0 has a decimal point or an exponent: write `3`

    error: `base.batch-size` must be a whole number, 0 or more, not "32"
      --> m.toml:7:14
       |
     7 | batch-size = "32"
       |              ^^^^

    hint: write `32`, without quotes

    error: `model.hidden` must be a list, not 64
      --> m.toml:9:10
       |
     9 | hidden = 64
       |          ^^

    hint: write `hidden = [64]`

    error: `slurm.account` must be text, not 12345
      --> m.toml:11:11
        |
     11 | account = 12345
        |           ^^^^^

    hint: text stands in quotes: `account = "12345"`
    "#);
    assert!(
        report("name = 2024\n[dataset]\nname = \"digits\"\n")
            .contains("hint: text stands in quotes: `name = \"2024\"`")
    );
}

const PARENT: &str = "name = \"parent\"\n[dataset]\nname = \"digits\"\n[model]\nhidden = [16]\n[base]\nepochs = 20\n\
                      optimizer = { name = \"sgd\", lr = 0.1, momentum = 0.9 }\n[[exclude]]\nparts = 2\n";

/// The settings of a manifest that extends `parent.toml`.
fn child(text: &str, overrides: &[Override]) -> Result<Resolved, ManifestError> {
    let folder = folder(&format!("extends = \"parent.toml\"\n{text}"));
    write(folder.path(), "parent.toml", PARENT);
    resolve(&Layers::read(&folder.path().join("m.toml"), overrides.to_vec())?)
}

#[test]
fn a_manifest_takes_away_what_it_extends() {
    let optimizer = "[base]\noptimizer = { name = \"adam\" }\n";
    let error = child(&format!("unset = [\"exclude\"]\n{optimizer}"), &[]).expect_err("momentum of adam");
    let text = error.to_string();
    assert!(text.contains("parent.toml:8:"), "{text}");
    assert!(
        text.contains("`unset = [\"base.optimizer.momentum\"]` in `")
            && text.contains("m.toml` takes the key away"),
        "{text}"
    );
    let manifest = child(
        &format!("unset = [\"base.optimizer\", \"exclude\"]\n{optimizer}"),
        &[],
    )
    .expect("no problems");
    let base = &manifest.points[0].settings.base;
    assert_eq!(
        (base.optimizer.lr.to_string(), base.epochs),
        ("0.001".to_string(), 20)
    );
    assert!(manifest.warnings.is_empty(), "{:?}", manifest.warnings);
    assert!(manifest.manifest.get("unset").is_none());
    let sequential =
        "[model]\narchitecture = \"sequential\"\nlayers = [{ kind = \"flatten\" }, { kind = \"linear\" }]\n";
    assert!(child(&format!("unset = [\"exclude\"]\n{sequential}"), &[]).is_err());
    child(&format!("unset = [\"model\", \"exclude\"]\n{sequential}"), &[]).expect("no problems");
}

#[test]
fn the_command_line_takes_away_too_in_its_order() {
    let all = [
        Override::unset("exclude", "--unset "),
        set("unset=base.optimizer,base.epochs"),
        set("base.optimizer.name=adam"),
    ];
    let manifest = child("", &all).expect("no problems");
    let base = &manifest.points[0].settings.base;
    assert_eq!((base.optimizer.momentum, base.epochs), (None, 25));
    let nothing = child(
        "unset = [\"exclude\", \"base.epoch\"]\n",
        &[Override::unset("modell", "--unset ")],
    )
    .expect("no problems");
    let texts: Vec<String> = nothing.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[0].contains("no `modell`") && texts[0].contains("--> --unset modell"),
        "{texts:?}"
    );
    assert!(
        texts[1].contains("no `base.epoch`") && texts[1].contains("m.toml:2:21"),
        "{texts:?}"
    );
    for (text, part) in [
        ("unset = [3]\n", "must be a list of keys in quotes"),
        ("unset = [\"a..b\"]\n", "has an empty key"),
        ("unset = [\"exclude.0\"]\n", "is an entry of a list"),
    ] {
        let error = child(text, &[]).expect_err(text).to_string();
        assert!(error.contains(part) && error.contains("m.toml:2:"), "{error}");
    }
}

/// The problem stands where the value comes from, not where one that was taken away did.
#[test]
fn what_is_taken_away_is_not_pointed_at() {
    let error = child(
        "unset = [\"exclude\", \"base.optimizer\"]\n[base]\noptimizer = { lr = -1.0 }\n",
        &[],
    );
    let text = error.expect_err("a negative rate").to_string();
    assert!(text.contains("m.toml:4:"), "{text}");
}

#[test]
fn bytes_that_are_not_utf8() {
    let text = "# caf\u{e9}\nname = \"t\"\n";
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    let wide = |mark: &[u8], bytes: fn(u16) -> [u8; 2]| {
        [mark, &text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>()].concat()
    };
    let cases = [
        (
            latin,
            "is not UTF-8: it has the byte 0xE9",
            "m.toml:1:6",
            "Latin-1",
        ),
        (
            b"name = \"t\"\nx = \"\x93a\x94\"\n".to_vec(),
            "it has the byte 0x93",
            "m.toml:2:6",
            "Windows-1252",
        ),
        (
            "# \u{e9}\n".bytes().chain([0xFF]).collect(),
            "it has the byte 0xFF",
            "m.toml:2:1",
            "remove the byte",
        ),
        (
            wide(&[0xFF, 0xFE], u16::to_le_bytes),
            "is UTF-16",
            "",
            "iconv -f UTF-16",
        ),
        (
            wide(&[0xFE, 0xFF], u16::to_be_bytes),
            "is UTF-16",
            "",
            "iconv -f UTF-16",
        ),
        (wide(&[], u16::to_le_bytes), "is UTF-16", "", "iconv -f UTF-16"),
        (
            vec![0xFF, 0xFE, 0, 0, b'n', 0, 0, 0],
            "is UTF-32",
            "",
            "iconv -f UTF-32",
        ),
    ];
    for (bytes, message, place, hint) in cases {
        let folder = folder("");
        write(folder.path(), "m.toml", bytes);
        let text = report_in(folder.path(), Vec::new(), None);
        assert!(
            text.contains(message) && text.contains(place) && text.contains(hint),
            "{text}"
        );
    }
    let marked = format!("\u{feff}{DIGITS}");
    assert_eq!(resolved(&marked.replace('\n', "\r\n"), &[]).name, "t");
}

#[test]
fn deep_keys_and_values_are_refused() {
    let folder = folder(DIGITS);
    let read = |overrides| Layers::read(&folder.path().join("m.toml"), overrides);
    let key = vec!["a"; 100_000].join(".");
    assert!(
        read(vec![set(&format!("{key}=1"))])
            .expect_err("deep")
            .to_string()
            .contains("more than 32")
    );
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    // Too deep for TOML, and so plain text where anything is taken.
    let _ =
        read(vec![set(&format!("split.parts={}", deep(100_000)))]).map(|layers| resolve(&layers).map(drop));
    for text in [
        format!("x = {}\n", deep(100_000)),
        format!("[{key}]\n"),
        format!("{key} = 1\n"),
    ] {
        write(folder.path(), "m.toml", format!("{DIGITS}{text}"));
        assert!(read(Vec::new()).and_then(|layers| resolve(&layers)).is_err());
    }
    assert!(read(vec![set("extends=other.toml")]).is_err());
}
