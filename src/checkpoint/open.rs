//! One way into every file, whatever it is called: the format is told by the content, and only headers are read.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use candle_core::Tensor;

use super::info::TensorInfo;
use super::input::Input;
use super::native::{self, Meta};
use super::origin::{self, Origin};
use super::plain::{Plain, is_plain};
use super::torch::{Attribute, Limits, Opened};
use super::{CheckpointError, Raw};
use crate::arch::NORM_EPS;

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Safetensors.
    Safetensors,
    /// `torch.save` since 1.6: a zip archive.
    TorchZip,
    /// `torch.save` before 1.6: pickles and storages.
    TorchLegacy,
}

/// What a file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A checkpoint of this program: tensors and [`Meta`].
    Native,
    /// Names and tensors.
    StateDict,
    /// A whole PyTorch module.
    Module,
}

/// An open file: what it says about itself, and where its tensors are.
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// How it is laid out.
    pub format: Format,
    /// What it is of.
    pub kind: Kind,
    /// The Python class of the model, such as `models.mlp.MLPNet`, where the file tells it.
    pub class: Option<String>,
    /// In the order of `state_dict()`, as far as the file keeps it.
    pub tensors: Vec<TensorInfo>,
    /// Where the dictionary of a training loop has the weights, such as `model_state_dict`.
    pub under: Option<String>,
    /// The `eps` of normalisations by the module's name, where the file tells it.
    pub norms: BTreeMap<String, f64>,
    /// The module's attributes, and numbers and text that a training loop has put beside the weights.
    pub attributes: BTreeMap<String, Attribute>,
    /// What a checkpoint of ours says.
    pub meta: Option<Meta>,
    /// Which file it was imported from.
    pub origin: Option<Origin>,
    /// All metadata of a safetensors file, also what `meta` and `origin` are made of.
    pub metadata: BTreeMap<String, String>,
    source: Source,
    limits: Limits,
}

enum Source {
    Plain(Plain),
    Torch(Box<Opened>),
}

/// The beginning of what git leaves in place of a file that Git LFS keeps.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Whether a file that begins so is a pointer of Git LFS.
pub fn is_pointer(first: &[u8]) -> bool {
    first.starts_with(LFS)
}

/// Opens a file under the default [`Limits`].
pub fn open(path: &Path) -> Result<File, CheckpointError> {
    open_with(path, &Limits::default())
}

/// Like [`open`], with other bounds.
///
/// Of a safetensors file the header is read, of a zip archive its directory and `data.pkl`, of the legacy format the
/// pickles at its beginning, in all cases by seeking to them: the time does not depend on the size of the tensors.
pub fn open_with(path: &Path, limits: &Limits) -> Result<File, CheckpointError> {
    let input = Input::open(path).map_err(|error| CheckpointError::io(path, error))?;
    open_input(path, input, limits)
}

/// Opens a file whose bytes are in memory; `path` is for messages.
pub fn open_bytes(path: &Path, bytes: Vec<u8>) -> Result<File, CheckpointError> {
    open_input(path, Input::Memory(Cursor::new(bytes)), &Limits::default())
}

fn open_input(path: &Path, mut file: Input, limits: &Limits) -> Result<File, CheckpointError> {
    let io = |error| CheckpointError::io(path, error);
    let length = file.length().map_err(io)?;
    let mut first = Vec::new();
    file.by_ref()
        .take(LFS.len() as u64)
        .read_to_end(&mut first)
        .map_err(io)?;
    file.rewind().map_err(io)?;
    match *first.as_slice() {
        [b'P', b'K', ..] | [0x80, 0..=5, ..] if !is_plain(&first, length) => {
            Ok(torch(path, Opened::new(path, file, limits)?, limits))
        }
        _ if is_pointer(&first) => Err(CheckpointError::Pointer {
            path: path.to_path_buf(),
        }),
        _ if is_plain(&first, length) => plain(path, Plain::new(path, file, limits)?, limits),
        _ => Err(CheckpointError::Unknown {
            path: path.to_path_buf(),
        }),
    }
}

fn torch(path: &Path, opened: Opened, limits: &Limits) -> File {
    let class = opened.class().map(str::to_owned);
    File {
        path: path.to_path_buf(),
        format: if opened.is_zip() {
            Format::TorchZip
        } else {
            Format::TorchLegacy
        },
        kind: if class.is_some() {
            Kind::Module
        } else {
            Kind::StateDict
        },
        class,
        tensors: opened.infos(),
        under: opened.under().map(str::to_owned),
        norms: opened.norms().clone(),
        attributes: opened.attributes().clone(),
        meta: None,
        origin: None,
        metadata: BTreeMap::new(),
        source: Source::Torch(Box::new(opened)),
        limits: limits.clone(),
    }
}

