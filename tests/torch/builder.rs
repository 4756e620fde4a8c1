//! Assembles pickles and archives byte by byte, so that tests can also assemble wrong ones.

use std::io::{Cursor, Write};

use runner::checkpoint::torch::{Limits, PickleProblem, TorchError, TorchFile, read_with};
use zip::write::SimpleFileOptions;

/// A pickle under construction.
#[derive(Clone)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    /// Protocol 2, as PyTorch writes it.
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn stop(self) -> Vec<u8> {
        self.raw(b".").0
    }

    pub fn text(self, text: &str) -> Self {
        self.raw(b"X")
            .raw(&(text.len() as u32).to_le_bytes())
            .raw(text.as_bytes())
    }

    pub fn int(self, value: i32) -> Self {
        self.raw(b"J").raw(&value.to_le_bytes())
    }

    pub fn long(self, value: i64) -> Self {
        self.raw(&[0x8a, 8]).raw(&value.to_le_bytes())
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(b"c")
            .raw(module.as_bytes())
            .raw(b"\n")
            .raw(name.as_bytes())
            .raw(b"\n")
    }

    pub fn put(self, key: u8) -> Self {
        self.raw(&[b'q', key])
    }

    pub fn get(self, key: u8) -> Self {
        self.raw(&[b'h', key])
    }

    pub fn tuple(self, body: impl FnOnce(Self) -> Self) -> Self {
        body(self.raw(b"(")).raw(b"t")
    }

    pub fn list(self, body: impl FnOnce(Self) -> Self) -> Self {
        body(self.raw(b"](")).raw(b"e")
    }

    pub fn ints(self, values: &[i64]) -> Self {
        values.iter().fold(self, |pickle, &value| pickle.long(value))
    }

    /// A dictionary; `body` gives keys and values in turn.
    pub fn dict(self, body: impl FnOnce(Self) -> Self) -> Self {
        body(self.raw(b"}(")).raw(b"u")
    }

    /// An `OrderedDict`.
    pub fn ordered(self, body: impl FnOnce(Self) -> Self) -> Self {
        body(self.global("collections", "OrderedDict").raw(b")R(")).raw(b"u")
    }

    pub fn storage(self, class: &str, key: &str, elements: i64) -> Self {
        self.tuple(|p| {
            p.text("storage")
                .global("torch", class)
                .text(key)
                .text("cuda:0")
                .long(elements)
        })
        .raw(b"Q")
    }

    /// A tensor in a storage of its own or a shared one.
    pub fn tensor(self, storage: (&str, &str, i64), offset: i64, size: &[i64], stride: &[i64]) -> Self {
        let (class, key, elements) = storage;
        self.global("torch._utils", "_rebuild_tensor_v2")
            .tuple(|p| {
                p.storage(class, key, elements)
                    .long(offset)
                    .tuple(|p| p.ints(size))
                    .tuple(|p| p.ints(stride))
                    .raw(&[0x89])
                    .ordered(|p| p)
            })
            .raw(b"R")
    }

    /// A tensor as the old format has it: its storage is all of another, or a view of `(first, elements)`.
    pub fn legacy_tensor(
        self,
        storage: (&str, &str, i64),
        view: Option<(i64, i64)>,
        offset: i64,
        size: &[i64],
        stride: &[i64],
    ) -> Self {
        let (class, key, elements) = storage;
        let id = |p: Self| {
            let p = p.text("storage").global("torch", class).text(key);
            let p = p.text("cuda:0").long(elements);
            match view {
                None => p.raw(b"N"),
                Some((first, elements)) => p.tuple(|p| p.text("view").long(first).long(elements)),
            }
        };
        self.global("torch._utils", "_rebuild_tensor")
            .tuple(|p| {
                let p = p.tuple(id).raw(b"Q").long(offset);
                p.tuple(|p| p.ints(size)).tuple(|p| p.ints(stride))
            })
            .raw(b"R")
    }

    /// A parameter of floats that fills its storage, one-dimensional.
    pub fn parameter(self, key: &str, elements: i64) -> Self {
        self.global("torch._utils", "_rebuild_parameter")
            .tuple(|p| {
                p.tensor(("FloatStorage", key, elements), 0, &[elements], &[1])
                    .raw(&[0x88])
                    .ordered(|p| p)
            })
            .raw(b"R")
    }

    /// An object; `body` gives its attributes as keys and values in turn.
    pub fn object(self, class: (&str, &str), body: impl FnOnce(Self) -> Self) -> Self {
        self.global(class.0, class.1).raw(b")\x81").dict(body).raw(b"b")
    }

    /// A module with parameters and submodules, without buffers.
    pub fn module(
        self,
        class: (&str, &str),
        parameters: impl FnOnce(Self) -> Self,
        modules: impl FnOnce(Self) -> Self,
        attributes: impl FnOnce(Self) -> Self,
    ) -> Self {
        self.object(class, |p| {
            let p = p.text("training").raw(&[0x89]);
            let p = p
                .text("_parameters")
                .dict(parameters)
                .text("_buffers")
                .dict(|p| p);
            attributes(p.text("_modules").dict(modules))
        })
    }
}

