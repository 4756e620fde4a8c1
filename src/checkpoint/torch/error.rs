//! Why a checkpoint could not be read.

use std::path::{Path, PathBuf};

/// A checkpoint is unreadable, damaged, or holds something this program does not understand.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The operating system refused.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Something else altogether.
    #[error("`{}` is not a PyTorch checkpoint: it is neither a zip archive nor a pickle", path.display())]
    Unknown {
        /// Which file.
        path: PathBuf,
    },
    /// It begins like a zip archive but its directory cannot be read.
    #[error("`{}` is a damaged or incomplete zip archive", path.display())]
    Zip {
        /// Which file.
        path: PathBuf,
        /// What the zip reader found.
        source: zip::result::ZipError,
    },
    /// A zip archive, but not one that `torch.save` wrote.
    #[error("`{}` is a zip archive but not a PyTorch checkpoint: {problem}", path.display())]
    NotTorch {
        /// Which file.
        path: PathBuf,
        /// What is missing or double.
        problem: &'static str,
    },
    /// One entry of the archive, or one part of a file in the old format, cannot be used.
    #[error("`{}`: entry `{entry}` {problem}", path.display())]
    Entry {
        /// Which file.
        path: PathBuf,
        /// Its name in the archive, or what the part is.
        entry: String,
        /// What is wrong.
        problem: EntryProblem,
    },
    /// The pickle is malformed, too large, or asks for something that is not allowed.
    #[error("`{}`: {part}, byte {offset}: {problem}", path.display())]
    Pickle {
        /// Which file.
        path: PathBuf,
        /// Which pickle: `data.pkl`, or in the old format `object`, `storage keys`, ...
        part: &'static str,
        /// Where the instruction starts, in `data.pkl` or in the whole file of the old format.
        offset: u64,
        /// What is wrong.
        problem: PickleProblem,
    },
    /// The pickle is fine, but what it describes is neither a module nor a state dict.
    #[error("`{}`: {problem}", path.display())]
    Layout {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: LayoutProblem,
    },
    /// One tensor does not fit its storage.
    #[error("`{}`: tensor `{name}` {problem}", path.display())]
    Tensor {
        /// Which file.
        path: PathBuf,
        /// Its name in the state dict.
        name: String,
        /// What is wrong.
        problem: TensorProblem,
    },
    /// All tensors together are too large.
    #[error("`{}`: its tensors take {bytes} bytes, at most {limit} are allowed for it", path.display())]
    TensorBytes {
        /// Which file.
        path: PathBuf,
        /// What they take.
        bytes: u64,
        /// What is allowed.
        limit: u64,
    },
}

