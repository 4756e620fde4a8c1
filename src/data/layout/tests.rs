use super::*;
use crate::files::write_atomic;

const LAYOUT: Layout = Layout {
    folders: &["", "set", "set/binary"],
    binaries: [&["a.bin", "b.bin"], &["t.bin"]],
};

/// The files found among these, relative to the folder, or the error without its folder.
fn found(files: &[&str]) -> Result<(Form, [Vec<String>; 2]), String> {
    let folder = tempfile::tempdir().expect("temporary folder");
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        write_atomic(&path, &[b"x"]).expect("written");
    }
    let relative = |path: &PathBuf| {
        path.strip_prefix(folder.path())
            .expect("below")
            .display()
            .to_string()
    };
    match Files::find("set", &LAYOUT, folder.path()) {
        Ok(files) => Ok((
            files.form,
            files.parts.map(|part| part.iter().map(relative).collect()),
        )),
        Err(error) => Err(error
            .to_string()
            .replace(&folder.path().display().to_string(), "FOLDER")),
    }
}

#[test]
fn shards_are_found_in_their_order() {
    let files = [
        "set/test-00000-of-00001-0123abcd.parquet",
        "set/train-00001-of-00002.parquet",
        "set/train-00000-of-00002.parquet",
        "set/train-notes.parquet",
        "set/valid-00000-of-00001.parquet",
        "set/a.bin",
    ];
    let train = [
        "set/train-00000-of-00002.parquet",
        "set/train-00001-of-00002.parquet",
    ];
    let test = ["set/test-00000-of-00001-0123abcd.parquet"];
    let parts = [train.map(String::from).to_vec(), test.map(String::from).to_vec()];
    assert_eq!(found(&files), Ok((Form::Parquet, parts)));
}

#[test]
fn binary_files_are_found_in_the_named_folders() {
    let parts = |folder: &str| {
        [vec!["a.bin", "b.bin"], vec!["t.bin"]].map(|part| {
            part.iter()
                .map(|file| format!("{folder}{file}"))
                .collect::<Vec<_>>()
        })
    };
    for folder in ["", "set/", "set/binary/"] {
        let files: Vec<String> = parts(folder).concat();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        assert_eq!(found(&files), Ok((Form::Binary, parts(folder))));
    }
}

#[test]
fn what_is_missing_is_named() {
    let problem = |files: &[&str]| found(files).expect_err("incomplete");
    assert_eq!(
        problem(&["other/a.bin"]),
        "data set `set`: cannot find `train-*.parquet` or `a.bin` in `FOLDER`, `FOLDER/set`, `FOLDER/set/binary`"
    );
    assert_eq!(
        problem(&["set/a.bin", "set/t.bin"]),
        "data set `set`: cannot find `b.bin` in `FOLDER/set`"
    );
    assert_eq!(
        problem(&["train-00000-of-00001.parquet"]),
        "data set `set`: cannot find `test-*.parquet` in `FOLDER`"
    );
    assert_eq!(
        problem(&[
            "train-00002-of-00003.parquet",
            "train-00000-of-00003.parquet",
            "test-00000-of-00001.parquet"
        ]),
        "data set `set`: cannot find `train-00001-of-00003.parquet` in `FOLDER`"
    );
    assert_eq!(
        problem(&["train-99999999999999999999-of-00003.parquet", "t.bin"]),
        "data set `set`: cannot find `a.bin` in `FOLDER`"
    );
}
