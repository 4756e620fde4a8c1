//! Which architecture a file is of.

use super::origin::hash;
use super::torch::Attribute;
use super::{CheckpointError, File, Meta, Origin};
use crate::arch::{Hints, InferError, Inferred, NORM_EPS, infer, verify};

impl File {
    /// What the file says if its tensors agree, or what its tensors tell with the help of its attributes; these win over `hints`.
    ///
    /// Of the reference's modules the attributes `head` or `num_heads`, `dropout_p`, `input_shape`, and `img_size` with
    /// `in_c`, `in_channels` or `in_chans` are of use, each only where the shapes do not contradict it.
    pub fn model(&self, hints: &Hints) -> Result<Inferred, InferError> {
        let tensors: Vec<(String, Vec<usize>)> = self
            .tensors
            .iter()
            .map(|info| (info.name.clone(), info.shape.clone()))
            .collect();
        if let Some(meta) = &self.meta {
            let model = Inferred {
                architecture: meta.architecture.clone(),
                image: meta.image.clone(),
                classes: meta.classes,
                sure: true,
            };
            return verify(model, &tensors);
        }
        let own = self.hints();
        let hints = Hints {
            // The image of the data set at hand is as good where it fits, and it is what will be asked for.
            image: own.image.or_else(|| hints.image.clone()),
            heads: own.heads.or(hints.heads),
            dropout: own.dropout.or(hints.dropout),
        };
        let found = infer(&tensors, &hints)?;
        match self.norms.iter().find(|(_, eps)| **eps != NORM_EPS) {
            None => Ok(found),
            Some((norm, eps)) => Err(InferError::Eps {
                norm: norm.clone(),
                eps: *eps,
            }),
        }
    }

    /// The names of the tensors as the architecture has them, where that can be told.
    pub(super) fn own_names(&self, hints: &Hints) -> Option<Vec<String>> {
        let model = self.model(hints).ok()?;
        let plan = model.architecture.plan(&model.image, model.classes).ok()?;
        let names: Vec<&str> = self.tensors.iter().map(|info| info.name.as_str()).collect();
        Some(plan.closest_names(&names))
    }

    fn hints(&self) -> Hints {
        let size = |names: &[&str]| {
            names.iter().find_map(|name| match self.attributes.get(*name) {
                Some(Attribute::Int(value)) => usize::try_from(*value).ok(),
                _ => None,
            })
        };
        let image = match self.attributes.get("input_shape") {
            Some(Attribute::Indices(shape)) => shape.iter().map(|&n| usize::try_from(n).ok()).collect(),
            _ => size(&["in_c", "in_channels", "in_chans"])
                .zip(size(&["img_size"]))
                .map(|(c, side)| vec![c, side, side]),
        };
        let dropout = match self.attributes.get("dropout_p") {
            Some(Attribute::Float(p)) => Some(*p),
            Some(Attribute::Int(0)) => Some(0.0),
            _ => None,
        };
        Hints {
            image,
            heads: size(&["head", "num_heads"]),
            dropout,
        }
    }

    /// The key of the job that made the model, or the hash of the file that it was imported from.
    pub fn key(&self) -> Option<&str> {
        let origin = || self.origin.as_ref().map(|origin| origin.blake3.as_str());
        self.meta.as_ref().map(|meta| meta.key.as_str()).or_else(origin)
    }

    /// The same; of a file that says neither, the hash of its own.
    pub fn key_or_hash(&self) -> Result<String, CheckpointError> {
        match self.key() {
            Some(key) => Ok(key.to_owned()),
            None => hash(&self.path),
        }
    }

    /// What an import of this file says of itself; nothing where its architecture cannot be told.
    pub(super) fn imported(&self, origin: &Origin, hints: &Hints) -> Option<Meta> {
        let model = self.model(hints).ok().filter(|model| model.sure)?;
        let indices = |train| self.indices(train).unwrap_or_default().to_vec();
        Some(Meta {
            schema: Meta::SCHEMA,
            architecture: model.architecture,
            image: model.image,
            classes: model.classes,
            train_indices: indices(true),
            val_indices: indices(false),
            job: "import".to_owned(),
            key: origin.blake3.clone(),
        })
    }
}
