//! The allow-list: every class and function a pickle may name.

use crate::checkpoint::Dtype;

/// An allowed class or function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class<'a> {
    /// A module: one of PyTorch's layers or of the reference's models.
    Module(&'a str, &'a str),
    /// `torch.FloatStorage` and the like.
    Storage(Dtype),
    /// `torch._utils._rebuild_tensor_v2`, and `_rebuild_tensor` of torch before 0.4, which has the first four of its
    /// arguments.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`, also with state: its first argument is the tensor.
    RebuildParameter,
    /// `torch.Size`, a tuple.
    Size,
    /// `dict` and `collections.OrderedDict`.
    Dict,
    /// `set` and `frozenset`.
    Set,
    /// `list`.
    List,
    /// `tuple`.
    Tuple,
    /// May be called, but the result is of no use here.
    Opaque,
}

/// The reference's models (`models/*.py`) and the classes they are made of.
const MODELS: &[(&str, &[&str])] = &[
    ("models.mlp", &["MLPNet"]),
    ("models.vgg", &["VGG"]),
    ("models.resnet", &["ResNet", "BasicBlock", "Bottleneck"]),
    (
        "models.vit",
        &[
            "ViT",
            "InputEmbedder",
            "TransformerEncoder",
            "MultiHeadSelfAttention",
        ],
    ),
    (
        "models.vit_torch",
        &[
            "SmallViT",
            "PatchEmbedding",
            "InputEmbedding",
            "PermutedTransformerEncoder",
        ],
    ),
];

/// The meaning of `module.name`, if it is allowed.
pub(super) fn resolve<'a>(module: &'a str, name: &'a str) -> Option<Class<'a>> {
    let class = match (module, name) {
        ("collections", "OrderedDict") => Class::Dict,
        ("builtins" | "__builtin__", _) => match name {
            "dict" => Class::Dict,
            "set" | "frozenset" => Class::Set,
            "list" => Class::List,
            "tuple" => Class::Tuple,
            "int" | "float" | "bool" | "str" | "bytes" | "bytearray" | "complex" | "long" | "unicode" => {
                Class::Opaque
            }
            _ => return None,
        },
        // The first is how protocol 2 writes bytes.
        ("_codecs", "encode") | ("torch", "device") => Class::Opaque,
        _ if is_bystander(module, name) => Class::Opaque,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Class::RebuildTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Class::RebuildParameter,
        ("torch", "Size") => Class::Size,
        ("torch", _) => match name.strip_suffix("Storage").and_then(Dtype::from_torch) {
            Some(dtype) => Class::Storage(dtype),
            None if is_dtype(name) => Class::Opaque,
            None => return None,
        },
        _ if is_layer(module, name) || is_model(module, name) => Class::Module(module, name),
        _ => return None,
    };
    Some(class)
}

/// Values that training loops keep beside the weights. Nothing of them is read.
fn is_bystander(module: &str, name: &str) -> bool {
    match module {
        "argparse" => name == "Namespace",
        "collections" => matches!(name, "defaultdict" | "Counter" | "deque"),
        "datetime" => matches!(name, "datetime" | "date" | "time" | "timedelta" | "timezone"),
        "numpy" => matches!(name, "dtype" | "ndarray"),
        "numpy.core.multiarray" | "numpy._core.multiarray" => matches!(name, "scalar" | "_reconstruct"),
        "pathlib" | "pathlib._local" => name.ends_with("Path"),
        "torch.torch_version" => name == "TorchVersion",
        _ => module.contains("lightning") && name == "AttributeDict",
    }
}

/// `torch.float32`, as an attribute's value.
fn is_dtype(name: &str) -> bool {
    matches!(
        name,
        "float32"
            | "float64"
            | "float16"
            | "bfloat16"
            | "int64"
            | "int32"
            | "int16"
            | "int8"
            | "uint8"
            | "bool"
    )
}

/// Whether a class holds another module, which does the work, under the name `module`.
pub(super) fn is_wrapper(class: (&str, &str)) -> bool {
    matches!(
        class,
        ("torch.nn.parallel.data_parallel", "DataParallel")
            | ("torch.nn.parallel.distributed", "DistributedDataParallel")
    )
}

/// A class of `torch.nn.modules`, or a wrapper of one; its functions are in lower case.
fn is_layer(module: &str, name: &str) -> bool {
    let identifier = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_wrapper((module, name)) {
        return true;
    }
    module.strip_prefix("torch.nn.modules.").is_some_and(identifier)
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && identifier(name)
}

fn is_model(module: &str, name: &str) -> bool {
    MODELS
        .iter()
        .any(|(models, names)| *models == module && names.contains(&name))
}
