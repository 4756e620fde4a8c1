//! The folder `shared` beside the repository: data, reference models and golden values.

use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

/// `RUNNER_SHARED`, or the folder `shared` beside one of the parents of the crate; without one, says what is skipped.
pub fn shared(skipped: &str) -> Option<PathBuf> {
    let found = match std::env::var_os("RUNNER_SHARED").map(PathBuf::from) {
        Some(folder) => Some(folder).filter(|folder| folder.is_dir()),
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|parent| parent.join("shared"))
            .find(|folder| folder.join("golden").is_dir()),
    };
    if found.is_none() {
        say_skipped(
            skipped,
            "there is no `shared` folder and RUNNER_SHARED names none",
        );
    }
    found
}

/// Says so in the output of a test that passes, too: the harness swallows what the `print` macros write.
pub fn say_skipped(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "\nSKIPPED, because {why}: {what}\n");
}

/// One recorded file.
pub struct Golden {
    bytes: Vec<u8>,
    /// The JSON beside the tensors.
    pub json: serde_json::Value,
}

impl Golden {
    pub fn open(shared: &Path, name: &str) -> Self {
        let read = |extension: &str| {
            let path = shared.join("golden").join(format!("{name}.{extension}"));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let json = serde_json::from_slice(&read("json")).expect("golden JSON");
        Self {
            bytes: read("safetensors"),
            json,
        }
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.tensors().names().into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// A tensor of f32 and its shape.
    pub fn f32(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, words) = self.words(name);
        (shape, words.into_iter().map(f32::from_le_bytes).collect())
    }

    /// A tensor of non-negative i32.
    pub fn indices(&self, name: &str) -> Vec<usize> {
        let words = self.words(name).1.into_iter().map(i32::from_le_bytes);
        words
            .map(|index| usize::try_from(index).expect("non-negative"))
            .collect()
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("safetensors")
    }

    fn words(&self, name: &str) -> (Vec<usize>, Vec<[u8; 4]>) {
        let tensors = self.tensors();
        let tensor = tensors
            .tensor(name)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (words, rest) = tensor.data().as_chunks::<4>();
        assert!(rest.is_empty(), "{name} has no elements of four bytes");
        (tensor.shape().to_vec(), words.to_vec())
    }
}