/// What is wrong with an entry of the archive.
#[derive(Debug, thiserror::Error)]
pub enum EntryProblem {
    /// Not there.
    #[error("is missing")]
    Missing,
    /// Not stored as it is.
    #[error("is compressed or encrypted")]
    Compressed,
    /// The archive's directory promises more than there is.
    #[error("claims {claimed} bytes, the whole file has {available}")]
    Size {
        /// What the directory says.
        claimed: u64,
        /// The length of the file, or what of it other entries left.
        available: u64,
    },
    /// The entries read so far are longer than the file: some of them share bytes.
    #[error("overlaps other entries")]
    Overlap,
    /// The bytes do not fit the checksum or the length.
    #[error("is damaged: its length or checksum does not fit")]
    Damaged,
    /// The operating system refused.
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    /// `data.pkl` is larger than [`super::Limits::pickle_bytes`].
    #[error("has {bytes} bytes, at most {limit} are allowed")]
    PickleBytes {
        /// Its length.
        bytes: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A pickle in the old format does not end within [`super::Limits::pickle_bytes`].
    #[error("does not end within the first {0} bytes of the file")]
    TooLong(u64),
    /// A pickle, but not of `torch.save`.
    #[error("is not PyTorch's")]
    Magic,
    /// Another version of the old format than the only one there is.
    #[error("is not 1001")]
    Version,
    /// The list of storages is none.
    #[error("are not a list of texts")]
    Keys,
    /// A storage that no tensor lies in: of its length nothing is known.
    #[error("is not one of the object's")]
    Unannounced,
    /// A storage listed twice.
    #[error("is listed twice")]
    Twice,
    /// A storage mentioned with two sizes.
    #[error("has {0} bytes in one place and {1} in another")]
    Sizes(u64, u64),
    /// The number in front of a storage's elements is not the announced one.
    #[error("has {found} elements, not {expected}")]
    Elements {
        /// What stands in front of it.
        found: u64,
        /// What the object announces.
        expected: u64,
    },
    /// A big-endian file.
    #[error("says that the file is big-endian")]
    BigEndian,
    /// Neither `little` nor `big`.
    #[error("names no known byte order")]
    ByteOrder,
}

/// What is wrong with the pickle.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleProblem {
    /// A length field, or the instruction itself, goes past the end.
    #[error("{needed} bytes are announced, {left} are left")]
    Length {
        /// How many bytes were asked for.
        needed: u64,
        /// How many there are.
        left: u64,
    },
    /// An instruction that PyTorch's pickles do not have.
    #[error("unknown instruction 0x{0:02x}")]
    Opcode(u8),
    /// A newer pickle.
    #[error("pickle protocol {0} is not supported")]
    Protocol(u8),
    /// Fewer values on the stack than the instruction takes.
    #[error("the stack is empty")]
    Underflow,
    /// More values than one remain at the end.
    #[error("{0} values are left at the end, one is expected")]
    Leftover(usize),
    /// A reference to a memo entry that was not set.
    #[error("memo entry {0} is not set")]
    Unset(u32),
    /// Text that is not UTF-8.
    #[error("text is not valid UTF-8")]
    Utf8,
    /// A class or function outside the allow-list.
    #[error("class or function `{0}` is not allowed in a checkpoint")]
    Forbidden(String),
    /// An instruction on a value of the wrong kind.
    #[error("cannot {action} a {found}")]
    Kind {
        /// What was tried: `append to`, `call`, ...
        action: &'static str,
        /// On what.
        found: &'static str,
    },
    /// A function with arguments it does not take.
    #[error("malformed arguments of `{0}`")]
    Arguments(&'static str),
    /// A tensor that does not fit its storage.
    #[error("a tensor {0}")]
    Tensor(#[from] TensorProblem),
    /// Beyond [`super::Limits::depth`].
    #[error("more than {0} collections are open inside each other")]
    Nesting(usize),
    /// Beyond [`super::Limits::stack`].
    #[error("more than {0} values are on the stack")]
    Stack(usize),
    /// Beyond [`super::Limits::memo`].
    #[error("more than {0} memo entries")]
    Memo(usize),
    /// Beyond [`super::Limits::objects`].
    #[error("more than {0} values")]
    Objects(usize),
}

/// What is wrong with the object tree.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutProblem {
    /// The file holds some other value.
    #[error("it holds a {0}, not a module or a state dict")]
    Root(&'static str),
    /// A module without its attributes.
    #[error("module `{0}` has no attributes")]
    NoState(String),
    /// One of a module's tables is missing or no table.
    #[error("module `{module}` has no valid `{field}`")]
    Field {
        /// Its name, empty for the root.
        module: String,
        /// `_parameters`, `_buffers`, `_modules`, ...
        field: &'static str,
    },
    /// A table of names with something else as a key.
    #[error("a key under `{0}` is not text")]
    Key(String),
    /// A state dict or a module's table with something that does not belong there.
    #[error("`{name}` is a {found}, not a {expected}")]
    Unexpected {
        /// Where.
        name: String,
        /// What is there.
        found: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// A name longer than any real model has.
    #[error("a name is longer than {0} bytes")]
    Name(usize),
    /// Beyond [`super::Limits::depth`]; also what a module that contains itself leads to.
    #[error("more than {0} modules are inside each other")]
    Depth(usize),
    /// Beyond [`super::Limits::tensors`].
    #[error("more than {0} tensors")]
    Tensors(usize),
    /// Beyond [`super::Limits::objects`].
    #[error("more than {0} entries")]
    Entries(usize),
}

/// What is wrong with a tensor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorProblem {
    /// Sizes and strides differ in number, or are too many, negative or too large.
    #[error("has an impossible shape")]
    Shape,
    /// Elements outside the storage.
    #[error("reaches element {last} of a storage of {length}")]
    Bounds {
        /// The last element it covers.
        last: u64,
        /// How many the storage has.
        length: u64,
    },
    /// The storage's entry is longer or shorter than its element count says.
    #[error("lies in storage `{key}` of {expected} bytes, but that has {found}")]
    StorageBytes {
        /// The storage's name under `data/`.
        key: String,
        /// Elements times their size.
        expected: u64,
        /// The length of the entry.
        found: u64,
    },
    /// Candle refused it.
    #[error("cannot be built: {0}")]
    Candle(String),
}

impl TorchError {
    pub(super) fn entry(path: &Path, entry: &str, problem: EntryProblem) -> Self {
        Self::Entry {
            path: path.to_path_buf(),
            entry: entry.to_owned(),
            problem,
        }
    }

    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(super) fn pickle(path: &Path, part: &'static str, offset: u64, problem: PickleProblem) -> Self {
        Self::Pickle {
            path: path.to_path_buf(),
            part,
            offset,
            problem,
        }
    }

    pub(super) fn layout(path: &Path, problem: LayoutProblem) -> Self {
        Self::Layout {
            path: path.to_path_buf(),
            problem,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        const AGAIN: &str =
            "the file is damaged or incomplete: copy it again from where it comes from, or save it again";
        const STATE_DICT: &str = "in Python, save `model.state_dict()` alone";
        match self {
            Self::Unknown { .. } | Self::NotTorch { .. } => Some("give a file written by `torch.save`"),
            Self::Zip { .. } | Self::Tensor { .. } => Some(AGAIN),
            Self::Entry { problem, .. } => match problem {
                EntryProblem::Compressed => {
                    Some("use the file as `torch.save` wrote it: it is not to be repacked")
                }
                EntryProblem::Magic | EntryProblem::Version => Some("give a file written by `torch.save`"),
                EntryProblem::BigEndian => Some("save it again on a little-endian machine"),
                EntryProblem::PickleBytes { .. } | EntryProblem::TooLong(_) => Some(STATE_DICT),
                EntryProblem::Read(_) | EntryProblem::ByteOrder => None,
                _ => Some(AGAIN),
            },
            Self::Pickle { problem, .. } => match problem {
                PickleProblem::Forbidden(_)
                | PickleProblem::Opcode(_)
                | PickleProblem::Protocol(_)
                | PickleProblem::Nesting(_)
                | PickleProblem::Stack(_)
                | PickleProblem::Memo(_)
                | PickleProblem::Objects(_) => Some(STATE_DICT),
                PickleProblem::Length { .. } => Some(AGAIN),
                _ => None,
            },
            Self::Layout { problem, .. } => match problem {
                LayoutProblem::Root(_) | LayoutProblem::Unexpected { .. } => Some(STATE_DICT),
                _ => None,
            },
            Self::Io { .. } | Self::TensorBytes { .. } => None,
        }
    }
}