fn plain(path: &Path, plain: Plain, limits: &Limits) -> Result<File, CheckpointError> {
    let metadata = plain.header.metadata.clone();
    let malformed =
        |key: &str, error: String| CheckpointError::entry(path, format!("metadata `{key}`"), error);
    let read = |key| metadata.get(key).map(|json| (key, json));
    let meta: Option<Meta> = read(native::KEY)
        .map(|(key, json)| native::read_meta(json).map_err(|e| malformed(key, e)))
        .transpose()?;
    let origin: Option<Origin> = read(origin::KEY)
        .map(|(key, json)| origin::read(json).map_err(|error| malformed(key, error)))
        .transpose()?;
    Ok(File {
        path: path.to_path_buf(),
        format: Format::Safetensors,
        kind: if meta.is_some() {
            Kind::Native
        } else {
            Kind::StateDict
        },
        class: origin.as_ref().and_then(|origin| origin.class.clone()),
        tensors: plain.infos(),
        under: None,
        norms: origin
            .as_ref()
            .map(|origin| origin.norms.clone())
            .unwrap_or_default(),
        attributes: origin.as_ref().map(Origin::attributes).unwrap_or_default(),
        meta,
        origin,
        metadata,
        source: Source::Plain(plain),
        limits: limits.clone(),
    })
}

impl File {
    /// The indices of the images it was trained on (`train`) or validated on, if the file has them.
    pub fn indices(&self, train: bool) -> Option<&[u64]> {
        if let Some(meta) = &self.meta {
            return Some(if train {
                &meta.train_indices
            } else {
                &meta.val_indices
            });
        }
        let name = if train { "train_indices" } else { "val_indices" };
        match self.attributes.get(name) {
            Some(Attribute::Indices(indices)) => Some(indices),
            _ => None,
        }
    }

    /// Whether its tensors are in the order of the program that wrote it: other programs' safetensors need not be.
    pub fn is_ordered(&self) -> bool {
        self.format != Format::Safetensors
    }

    /// Reads all tensors, on the CPU, of type [`Dtype::candle`](super::Dtype::candle); tied ones stay tied.
    pub fn load(mut self) -> Result<Vec<(String, Tensor)>, CheckpointError> {
        let plain = match &mut self.source {
            Source::Torch(opened) => return Ok(opened.load(&self.limits)?),
            Source::Plain(plain) => plain,
        };
        check_bytes(&self.path, &self.tensors, &self.limits)?;
        let mut tensors = Vec::with_capacity(self.tensors.len());
        for (index, info) in self.tensors.iter().enumerate() {
            let tensor = plain.raw(index)?.tensor().map_err(|error| {
                CheckpointError::entry(&self.path, format!("tensor `{}`", info.name), error.to_string())
            })?;
            tensors.push((info.name.clone(), tensor));
        }
        Ok(tensors)
    }

    /// Hands out the tensors one by one, each once: `read(index)`.
    pub(super) fn reader(
        self,
    ) -> Result<impl FnMut(usize) -> Result<Raw<'static>, CheckpointError>, CheckpointError> {
        if let Source::Torch(opened) = &self.source {
            opened.check_names(&self.limits)?;
        }
        let mut source = self.source;
        Ok(move |index| match &mut source {
            Source::Plain(plain) => plain.raw(index),
            Source::Torch(opened) => Ok(opened.raw(index)?),
        })
    }
}

/// The limit of the other formats: what a safetensors file holds is never more than the file.
fn check_bytes(path: &Path, tensors: &[TensorInfo], limits: &Limits) -> Result<(), CheckpointError> {
    let bytes = tensors
        .iter()
        .fold(0_u64, |sum, info| sum.saturating_add(info.bytes()));
    if bytes > limits.tensor_bytes {
        let problem = format!("takes {bytes} bytes, at most {} are allowed", limits.tensor_bytes);
        return Err(CheckpointError::entry(path, "data", problem));
    }
    Ok(())
}

impl Origin {
    /// Of an open file; reads all of it, for its hash.
    pub(super) fn of(file: &File) -> Result<Self, CheckpointError> {
        let json = |(name, attribute): (&String, &Attribute)| Some((name.clone(), attribute.to_json()?));
        Ok(Self {
            file: file
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            blake3: origin::hash(&file.path)?,
            class: file.class.clone(),
            attributes: file.attributes.iter().filter_map(json).collect(),
            norms: match file.norms.values().all(|eps| *eps == NORM_EPS) {
                true => BTreeMap::new(),
                false => file.norms.clone(),
            },
        })
    }
}
