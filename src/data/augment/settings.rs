//! Augmentations as a manifest has them: a name, or a table with a name and keys.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// One way to vary training images. Defaults are filled in, so that each has one written form.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Augmentation {
    /// A window at a random place of the image with a border of zeros.
    RandomCrop {
        /// Width of the border.
        padding: usize,
    },
    /// Left becomes right.
    Flip {
        /// For how many images.
        probability: f64,
    },
    /// The policy for CIFAR-10.
    AutoAugment,
    /// A part of the image blended into another place.
    RandomCropPaste {
        /// Of the Beta distribution of the part's size.
        alpha: f64,
        /// How often image and part are flipped, each for itself.
        probability: f64,
    },
    /// A rectangle from another image of the batch.
    Cutmix {
        /// Of the Beta distribution of the rectangle's area.
        alpha: f64,
        /// For how many batches.
        probability: f64,
    },
    /// The weighted mean with another image of the batch.
    Mixup {
        /// Of the Beta distribution of the weight.
        alpha: f64,
        /// For how many batches.
        probability: f64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Name {
    /// a window at a random place of the image with a border of zeros; key `padding`
    RandomCrop,
    /// left becomes right; key `probability`
    Flip,
    /// one of the 25 pairs of operations of `AutoAugment`'s policy for CIFAR-10
    AutoAugment,
    /// a part of the image blended into another place of it; keys `alpha`, `probability` (of flips)
    RandomCropPaste,
    /// a rectangle from another image of the batch, labels by area; keys `alpha`, `probability` (of a batch)
    Cutmix,
    /// the weighted mean with another image of the batch, labels likewise; keys `alpha`, `probability` (of a batch)
    Mixup,
}

/// One augmentation: its name, and its keys. A name alone stands for the defaults.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Keys {
    /// What is done.
    name: Name,
    /// Width of the border. Default: 4.
    #[schemars(range(max = 1000))]
    padding: Option<usize>,
    /// How often. Default: 0.5; 1 for `cutmix`, 0.8 for `mixup`.
    #[schemars(range(min = 0.0, max = 1.0))]
    probability: Option<f64>,
    /// Both parameters of the Beta distribution of sizes and weights. Default: 1.
    #[schemars(range(min = 0.01, max = 100.0))]
    alpha: Option<f64>,
}

impl Keys {
    fn augmentation(&self) -> Result<Augmentation, String> {
        let probability = |default| match self.probability {
            Some(p) if !(0.0..=1.0).contains(&p) => {
                Err(format!("`probability` must be between 0 and 1, not {p}"))
            }
            given => Ok(given.unwrap_or(default)),
        };
        let alpha = match self.alpha {
            Some(a) if !(0.01..=100.0).contains(&a) => {
                return Err(format!("`alpha` must be between 0.01 and 100, not {a}"));
            }
            given => given.unwrap_or(1.0),
        };
        let padding = match self.padding {
            Some(padding @ 1001..) => return Err(format!("`padding` must be at most 1000, not {padding}")),
            given => given.unwrap_or(4),
        };
        Ok(match self.name {
            Name::RandomCrop => Augmentation::RandomCrop { padding },
            Name::Flip => Augmentation::Flip {
                probability: probability(0.5)?,
            },
            Name::AutoAugment => Augmentation::AutoAugment,
            Name::RandomCropPaste => Augmentation::RandomCropPaste {
                alpha,
                probability: probability(0.5)?,
            },
            Name::Cutmix => Augmentation::Cutmix {
                alpha,
                probability: probability(1.0)?,
            },
            Name::Mixup => Augmentation::Mixup {
                alpha,
                probability: probability(0.8)?,
            },
        })
    }

    /// The first key that is given although the augmentation does not take it, and those it takes.
    fn foreign(&self) -> Option<(&'static str, &'static [&'static str])> {
        let keys: &[&str] = match self.name {
            Name::RandomCrop => &["name", "padding"],
            Name::Flip => &["name", "probability"],
            Name::AutoAugment => &["name"],
            Name::RandomCropPaste | Name::Cutmix | Name::Mixup => &["name", "alpha", "probability"],
        };
        let given = [
            ("padding", self.padding.is_some()),
            ("probability", self.probability.is_some()),
            ("alpha", self.alpha.is_some()),
        ];
        let foreign = given
            .into_iter()
            .find(|(key, given)| *given && !keys.contains(key));
        foreign.map(|(key, _)| (key, keys))
    }
}

impl Augmentation {
    /// Its name in manifests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RandomCrop { .. } => "random-crop",
            Self::Flip { .. } => "flip",
            Self::AutoAugment => "auto-augment",
            Self::RandomCropPaste { .. } => "random-crop-paste",
            Self::Cutmix { .. } => "cutmix",
            Self::Mixup { .. } => "mixup",
        }
    }

    /// What is wrong with a list of them, in words.
    pub fn problem(all: &[Self]) -> Option<String> {
        for (i, one) in all.iter().enumerate() {
            if all[..i].iter().any(|other| other.name() == one.name()) {
                return Some(format!("`{}` stands twice", one.name()));
            }
        }
        let has = |name| all.iter().any(|one| one.name() == name);
        (has("cutmix") && has("mixup")).then(|| "`cutmix` and `mixup` exclude each other".to_string())
    }
}

impl<'de> Deserialize<'de> for Augmentation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrTable;

        impl<'de> Visitor<'de> for NameOrTable {
            type Value = Keys;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("the name of an augmentation, or a table with its `name`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Keys, E> {
                Ok(Keys {
                    name: Name::deserialize(serde::de::value::StrDeserializer::new(name))?,
                    padding: None,
                    probability: None,
                    alpha: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Keys, A::Error> {
                Keys::deserialize(MapAccessDeserializer::new(map))
            }
        }

        let keys = deserializer.deserialize_any(NameOrTable)?;
        if let Some((key, valid)) = keys.foreign() {
            return Err(D::Error::unknown_field(key, valid));
        }
        keys.augmentation().map_err(D::Error::custom)
    }
}

impl JsonSchema for Augmentation {
    fn schema_name() -> Cow<'static, str> {
        "Augmentation".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (name, table) = (Name::json_schema(generator), Keys::json_schema(generator));
        json_schema!({ "anyOf": [name, table] })
    }
}
