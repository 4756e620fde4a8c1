//! Networks: architectures as data, their layers and levels, and forward passes.
//!
//! An [`Architecture`] is written down as a [`Plan`]: parameters in PyTorch's state-dict order, *levels* (consecutive
//! steps with one output, each a list of [`Module`]s) and *layers* (linear maps, wherever they stand). A [`Network`] is
//! a plan with tensors. Activations are what passes return; whoever wants to see or change them on the way brings a
//! [`Visitor`].
//!
//! | file | what |
//! | --- | --- |
//! | `mlp`, `vgg`, `resnet`, `vit` | the architectures, with the reference's names and order of tensors |
//! | `sequential` | users' own networks, from a list of layers |
//! | `names` | names of tensors without what wrappers and enclosing modules put before them |
//! | `by_order` | tensors of other programs under the names of a user's own network |
//! | `builder` | collects their parameters, follows shapes and the order of neurons (which layer writes what a layer reads) |
//! | `module` | the steps and how they are applied |
//! | `fold` | `BatchNorm` folded into the layer before it |
//! | `import` | networks from the tensors of any program |
//! | `infer` | from the names and shapes of a file's tensors back to the architecture |

mod builder;
mod by_order;
mod fold;
mod import;
mod infer;
mod mlp;
mod module;
mod names;
mod network;
mod plan;
mod resnet;
mod sequential;
mod vgg;
mod vit;

pub use builder::PlanError;
pub use import::Foreign;
pub use infer::{Hints, InferError, Inferred, infer, verify};
pub use mlp::Mlp;
pub use module::{Module, NORM_EPS, Plain, Training, Visitor};
pub use network::{ArchError, Network, State};
pub use plan::{Init, Layer, LayerKind, Level, Parameter, Plan};
pub use resnet::{ResNet, ResNetKind};
pub use sequential::{LayerSettings, Operation, Sequential};
pub use vgg::{Vgg, VggKind};
pub use vit::{SmallVit, Vit};

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// One known architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchitectureInfo {
    /// As in `model.architecture`.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Whose settings it takes.
    pub family: Family,
}

/// Architectures of one kind of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// [`Mlp`].
    Mlp,
    /// [`Vgg`].
    Vgg(VggKind),
    /// [`ResNet`].
    ResNet(ResNetKind),
    /// [`Vit`].
    Vit,
    /// [`SmallVit`].
    SmallVit,
    /// [`Sequential`].
    Sequential,
}

const fn info(name: &'static str, family: Family, summary: &'static str) -> ArchitectureInfo {
    ArchitectureInfo {
        name,
        summary,
        family,
    }
}

/// All architectures.
pub const ARCHITECTURES: &[ArchitectureInfo] = &[
    info(
        "mlp",
        Family::Mlp,
        "fully connected network with ReLU, any number and width of hidden layers",
    ),
    info("vgg11", Family::Vgg(VggKind::Vgg11), "VGG with 8 convolutions"),
    info(
        "vgg11-half",
        Family::Vgg(VggKind::Vgg11Half),
        "VGG11, half as wide but for its ends",
    ),
    info(
        "vgg11-three-halves",
        Family::Vgg(VggKind::Vgg11ThreeHalves),
        "VGG11, one and a half times as wide",
    ),
    info(
        "vgg11-double",
        Family::Vgg(VggKind::Vgg11Double),
        "VGG11, twice as wide",
    ),
    info(
        "vgg11-quad",
        Family::Vgg(VggKind::Vgg11Quad),
        "VGG11, four times as wide",
    ),
    info("vgg13", Family::Vgg(VggKind::Vgg13), "VGG with 10 convolutions"),
    info("vgg16", Family::Vgg(VggKind::Vgg16), "VGG with 13 convolutions"),
    info("vgg19", Family::Vgg(VggKind::Vgg19), "VGG with 16 convolutions"),
    info(
        "resnet18",
        Family::ResNet(ResNetKind::ResNet18),
        "ResNet with 8 basic blocks",
    ),
    info(
        "resnet34",
        Family::ResNet(ResNetKind::ResNet34),
        "ResNet with 16 basic blocks",
    ),
    info(
        "resnet50",
        Family::ResNet(ResNetKind::ResNet50),
        "ResNet with 16 bottlenecks",
    ),
    info(
        "resnet101",
        Family::ResNet(ResNetKind::ResNet101),
        "ResNet with 33 bottlenecks",
    ),
    info(
        "resnet152",
        Family::ResNet(ResNetKind::ResNet152),
        "ResNet with 50 bottlenecks",
    ),
    info("vit", Family::Vit, "vision transformer, pre-norm blocks"),
    info(
        "small-vit",
        Family::SmallVit,
        "vision transformer of PyTorch's encoder layers, post-norm",
    ),
    info(
        "sequential",
        Family::Sequential,
        "a network of your own: a list of layers",
    ),
];

