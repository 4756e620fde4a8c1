//! The reference's two vision transformers.
//!
//! [`Vit`] (state-dict names of the reference's `ViT`): pre-norm blocks, a GELU after both maps of the MLP, attention
//! scaled by `1 / sqrt(hidden)` (not by the head's size), `LayerNorm` and linear map on the class token.
//! [`SmallVit`] (its `SmallViT`): PyTorch's `TransformerEncoderLayer`, post-norm, attention scaled by the head's size,
//! a `LayerNorm` at the end of the last block, a linear head.
//!
//! A block is a level; its output has neurons first, `[N, hidden, T]`, and the last one's is the class token,
//! `[N, hidden]`. The embedding belongs to the first block's level unless `separate-embedder` is set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::builder::{Builder, PlanError};
use super::module::{Attention, Embedding, Module, NORM_EPS, Projections};
use super::plan::{Init, Plan};

/// Settings of `architecture = "vit"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Vit {
    /// Patches along a side of the image (the reference's `patch`).
    #[schemars(range(min = 1))]
    pub patches: usize,
    /// Blocks.
    #[schemars(range(min = 1))]
    pub depth: usize,
    /// Width of tokens.
    #[schemars(range(min = 1))]
    pub hidden: usize,
    /// Width of the MLP.
    #[schemars(range(min = 1))]
    pub mlp_hidden: usize,
    /// Attention heads; they divide `hidden`.
    #[schemars(range(min = 1))]
    pub heads: usize,
    /// Share of elements dropped in training.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub dropout: f64,
    /// Whether the embedding is a level of its own.
    pub separate_embedder: bool,
}

impl Default for Vit {
    fn default() -> Self {
        Self {
            patches: 8,
            depth: 7,
            hidden: 384,
            mlp_hidden: 384,
            heads: 12,
            dropout: 0.0,
            separate_embedder: false,
        }
    }
}

/// Settings of `architecture = "small-vit"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SmallVit {
    /// Side of a patch, in pixels.
    #[schemars(range(min = 1))]
    pub patch_size: usize,
    /// Blocks.
    #[schemars(range(min = 1))]
    pub depth: usize,
    /// Width of tokens.
    #[schemars(range(min = 1))]
    pub hidden: usize,
    /// Width of the MLP over that of tokens.
    #[schemars(range(min = 0.01))]
    pub mlp_ratio: f64,
    /// Attention heads; they divide `hidden`.
    #[schemars(range(min = 1))]
    pub heads: usize,
    /// Share of elements dropped in training.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub dropout: f64,
    /// Whether the embedding is a level of its own.
    pub separate_embedder: bool,
}

impl Default for SmallVit {
    fn default() -> Self {
        Self {
            patch_size: 4,
            depth: 4,
            hidden: 128,
            mlp_ratio: 2.0,
            heads: 4,
            dropout: 0.1,
            separate_embedder: false,
        }
    }
}

/// `[C, H, W]` cut into square patches of side `patch`: the number of tokens without the class token.
fn tokens(image: &[usize], patch: usize) -> Result<usize, PlanError> {
    match *image {
        [_, h, w] if patch > 0 && h >= patch && h % patch == 0 && w % patch == 0 => {
            Ok((h / patch) * (w / patch))
        }
        _ => Err(PlanError::new(format!(
            "images of shape {image:?} cannot be cut into patches of side {patch}"
        ))),
    }
}

/// Refuses a number of heads that does not divide the width of tokens.
pub(super) fn check_heads(hidden: usize, heads: usize) -> Result<(), PlanError> {
    if heads > 0 && hidden.is_multiple_of(heads) {
        return Ok(());
    }
    Err(PlanError::new(format!(
        "{heads} heads do not divide the hidden width {hidden}"
    )))
}

/// The prefixes of the levels' tensors: blocks in one list, the first of which may hold the embedding too.
struct Prefixes {
    embedder: String,
    separate: bool,
}

impl Prefixes {
    fn new(separate: bool) -> Self {
        let embedder = if separate { "blocks.0" } else { "blocks.0.0" };
        Self {
            embedder: embedder.to_string(),
            separate,
        }
    }

    fn block(&self, i: usize) -> String {
        match (i, self.separate) {
            (0, false) => "blocks.0.1".to_string(),
            (_, separate) => format!("blocks.{}", i + usize::from(separate)),
        }
    }

    /// Ends the levels of the embedding and of the first block, or one level of both.
    fn start(&self, builder: &mut Builder, mut embedding: Vec<Module>) -> Vec<Module> {
        if !self.separate {
            return embedding;
        }
        embedding.push(Module::Transpose);
        builder.level("embedder".to_string(), "blocks.0.", embedding);
        vec![Module::Transpose]
    }

