//! From TOML text to resolved settings: layers of configuration, axes, checks, and errors that name line and column.
//!
//! ```text
//! files (extends), environment, --set  ->  layers  ->  one dictionary  ->  axes  ->  points  ->  typed settings
//! ```
//! Typing happens after the expansion of the axes, one section at a time, so that every problem of a manifest is
//! reported in one go and each with its place in the text. Nothing here knows of jobs, devices or candle.

mod adjust;
mod axes;
mod choose;
mod combine;
mod complete;
mod decode;
mod diagnostic;
mod encoding;
mod finetune;
mod fitting;
mod groups;
mod layers;
mod limits;
mod locate;
mod matching;
mod overrides;
mod points;
mod recipe;
mod reference;
mod resolve;
mod resources;
mod schema;
mod select;
mod settings;
mod slurm;
mod top;
mod wanted;
mod warnings;

/// The section of models that differ from the first.
const OTHER_MODELS: &str = "other-models";

pub use decode::nearest;
pub use diagnostic::{Location, ManifestError, Problem, in_order};
pub use finetune::{FinetuneOptimizer, FinetuneSettings, Tuned};
pub use groups::{Groups, Selection, choose};
pub use layers::Layers;
pub use overrides::Override;
pub use reference::{markdown as reference_markdown, method_markdown};
pub use resolve::{FusionPoint, Point, Resolved, resolve, resolve_partly};
pub use resources::{NotifySettings, ResourceSettings};
pub use schema::json_schema;
pub use settings::{
    BaseSettings, DatasetSettings, FusionPool, FusionSetSettings, ModelOrder, ModelSetSettings,
    ReportSettings, Settings, SplitSettings,
};
pub use slurm::SlurmSettings;
