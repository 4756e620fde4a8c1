//! Problems of the files a manifest names, and of the layers above it.

use insta::assert_snapshot;

use super::*;
use crate::shared::shared;

const MNIST: &str = "name = \"t\"\n\n[dataset]\nname = \"mnist\"\n";

#[test]
fn data_without_a_folder() {
    assert_snapshot!(report(MNIST), @r#"
    error: data set `mnist` needs a data folder
      --> m.toml:4:8
       |
     4 | name = "mnist"
       |        ^^^^^^^

    hint: give the folder that holds the files of `mnist` with `--data-dir DIR`, the environment variable RUNNER_DATA, or `dir = "..."` in `[dataset]`
    "#);
}

#[test]
fn data_that_is_missing() {
    let folder = folder(MNIST);
    assert_snapshot!(report_in(folder.path(), Vec::new(), Some(folder.path())), @r#"
    error: data set `mnist`: cannot find `train-images-idx3-ubyte` or `train-images-idx3-ubyte.gz` in `mnist`, `MNIST/raw`, `FOLDER`
      --> m.toml:4:8
       |
     4 | name = "mnist"
       |        ^^^^^^^

    hint: download it with `runner fetch mnist --data-dir DIR`, or put the file into one of these folders
    "#);
}

#[test]
fn images_that_are_missing() {
    let folder = folder(&MNIST.replace("mnist", "cifar100"));
    assert_snapshot!(report_in(folder.path(), Vec::new(), Some(folder.path())), @r#"
    error: data set `cifar100`: cannot find `train-*.parquet` or `train.bin` in `FOLDER`, `cifar100`, `cifar-100`, `cifar-100-binary`, `cifar100/cifar-100-binary`, `cifar-100/cifar-100-binary`, `cifar100/cifar100`, `cifar-100/cifar100`
      --> m.toml:4:8
       |
     4 | name = "cifar100"
       |        ^^^^^^^^^^

    hint: download it with `runner fetch cifar100 --data-dir DIR`, or put the file into one of these folders
    "#);
}

/// Everything but the decoded content is in order: the first file does not hold what its name says.
#[test]
fn images_that_are_corrupt() {
    let folder = folder(&MNIST.replace("mnist", "cifar10"));
    for file in ["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"] {
        write(folder.path(), file, "PAR1 but no more");
    }
    assert_snapshot!(report_in(folder.path(), Vec::new(), Some(folder.path())), @r#"
    error: `train-00000-of-00001.parquet` is not a valid parquet file: Parquet error: Invalid Parquet file. Corrupt footer
      --> m.toml:4:8
       |
     4 | name = "cifar10"
       |        ^^^^^^^^^

    hint: the file is damaged or another one: download it again
    "#);
}

#[test]
fn data_that_is_corrupt() {
    let Some(shared) = shared("the report of a corrupt MNIST file") else {
        return;
    };
    let folder = folder(MNIST);
    for file in std::fs::read_dir(shared.join("data/mnist")).expect("MNIST") {
        let path = file.expect("entry").path();
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        if name.ends_with("-ubyte") || path.extension().is_some_and(|ext| ext == "gz") {
            let mut bytes = std::fs::read(&path).expect("readable");
            if name.starts_with("t10k-labels") {
                let last = bytes.len() - 1;
                if name.ends_with("-ubyte") {
                    bytes[last] ^= 1;
                } else {
                    bytes.truncate(last);
                }
            }
            write(folder.path(), &name, bytes);
        }
    }
    let text = report_in(folder.path(), Vec::new(), Some(folder.path()));
    assert!(
        text.starts_with("error: ") && text.contains("t10k-labels") && text.contains("m.toml:4:8"),
        "{text}"
    );
    assert!(
        text.contains("hint: the file is damaged or another one: download it again"),
        "{text}"
    );
}

#[test]
fn models_that_are_missing() {
    assert_snapshot!(digits("\n[base]\nmodels = \"nowhere/split-by-{parts}/seed{seed}/model_*.pt\"\n"), @r#"
    error: `nowhere/split-by-2/seed1/model_*.pt` matches 0 files, but the split has 2 parts
      --> m.toml:7:10
       |
     7 | models = "nowhere/split-by-{parts}/seed{seed}/model_*.pt"
       |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    hint: paths are relative to the folder `runner` is started in; put the files there, or drop `models`, and they are trained here
    "#);
}

#[test]
fn models_that_are_corrupt() {
    let folder = folder("");
    write(folder.path(), "model_0.pt", "not a zip file");
    write(folder.path(), "model_1.pt", "");
    let pattern = folder.path().canonicalize().expect("path").join("model_*.pt");
    write(
        folder.path(),
        "m.toml",
        format!("{DIGITS}\n[base]\nmodels = '{}'\n", pattern.display()),
    );
    let text = report_in(folder.path(), Vec::new(), None);
    // The line of the manifest holds the folder's name, so the marks below it vary in number.
    let text: Vec<&str> = text.lines().map(|line| line.trim_end_matches('^')).collect();
    assert_snapshot!(text.join("\n"), @r#"
    error: `model_0.pt` is neither a PyTorch checkpoint nor a safetensors file
      --> m.toml:7:10
       |
     7 | models = 'model_*.pt'
       |          

    hint: give a file written by `torch.save`, safetensors or `runner`

    error: `model_1.pt` is neither a PyTorch checkpoint nor a safetensors file
      --> m.toml:7:10
       |
     7 | models = 'model_*.pt'
       |          

    hint: give a file written by `torch.save`, safetensors or `runner`
    "#);
}

#[test]
fn models_of_another_architecture() {
    let Some(shared) = shared("the report of models that do not fit") else {
        return;
    };
    let text = format!(
        "{MNIST}\n[split]\nkind = \"non-iid\"\n\n[model]\nhidden = [128]\n\n[base]\nmodels = '{}/reference-models/non-iid/MLPs/MNIST/split-by-2/seed1/model_*.pt'\n",
        shared.display()
    );
    let folder = folder(&text);
    let text = report_in(folder.path(), Vec::new(), Some(&shared.join("data")));
    let text = text
        .replace(&shared.display().to_string(), "SHARED")
        .replace(&"^".repeat(10), "");
    let text: Vec<&str> = text.lines().map(|line| line.trim_end_matches('^')).collect();
    assert_snapshot!(text.join("\n"), @r#"
    error: `SHARED/reference-models/non-iid/MLPs/MNIST/split-by-2/seed1/model_0.pt` does not fit `[model]`: the tensors do not fit architecture `mlp`: `level1.1.weight` has shape [256, 784] instead of [128, 784]
      --> m.toml:13:10
        |
     13 | models = 'SHARED/reference-models/non-iid/MLPs/MNIST/split-by-2/seed1/model_*.pt'
        |          

    hint: the file seems to be of `[model]` with architecture = "mlp"

    error: `SHARED/reference-models/non-iid/MLPs/MNIST/split-by-2/seed1/model_1.pt` does not fit `[model]`: the tensors do not fit architecture `mlp`: `level1.1.weight` has shape [256, 784] instead of [128, 784]
      --> m.toml:13:10
        |
     13 | models = 'SHARED/reference-models/non-iid/MLPs/MNIST/split-by-2/seed1/model_*.pt'
        |          

    hint: the file seems to be of `[model]` with architecture = "mlp"
    "#);
}

#[test]
fn recorded_fusion_sets_that_do_not_fit() {
    let folder = folder("");
    let path = folder.path().canonicalize().expect("path").join("set");
    let text = format!(
        "{DIGITS}\n[[fusion]]\nmethod = \"hf-linear\"\n[fusion-set]\nfile = '{}'\n",
        path.display()
    );
    write(folder.path(), "m.toml", text);
    let first = || {
        report_in(folder.path(), Vec::new(), None)
            .lines()
            .next()
            .expect("a line")
            .to_string()
    };
    assert_snapshot!(first(), @"error: cannot read the fusion set `set`: No such file or directory (os error 2)");
    write(folder.path(), "set", "nonsense");
    assert_snapshot!(first(), @"error: the fusion set `set` is not sound: header too large");
    let pixels = [0u8; 4 * 2 * 7 * 7];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, 1, 7, 7], &pixels)
        .expect("view");
    write(
        folder.path(),
        "set",
        safetensors::serialize([("fusion.images", view)], None).expect("bytes"),
    );
    assert_snapshot!(first(), @"error: the fusion set `set` holds `fusion.images` of type F32 and shape [2, 1, 7, 7], but `digits` needs F32 and [N, 1, 8, 8]");
}

#[test]
fn extends_what_is_not_there() {
    assert_snapshot!(report("extends = \"base.toml\"\nname = \"t\"\n"), @r#"
    error: cannot read the manifest `base.toml`: No such file or directory (os error 2)
      --> m.toml:1:11
       |
     1 | extends = "base.toml"
       |           ^^^^^^^^^^^

    hint: paths of `extends` start from the folder of the manifest that has them
    "#);
    assert_snapshot!(report("extends = 3\nname = \"t\"\n"), @r#"
    error: `extends` must be the path of a manifest, or a list of them
      --> m.toml:1:11
       |
     1 | extends = 3
       |           ^
    "#);
}

#[test]
fn extends_in_a_circle() {
    let folder = folder("extends = \"other.toml\"\nname = \"t\"\n");
    write(folder.path(), "other.toml", "extends = \"m.toml\"\n");
    assert_snapshot!(report_in(folder.path(), Vec::new(), None), @r#"
    error: `extends` goes in a circle: `m.toml` is extended already
      --> other.toml:1:11
       |
     1 | extends = "m.toml"
       |           ^^^^^^^^
    "#);
}

#[test]
fn problem_in_the_extended_file() {
    let folder = folder("extends = \"other.toml\"\nname = \"t\"\n[split]\nparts = 0\n");
    write(
        folder.path(),
        "other.toml",
        "[dataset]\nname = \"digits\"\n[base]\nepochs = 0\n",
    );
    assert_snapshot!(report_in(folder.path(), Vec::new(), None), @r#"
    error: `split.parts` must be at least 1, not 0
      --> m.toml:4:9
       |
     4 | parts = 0
       |         ^

    error: `base.epochs` must be between 1 and 10000000, not 0
      --> other.toml:4:10
       |
     4 | epochs = 0
       |          ^
    "#);
}

#[test]
fn problem_of_an_override() {
    let folder = folder(&format!(
        "{DIGITS}[base]\nepochs = 3\n[[fusion]]\nmethod = \"ensemble\"\n"
    ));
    let of = |text: &str| report_in(folder.path(), vec![set(text)], None);
    assert_snapshot!(of("base.epochs=0"), @r#"
    error: `base.epochs` must be between 1 and 10000000, not 0
      --> --set base.epochs=0
    "#);
    assert_snapshot!(of("base.epcohs=1"), @r#"
    error: unknown key `epcohs`
      --> --set base.epcohs=1

    hint: did you mean `epochs`?
    "#);
    assert_snapshot!(of("split.parts=2,11000"), @r#"
    error: cannot split the training set: 11000 parts, but only 1438 samples
      --> --set split.parts=2,11000
    "#);
    assert_snapshot!(of("fusion.0.method=ensembel"), @r#"
    error: unknown method `ensembel`
      --> --set fusion.0.method=ensembel

    hint: did you mean `ensemble`?
    "#);
    assert_snapshot!(of("fusion.1.method=ensemble"), @r#"
    error: `fusion` is a list of 1: `1` is not one of its positions (from 0)
      --> --set fusion.1.method=ensemble
    "#);
    assert_snapshot!(of("name.x=1"), @r#"
    error: `name` is a value, not a table
      --> --set name.x=1
    "#);
    assert_snapshot!(Override::parse("base.epochs", "--set ").expect_err("no value").to_string(), @r#"
    `base.epochs` is not of the form `key=value`

    hint: for example `--set base.epochs=3`, or `split.parts=2,4` for an axis
    "#);
    assert_snapshot!(Override::parse("base..epochs=1", "--set ").expect_err("empty key").to_string(), @"`base..epochs=1` has an empty key");
}

#[test]
fn problem_of_an_environment_variable() {
    let folder = folder(DIGITS);
    let of = |name: &str, value: &str| {
        let item = Override::from_environment(name, value).expect("prefix");
        report_in(folder.path(), vec![item], None)
    };
    assert_snapshot!(of("RUNNER__BASE__BATCH_SIZE", "many"), @r#"
    error: `base.batch-size` must be a whole number, 0 or more, not "many"
      --> environment variable RUNNER__BASE__BATCH_SIZE
    "#);
    assert_snapshot!(of("RUNNER__DATA_SET", "x"), @r#"
    error: unknown key `data-set`
      --> environment variable RUNNER__DATA_SET

    hint: did you mean `dataset`? Or unset the variable, if it is another program's
    "#);
}