    fn level_prefix(&self, i: usize) -> String {
        match (i, self.separate) {
            (0, false) => "blocks.0.".to_string(),
            _ => format!("{}.", self.block(i)),
        }
    }
}

impl Vit {
    pub(super) fn plan(&self, image: &[usize], classes: usize) -> Result<Plan, PlanError> {
        let d = self.hidden;
        check_heads(d, self.heads)?;
        let side = image.get(1).copied().unwrap_or_default();
        let patch = side / self.patches.max(1);
        let words = tokens(image, patch)?;
        if words != self.patches * self.patches {
            return Err(PlanError::new(format!(
                "images of shape {image:?} cannot be cut into {0} x {0} square patches",
                self.patches
            )));
        }
        let mut builder = Builder::new(image);
        let prefixes = Prefixes::new(self.separate_embedder);
        let embedder = &prefixes.embedder;
        let embedding = embedding(&mut builder, embedder, patch, d)?;
        let mut modules = prefixes.start(&mut builder, vec![embedding]);
        for i in 0..self.depth {
            modules.extend(self.block(&mut builder, &prefixes.block(i)));
            if i + 1 == self.depth {
                modules.push(Module::FirstToken);
                builder.mixed(vec![d]);
            } else {
                modules.push(Module::Transpose);
            }
            builder.level(
                format!("block_{i}"),
                &prefixes.level_prefix(i),
                std::mem::take(&mut modules),
            );
            modules = vec![Module::Transpose];
        }
        let scale = norm(&mut builder, "fc.0", d);
        let (weight, _) = builder.weight("fc.1", vec![classes, d], true);
        builder.mixed(vec![classes]);
        let head = vec![
            Module::LayerNorm { scale },
            Module::Linear {
                weight,
                bias: weight + 1,
            },
        ];
        builder.level("classifier".to_string(), "fc.", head);
        Ok(builder.finish())
    }

    /// One block on tokens `[N, T, hidden]`.
    pub(super) fn block(&self, builder: &mut Builder, prefix: &str) -> [Module; 2] {
        let d = self.hidden;
        let linear = |builder: &mut Builder, name: &str, out, width| {
            builder
                .weight(&format!("{prefix}.{name}"), vec![out, width], true)
                .0
        };
        let first = norm(builder, &format!("{prefix}.la1"), d);
        let q = linear(builder, "msa.q", d, d);
        linear(builder, "msa.k", d, d);
        linear(builder, "msa.v", d, d);
        let out = linear(builder, "msa.o", d, d);
        let second = norm(builder, &format!("{prefix}.la2"), d);
        let up = linear(builder, "mlp.0", self.mlp_hidden, d);
        let down = linear(builder, "mlp.3", d, self.mlp_hidden);
        let map = |weight| Module::Linear {
            weight,
            bias: weight + 1,
        };
        let attention = Attention {
            heads: self.heads,
            scale: 1.0 / (d as f64).sqrt(),
            qkv: Projections::Separate(q),
            out,
        };
        let drop = || Module::Dropout(self.dropout);
        [
            Module::Residual {
                body: vec![
                    Module::LayerNorm { scale: first },
                    Module::Attention(attention),
                    drop(),
                ],
                shortcut: Vec::new(),
            },
            Module::Residual {
                body: vec![
                    Module::LayerNorm { scale: second },
                    map(up),
                    Module::Gelu,
                    drop(),
                    map(down),
                    Module::Gelu,
                    drop(),
                ],
                shortcut: Vec::new(),
            },
        ]
    }
}

