//! The one list of importance scores, in the order of tables and help.

use std::borrow::Cow;

use candle_core::Tensor;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::score::{Score, ScoreInfo};
use super::{Conductance, Deeplift, FeatureAblation, Place, Uniform};
use crate::arch::Network;
use crate::tick::Tick;

macro_rules! scores {
    ($first:ident, $($score:ident),+ $(,)?) => {
        /// Which score.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[expect(missing_docs, reason = "each variant is the score of its name")]
        pub enum Importance {
            #[default]
            $first,
            $($score),+
        }

        impl Importance {
            /// All of them.
            pub const ALL: &[Self] = &[Self::$first, $(Self::$score),+];

            /// What the program says about it.
            pub const fn info(self) -> ScoreInfo {
                match self {
                    Self::$first => $first::INFO,
                    $(Self::$score => $score::INFO),+
                }
            }

            /// Scores of every layer's or level's neurons on `images [N, C, H, W]` with `labels [N]` (u32), one list per
            /// layer. Asks at every layer of a pass whether to go on.
            ///
            /// # Errors
            /// What candle says, for instance when a label is not below the number of classes; and one where it is told
            /// to stop.
            pub fn scores(
                self,
                network: &Network,
                images: &Tensor,
                labels: &Tensor,
                place: Place,
                on_tick: &mut Tick,
            ) -> candle_core::Result<Vec<Vec<f64>>> {
                match self {
                    Self::$first => $first::scores(network, images, labels, place, on_tick),
                    $(Self::$score => $score::scores(network, images, labels, place, on_tick)),+
                }
            }
        }
    };
}

scores! {
    Uniform,
    Conductance,
    Deeplift,
    FeatureAblation,
}

impl Importance {
    /// As in the manifest.
    pub const fn as_str(self) -> &'static str {
        self.info().name
    }

    /// Raised when the score's arithmetic changes, so that what it was used for is computed anew.
    pub const fn version(self) -> u32 {
        self.info().version
    }

    /// The score of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|score| score.as_str() == name)
    }
}

impl JsonSchema for Importance {
    fn schema_name() -> Cow<'static, str> {
        "Importance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let values = Self::ALL.iter().map(|score| {
            let ScoreInfo { name, summary, .. } = score.info();
            json_schema!({ "description": summary, "type": "string", "const": name })
        });
        json_schema!({ "description": "Which score.", "oneOf": values.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_manifests_and_no_two_are_equal() {
        for (at, score) in Importance::ALL.iter().enumerate() {
            let name = serde_json::to_value(score).expect("JSON");
            assert_eq!(name, score.as_str());
            assert_eq!(Importance::named(score.as_str()), Some(Importance::ALL[at]));
        }
    }
}