pub const SEQUENTIAL: (&str, &str) = ("torch.nn.modules.container", "Sequential");
pub const LINEAR: (&str, &str) = ("torch.nn.modules.linear", "Linear");
pub const MLP: (&str, &str) = ("models.mlp", "MLPNet");

/// `value` as the whole file's value.
pub fn state_dict(body: impl FnOnce(Pickle) -> Pickle) -> Vec<u8> {
    Pickle::new().ordered(body).stop()
}

/// Little-endian bytes of `0.0, 1.0, ...`.
pub fn floats(count: u16) -> Vec<u8> {
    (0..count).flat_map(|i| f32::from(i).to_le_bytes()).collect()
}

/// An archive of uncompressed entries.
pub fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in entries {
        zip.start_file(*name, options).expect("start entry");
        zip.write_all(bytes).expect("write entry");
    }
    zip.finish().expect("finish archive").into_inner()
}

/// A checkpoint as torch 2.1 and later lay it out.
pub fn checkpoint(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let names: Vec<String> = storages
        .iter()
        .map(|(key, _)| format!("model_0/data/{key}"))
        .collect();
    let mut entries: Vec<(&str, &[u8])> =
        vec![("model_0/data.pkl", pickle), ("model_0/byteorder", b"little")];
    entries.extend(
        names
            .iter()
            .zip(storages)
            .map(|(name, (_, bytes))| (name.as_str(), *bytes)),
    );
    entries.push(("model_0/version", b"3\n"));
    archive(&entries)
}

/// What a file in the format before torch 1.6 begins with, up to the object.
pub const LEGACY_START: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\
    \x80\x02}q\x00(X\x0d\x00\x00\x00little_endianq\x01\x88X\x05\x00\x00\x00shortq\x02K\x02u.";

/// A file in that format; each storage with its number of elements.
pub fn legacy(object: &[u8], storages: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let keys = |p: Pickle| storages.iter().fold(p, |p, (key, _, _)| p.text(key));
    let keys = Pickle::new().list(keys).stop();
    let mut file = [LEGACY_START, object, &keys].concat();
    for (_, elements, bytes) in storages {
        file.extend_from_slice(&elements.to_le_bytes());
        file.extend_from_slice(bytes);
    }
    file
}

/// A small file of the shape of the reference's: an MLP with two layers, indices and sizes.
pub fn small_mlp() -> Vec<u8> {
    checkpoint(
        &small_mlp_pickle(),
        &[
            ("0", &floats(6)),
            ("1", &floats(2)),
            ("2", &floats(6)),
            ("3", &floats(2)),
        ],
    )
}

/// The object of [`small_mlp`].
pub fn small_mlp_pickle() -> Vec<u8> {
    let linear = |p: Pickle, weight: &str, bias: &str| {
        let parameters = |p: Pickle| {
            p.text("weight")
                .parameter(weight, 6)
                .text("bias")
                .parameter(bias, 2)
        };
        p.module(LINEAR, parameters, |p| p, |p| p.text("in_features").int(3))
    };
    let level = |p: Pickle, weight: &str, bias: &str| {
        let modules = |p: Pickle| linear(p.text("1"), weight, bias);
        p.module(SEQUENTIAL, |p| p, modules, |p| p)
    };
    let modules = |p: Pickle| level(level(p.text("level1"), "0", "1").text("level2"), "2", "3");
    let attributes = |p: Pickle| {
        p.text("train_indices")
            .list(|p| (0..300).fold(p, Pickle::int))
            .text("val_indices")
            .raw(b"]")
            .text("hidden_size")
            .int(2)
    };
    Pickle::new().module(MLP, |p| p, modules, attributes).stop()
}

/// Reads the bytes as a file.
pub fn load(bytes: &[u8], limits: &Limits) -> Result<TorchFile, TorchError> {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(bytes).expect("write temporary file");
    read_with(file.path(), limits)
}

/// A pickle without storages, under the default limits.
pub fn run(pickle: &[u8]) -> Result<TorchFile, TorchError> {
    load(&checkpoint(pickle, &[]), &Limits::default())
}

/// The problem and the offset of a pickle that must fail.
pub fn fault(pickle: &[u8], limits: &Limits) -> (usize, PickleProblem) {
    match load(&checkpoint(pickle, &[]), limits) {
        Err(TorchError::Pickle { offset, problem, .. }) => (offset as usize, problem),
        other => panic!("not a fault of the pickle: {other:?}"),
    }
}