impl SmallVit {
    pub(super) fn plan(&self, image: &[usize], classes: usize) -> Result<Plan, PlanError> {
        let (d, patch) = (self.hidden, self.patch_size);
        check_heads(d, self.heads)?;
        let words = tokens(image, patch)?;
        let mut builder = Builder::new(image);
        let prefixes = Prefixes::new(self.separate_embedder);
        let embedder = &prefixes.embedder;
        let small = Init::Truncated(0.02);
        let class_token = builder.parameter(format!("{embedder}.cls_token"), vec![1, 1, d], small);
        let positions = builder.parameter(format!("{embedder}.pos_embed"), vec![1, words + 1, d], small);
        let (weight, _) = builder.weight(
            &format!("{embedder}.patch_embed.proj"),
            vec![d, image[0], patch, patch],
            true,
        );
        builder.mixed(vec![d, words + 1]);
        let mut modules = prefixes.start(
            &mut builder,
            vec![
                Module::Embedding(Embedding {
                    class_token,
                    positions,
                    weight,
                    patch,
                    channels_last: false,
                }),
                Module::Dropout(self.dropout),
            ],
        );
        for i in 0..self.depth {
            let last = i + 1 == self.depth;
            modules.extend(self.block(&mut builder, &prefixes.block(i), last));
            if last {
                modules.push(Module::FirstToken);
                builder.mixed(vec![d]);
            } else {
                modules.push(Module::Transpose);
            }
            builder.level(
                format!("block_{i}"),
                &prefixes.level_prefix(i),
                std::mem::take(&mut modules),
            );
            modules = vec![Module::Transpose];
        }
        let bound = Init::Uniform((6.0 / (d + classes) as f32).sqrt());
        let weight = builder.parameter("head.weight".to_string(), vec![classes, d], bound);
        let bias = builder.parameter("head.bias".to_string(), vec![classes], Init::Constant(0.0));
        builder.mixed(vec![classes]);
        builder.level(
            "classifier".to_string(),
            "head.",
            vec![Module::Linear { weight, bias }],
        );
        Ok(builder.finish())
    }

    /// One `nn.TransformerEncoderLayer`; its parameters are not in the order of application.
    fn block(&self, builder: &mut Builder, prefix: &str, last: bool) -> Vec<Module> {
        let d = self.hidden;
        let inner = (d as f64 * self.mlp_ratio) as usize;
        let xavier = Init::Uniform((6.0 / (4 * d) as f32).sqrt());
        let qkv = builder.parameter(
            format!("{prefix}.self_attn.in_proj_weight"),
            vec![3 * d, d],
            xavier,
        );
        let zero = Init::Constant(0.0);
        builder.parameter(format!("{prefix}.self_attn.in_proj_bias"), vec![3 * d], zero);
        let (out, _) = builder.weight(&format!("{prefix}.self_attn.out_proj"), vec![d, d], false);
        builder.parameter(format!("{prefix}.self_attn.out_proj.bias"), vec![d], zero);
        let (up, _) = builder.weight(&format!("{prefix}.linear1"), vec![inner, d], true);
        let (down, _) = builder.weight(&format!("{prefix}.linear2"), vec![d, inner], true);
        let norms = ["norm1", "norm2"].map(|name| norm(builder, &format!("{prefix}.{name}"), d));
        let map = |weight| Module::Linear {
            weight,
            bias: weight + 1,
        };
        let attention = Attention {
            heads: self.heads,
            scale: 1.0 / ((d / self.heads) as f64).sqrt(),
            qkv: Projections::Joint(qkv),
            out,
        };
        let drop = || Module::Dropout(self.dropout);
        let mut modules = vec![
            Module::Residual {
                body: vec![Module::Attention(attention), drop()],
                shortcut: Vec::new(),
            },
            Module::LayerNorm { scale: norms[0] },
            Module::Residual {
                body: vec![map(up), Module::Gelu, drop(), map(down), drop()],
                shortcut: Vec::new(),
            },
            Module::LayerNorm { scale: norms[1] },
        ];
        if last {
            let scale = norm(builder, &format!("{prefix}.norm"), d);
            modules.push(Module::LayerNorm { scale });
        }
        modules
    }
}

/// Images `[C, H, W]`, cut into patches of this side, to tokens `[hidden, T + 1]` behind a class token: [`Vit`]'s.
pub(super) fn embedding(
    builder: &mut Builder,
    prefix: &str,
    patch: usize,
    hidden: usize,
) -> Result<Module, PlanError> {
    let tokens = tokens(builder.shape(), patch)? + 1;
    let channels = builder.shape()[0];
    let normal = Init::Normal(1.0);
    let class_token = builder.parameter(format!("{prefix}.cls_token"), vec![1, 1, hidden], normal);
    let positions = builder.parameter(format!("{prefix}.pos_emb"), vec![1, tokens, hidden], normal);
    let shape = vec![hidden, patch * patch * channels];
    let (weight, _) = builder.weight(&format!("{prefix}.emb"), shape, true);
    builder.mixed(vec![hidden, tokens]);
    Ok(Module::Embedding(Embedding {
        class_token,
        positions,
        weight,
        patch,
        channels_last: true,
    }))
}

/// Scale and shift of a `LayerNorm`; the scale's index.
fn norm(builder: &mut Builder, prefix: &str, width: usize) -> usize {
    builder.norm(prefix, width, NORM_EPS)
}
