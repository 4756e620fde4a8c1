//! The one list of fusion methods, in the order of tables and help.

use std::sync::LazyLock;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    Ensemble, Fused, FusionError, FusionMethod, GitRebasin, HfLinear, Inputs, KfGradient, KfLinear, LogitKd,
    MethodInfo, OtFusion, VanillaAveraging,
};
use crate::arch::Plan;
use crate::importance::Importance;
use crate::tick::Tick;

macro_rules! methods {
    ($($method:ident),+ $(,)?) => {
        /// A method with its parameters.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "each variant is the method of its name")]
        pub enum Method {
            $($method(Box<$method>)),+
        }

        /// All methods.
        pub const METHODS: &[MethodInfo] = &[$($method::INFO),+];

        $(impl From<$method> for Method {
            fn from(parameters: $method) -> Self {
                Self::$method(Box::new(parameters))
            }
        })+

        impl Method {
            /// Reads the parameters of the method called `name`; nothing where there is none of that name.
            pub fn read(name: &str, reader: impl ParameterReader) -> Option<Self> {
                $(if name == $method::INFO.name {
                    return reader.read::<$method>().map(Self::from);
                })+
                None
            }

            /// The JSON Schema of the parameters of the method called `name`.
            pub fn schema(name: &str, settings: SchemaSettings) -> Option<Schema> {
                $(if name == $method::INFO.name {
                    return Some(settings.into_generator().into_root_schema_for::<$method>());
                })+
                None
            }

            /// What the program says about it.
            pub fn info(&self) -> MethodInfo {
                match self {
                    $(Self::$method(_) => $method::INFO),+
                }
            }
        }

        /// See [`FusionMethod`].
        #[expect(missing_docs, reason = "documented in the trait")]
        impl Method {
            pub fn importance(&self) -> Option<Importance> {
                match self {
                    $(Self::$method(method) => method.importance()),+
                }
            }
            pub fn uses_fusion_set(&self) -> bool {
                match self {
                    $(Self::$method(method) => method.uses_fusion_set()),+
                }
            }
            pub fn is_random(&self) -> bool {
                match self {
                    $(Self::$method(method) => method.is_random()),+
                }
            }
            pub fn needs_class_counts(&self) -> bool {
                match self {
                    $(Self::$method(method) => method.needs_class_counts()),+
                }
            }
            pub fn shared_versions(&self) -> Vec<(&'static str, u32)> {
                match self {
                    $(Self::$method(method) => method.shared_versions()),+
                }
            }
            pub fn steps_on_host(&self) -> &'static [&'static str] {
                match self {
                    $(Self::$method(method) => method.steps_on_host()),+
                }
            }
            pub fn mismatch(&self, first: &Plan, other: &Plan) -> Option<String> {
                match self {
                    $(Self::$method(method) => method.mismatch(first, other)),+
                }
            }
            pub fn contradictions(&self, models: usize) -> Vec<(&'static str, String)> {
                match self {
                    $(Self::$method(method) => method.contradictions(models)),+
                }
            }
            pub fn obstacles(&self, plan: &Plan) -> Vec<(Option<&'static str>, String)> {
                match self {
                    $(Self::$method(method) => method.obstacles(plan)),+
                }
            }
            pub(super) fn run(&self, inputs: &Inputs, on_tick: &mut Tick) -> Result<Fused, FusionError> {
                match self {
                    $(Self::$method(method) => FusionMethod::fuse(&**method, inputs, on_tick)),+
                }
            }
        }

        impl Serialize for Method {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let method = self.name();
                match self {
                    $(Self::$method(parameters) => {
                        let parameters = &**parameters;
                        Tagged { method, parameters }.serialize(serializer)
                    })+
                }
            }
        }

        impl<'de> Deserialize<'de> for Method {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut fields = Map::deserialize(deserializer)?;
                let name = fields.remove("method");
                let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
                $(if name == $method::INFO.name {
                    let parameters = $method::deserialize(Value::Object(fields));
                    return parameters.map(Self::from).map_err(D::Error::custom);
                })+
                Err(D::Error::custom(format!("unknown method `{name}`")))
            }
        }
    };
}

methods! {
    VanillaAveraging,
    Ensemble,
    LogitKd,
    HfLinear,
    KfLinear,
    KfGradient,
    OtFusion,
    GitRebasin,
}

/// Reads the parameters of one method, whichever it is.
pub trait ParameterReader {
    /// The parameters, unless they cannot be read.
    fn read<M: FusionMethod>(self) -> Option<M>;
}

/// A method's parameters with its name among them, as manifests and records have them.
#[derive(Serialize)]
struct Tagged<'a, M> {
    method: &'static str,
    #[serde(flatten)]
    parameters: &'a M,
}

impl Method {
    /// Name in manifests.
    pub fn name(&self) -> &'static str {
        self.info().name
    }
}

/// What the program says about the method called `name`.
pub fn info(name: &str) -> Option<&'static MethodInfo> {
    METHODS.iter().find(|info| info.name == name)
}

/// Names of the parameters of all methods.
pub fn parameters() -> &'static [String] {
    static ALL: LazyLock<Vec<String>> = LazyLock::new(|| {
        let schemas = METHODS
            .iter()
            .filter_map(|info| Method::schema(info.name, SchemaSettings::default()));
        let properties = schemas.filter_map(|schema| schema.get("properties")?.as_object().cloned());
        let names = properties.flat_map(|properties| properties.into_iter().map(|(name, _)| name));
        names.collect()
    });
    &ALL
}