/// Architecture and its settings. As JSON: the settings' keys and `architecture`, the name.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// Fully connected.
    Mlp(Mlp),
    /// VGG.
    Vgg(VggKind, Vgg),
    /// `ResNet`.
    ResNet(ResNetKind, ResNet),
    /// The reference's vision transformer.
    Vit(Vit),
    /// Its other one.
    SmallVit(SmallVit),
    /// A list of layers.
    Sequential(Sequential),
}

impl Architecture {
    fn family(&self) -> Family {
        match self {
            Self::Mlp(_) => Family::Mlp,
            Self::Vgg(kind, _) => Family::Vgg(*kind),
            Self::ResNet(kind, _) => Family::ResNet(*kind),
            Self::Vit(_) => Family::Vit,
            Self::SmallVit(_) => Family::SmallVit,
            Self::Sequential(_) => Family::Sequential,
        }
    }

    /// Name, as in the manifest.
    pub fn name(&self) -> &'static str {
        let family = self.family();
        ARCHITECTURES
            .iter()
            .find(|info| info.family == family)
            .map_or("", |info| info.name)
    }

    /// The network's skeleton for images of shape `[C, H, W]`.
    pub fn plan(&self, image: &[usize], classes: usize) -> Result<Plan, ArchError> {
        let plan = match self {
            Self::Mlp(settings) => settings.plan(image, classes),
            Self::Vgg(kind, settings) => settings.plan(*kind, image, classes),
            Self::ResNet(kind, settings) => settings.plan(*kind, image, classes),
            Self::Vit(settings) => settings.plan(image, classes),
            Self::SmallVit(settings) => settings.plan(image, classes),
            Self::Sequential(settings) => settings.plan(image, classes),
        };
        plan.map_err(|source| ArchError::Plan {
            architecture: self.name().to_string(),
            image: image.to_vec(),
            source,
        })
    }

    /// Settings of an architecture, from `decode`, which reads any of the settings' types.
    pub fn decode<D: DecodeSettings>(info: &ArchitectureInfo, decode: D) -> Option<Self> {
        match info.family {
            Family::Mlp => decode.settings().map(Self::Mlp),
            Family::Vgg(kind) => decode.settings().map(|settings| Self::Vgg(kind, settings)),
            Family::ResNet(kind) => decode.settings().map(|settings| Self::ResNet(kind, settings)),
            Family::Vit => decode.settings().map(Self::Vit),
            Family::SmallVit => decode.settings().map(Self::SmallVit),
            Family::Sequential => decode.settings().map(Self::Sequential),
        }
    }
}

/// Reads settings of whatever type is asked for.
pub trait DecodeSettings {
    /// The settings; `None` where they cannot be read.
    fn settings<T: DeserializeOwned + Serialize + schemars::JsonSchema>(self) -> Option<T>;
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings = match self {
            Self::Mlp(settings) => serde_json::to_value(settings),
            Self::Vgg(_, settings) => serde_json::to_value(settings),
            Self::ResNet(_, settings) => serde_json::to_value(settings),
            Self::Vit(settings) => serde_json::to_value(settings),
            Self::SmallVit(settings) => serde_json::to_value(settings),
            Self::Sequential(settings) => serde_json::to_value(settings),
        };
        let mut settings = settings.map_err(serde::ser::Error::custom)?;
        settings["architecture"] = Value::from(self.name());
        settings.serialize(serializer)
    }
}

/// Decodes from JSON and keeps what went wrong.
struct FromJson<'a> {
    value: Value,
    error: &'a mut Option<serde_json::Error>,
}

impl DecodeSettings for FromJson<'_> {
    fn settings<T: DeserializeOwned + Serialize + schemars::JsonSchema>(self) -> Option<T> {
        match serde_json::from_value(self.value) {
            Ok(settings) => Some(settings),
            Err(error) => {
                *self.error = Some(error);
                None
            }
        }
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        let name = value
            .as_object_mut()
            .and_then(|fields| fields.remove("architecture"));
        let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
        let info = ARCHITECTURES
            .iter()
            .find(|info| info.name == name)
            .ok_or_else(|| D::Error::custom(format!("unknown architecture `{name}`")))?;
        let mut error = None;
        let decode = FromJson {
            value,
            error: &mut error,
        };
        Self::decode(info, decode)
            .ok_or_else(|| D::Error::custom(error.map_or(String::new(), |e| e.to_string())))
    }
}
