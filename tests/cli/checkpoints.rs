//! `inspect`, `export` and `import`.

use super::*;

fn checkpoint(bench: &Bench) -> String {
    bench.exec(&[]).ok();
    let files = bench.files();
    let found = files
        .iter()
        .find(|file| file.contains("/train-") && file.ends_with(".safetensors"));
    found.expect("a trained model").clone()
}

#[test]
fn a_checkpoint_of_ours_is_shown_and_converted() {
    let bench = Bench::new();
    let path = checkpoint(&bench);
    let shown = bench.run(&["inspect", &path, "--format", "json"]).ok().json();
    let file = &shown[0];
    assert_eq!(
        (&file["format"], &file["kind"]),
        (&"safetensors".into(), &"native".into())
    );
    // 64 pixels, 8 hidden, 10 classes, with biases.
    assert_eq!(file["parameters"], 64 * 8 + 8 + 8 * 10 + 10);
    assert_eq!(file["tensors"].as_array().map(Vec::len), Some(4));
    assert!(file["train-indices"]["count"].as_u64() > Some(100), "{file}");
    let text = bench.run(&["inspect", &path]).ok().stdout;
    for part in [
        "checkpoint of this program",
        "parameters    610",
        " f32   8 x 64\n",
        " indices, ",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }

    let said = bench.run(&["export", &path, "model.pt"]).ok().stdout;
    assert_eq!(said, "model.pt: a PyTorch state dict of 4 tensors\n");
    let exported = bench
        .run(&["inspect", "model.pt", "--format", "jsonl"])
        .ok()
        .json();
    assert_eq!(
        (&exported["format"], &exported["kind"]),
        (&"torch-zip".into(), &"state-dict".into())
    );
    assert_eq!(exported["parameters"], file["parameters"]);
    bench.run(&["import", "model.pt", "back.safetensors"]).ok();
    let back = bench.run(&["inspect", "back.safetensors"]).ok().stdout;
    assert!(back.contains("model.pt (blake3 "), "{back}");
    // Ours stays ours, with all it says.
    bench.run(&["export", &path, "copy.safetensors"]).ok();
    let copy = bench
        .run(&["inspect", "copy.safetensors", "--format", "jsonl"])
        .ok()
        .json();
    assert_eq!((&copy["kind"], &copy["key"]), (&file["kind"], &file["key"]));
}

#[test]
fn mistakes_are_told() {
    let bench = Bench::new();
    bench
        .run(&["inspect", "nothing.pt", "tiny.toml"])
        .code(2)
        .says("error: cannot read the checkpoint `nothing.pt`: No such file")
        .says("error: `tiny.toml` is neither a PyTorch checkpoint nor a safetensors file\n\nhint: ");
    bench
        .run(&["export", "a.pt", "b"])
        .code(2)
        .says("hint: name it `.pt`");
    bench
        .run(&["import", "a.pt", "b.pt"])
        .code(2)
        .says("hint: name it `.safetensors`");
    bench
        .run(&["export", "tiny.toml", "b.pt"])
        .code(2)
        .says("`tiny.toml` is neither");
}
