//! From a list of layers to a plan.

use std::collections::BTreeSet;

use super::super::Module;
use super::super::builder::{Builder, PlanError};
use super::super::plan::Plan;
use super::super::vit::{self, Vit};
use super::{LayerSettings, Operation, Sequential};

/// Most values of one sample's activations: beyond, it is a mistake that would only eat memory.
const MAX_VALUES: f64 = 1e8;

impl Operation {
    /// Whether it may be the last layer, whose outputs are the classes, and may have a `BatchNorm`.
    fn is_map(&self) -> bool {
        matches!(self, Self::Conv { .. } | Self::Linear { .. })
    }

    fn has_parameters(&self) -> bool {
        match self {
            Self::Residual { body, shortcut } => body
                .iter()
                .chain(shortcut)
                .any(|layer| layer.operation.has_parameters()),
            Self::BatchNorm { .. }
            | Self::LayerNorm { .. }
            | Self::PatchEmbedding { .. }
            | Self::Transformer { .. } => true,
            _ => self.is_map(),
        }
    }
}

/// A problem of layer `i` of a list.
fn at(i: usize, message: impl Into<String>) -> PlanError {
    within(&[&i.to_string()])(PlanError::new(message))
}

/// Puts keys before the path of a problem.
fn within(keys: &[&str]) -> impl Fn(PlanError) -> PlanError {
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    move |error| PlanError {
        at: [keys.as_slice(), &error.at].concat(),
        ..error
    }
}

/// Shapes of rank 2 are those of tokens, `[d, T]`: nothing else makes one.
fn are_tokens(builder: &Builder) -> bool {
    builder.shape().len() == 2
}

impl Sequential {
    pub(in super::super) fn plan(&self, image: &[usize], classes: usize) -> Result<Plan, PlanError> {
        self.write_down(image, classes).map_err(within(&["layers"]))
    }

    fn write_down(&self, image: &[usize], classes: usize) -> Result<Plan, PlanError> {
        let ends = self.level_ends()?;
        let last = self.layers.iter().rposition(|layer| layer.operation.is_map());
        let mut builder = Builder::new(image);
        let mut modules = Vec::new();
        let mut level = String::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let own = name(layer, "", i)?;
            let before = i.checked_sub(1).map(|before| &self.layers[before].operation);
            let classes = (Some(i) == last).then_some(classes);
            let written = write(&mut builder, layer, &own, before, classes);
            modules.extend(written.map_err(within(&[&i.to_string()]))?);
            if layer.operation.has_parameters() {
                level = own;
            }
            if ends[i] {
                let tokens = are_tokens(&builder);
                modules.extend(tokens.then_some(Module::Transpose));
                let prefix = common_parent(&builder.open_parameters()).to_string();
                builder.level(level.clone(), &prefix, std::mem::take(&mut modules));
                modules.extend(tokens.then_some(Module::Transpose));
            }
        }
        if builder.shape() != [classes] {
            return Err(PlanError::new(format!(
                "the network ends in activations of shape {:?} instead of [{classes}], one for each class; leave out \
                 `out` of the last layer, and flatten before it",
                builder.shape()
            )));
        }
        let plan = builder.finish();
        let mut seen = BTreeSet::new();
        match plan
            .parameters
            .iter()
            .find(|parameter| !seen.insert(&parameter.name))
        {
            None => Ok(plan),
            Some(parameter) => Err(PlanError::new(format!(
                "two tensors have the name `{}`",
                parameter.name
            ))),
        }
    }

    /// Whether a level ends after each layer.
    fn level_ends(&self) -> Result<Vec<bool>, PlanError> {
        let Some(end) = self.layers.len().checked_sub(1) else {
            return Err(PlanError::new("`layers` is empty"));
        };
        let is_norm = |i: usize| {
            self.layers
                .get(i)
                .is_some_and(|layer| matches!(layer.operation, Operation::BatchNorm { .. }))
        };
        let has_parameters = |i: &usize| self.layers[*i].operation.has_parameters();
        let mut ends: Vec<bool> = self.layers.iter().map(|layer| layer.level).collect();
        if !ends.contains(&true) {
            ends = (0..=end).map(|i| has_parameters(&i) && !is_norm(i + 1)).collect();
            // What follows the last layer with parameters is of its level.
            if let Some(last) = ends.iter().rposition(|&end| end) {
                ends[last] = false;
            }
        }
        ends[end] = true;
        let mut first = 0;
        for i in (0..=end).filter(|&i| ends[i]) {
            if is_norm(i + 1) {
                return Err(at(i, "a level cannot end between a layer and its `batch-norm`"));
            }
            if !(first..=i).any(|i| has_parameters(&i)) {
                return Err(at(i, "the level that ends here has no parameters"));
            }
            first = i + 1;
        }
        Ok(ends)
    }
}

/// The layer's name in the state dict; `prefix` is that of the list it stands in.
fn name(layer: &LayerSettings, prefix: &str, i: usize) -> Result<String, PlanError> {
    match &layer.name {
        Some(name) if name.is_empty() => Err(at(i, "`name` is empty")),
        Some(name) => Ok(name.clone()),
        None => Ok(format!("{prefix}{i}")),
    }
}

/// What the names of the modules of these parameters have in common, up to a dot: `a.b.` of `a.b.0.weight` and
/// `a.b.1.c.bias`.
fn common_parent<'a>(parameters: &[&'a str]) -> &'a str {
    let modules: Vec<&str> = parameters
        .iter()
        .map(|name| name.rsplit_once('.').map_or("", |(module, _)| module))
        .collect();
    let Some(&first) = modules.first() else { return "" };
    let parent = |length: usize| first[..length].rfind('.').map_or(0, |dot| dot + 1);
    let mut length = parent(first.len());
    while !modules.iter().all(|name| name.starts_with(&first[..length])) {
        length = parent(length - 1);
    }
    &first[..length]
}

/// The modules of a list within a residual block.
fn write_list(
    builder: &mut Builder,
    layers: &[LayerSettings],
    prefix: &str,
) -> Result<Vec<Module>, PlanError> {
    let mut modules = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        if layer.level {
            return Err(at(i, "a level cannot end within a residual block"));
        }
        let own = name(layer, prefix, i)?;
        let before = i.checked_sub(1).map(|before| &layers[before].operation);
        modules.extend(write(builder, layer, &own, before, None).map_err(within(&[&i.to_string()]))?);
    }
    Ok(modules)
}

/// The modules of one layer, given what stands before it, and the number of classes where it is the last.
fn write(
    builder: &mut Builder,
    layer: &LayerSettings,
    name: &str,
    before: Option<&Operation>,
    classes: Option<usize>,
) -> Result<Vec<Module>, PlanError> {
    let width = |out: Option<usize>| {
        out.or(classes).ok_or_else(|| {
            PlanError::new("`out` is missing: only the last layer is as wide as there are classes")
        })
    };
    let module = match &layer.operation {
        Operation::Conv {
            out,
            kernel,
            stride,
            padding,
            bias,
        } => builder.conv(name, name, (width(*out)?, *kernel, *stride, *padding), *bias)?,
        Operation::Linear { out, bias } => builder.linear(name, name, width(*out)?, *bias)?,
        Operation::BatchNorm { eps } => {
            if !before.is_some_and(Operation::is_map) {
                let message = "a `batch-norm` has to follow a `conv` or `linear`, right after it";
                return Err(PlanError::new(message));
            }
            builder.batch_norm(name, *eps);
            return Ok(Vec::new());
        }
        Operation::LayerNorm { eps } => layer_norm(builder, name, *eps)?,
        Operation::Relu => Module::Relu,
        Operation::Gelu => Module::Gelu,
        Operation::MaxPool {
            kernel,
            stride,
            padding,
        } => builder.max_pool(*kernel, *stride, *padding)?,
        Operation::AvgPool { kernel, stride } => builder.avg_pool(*kernel, *stride)?,
        Operation::GlobalAvgPool => match *builder.shape() {
            [_, h, w] if h == w => builder.avg_pool(h, h)?,
            _ => {
                return Err(PlanError::new(format!(
                    "`global-avg-pool` needs square activations [C, H, H], not {:?}",
                    builder.shape()
                )));
            }
        },
        Operation::Flatten if are_tokens(builder) => {
            let message = "tokens cannot be flattened; `first-token` takes the class token";
            return Err(PlanError::new(message));
        }
        Operation::Flatten => builder.flatten(),
        Operation::Dropout { p } => Module::Dropout(*p),
        Operation::Residual { body, shortcut } => residual(builder, name, (body, shortcut))?,
        Operation::PatchEmbedding { patch, out } => vit::embedding(builder, name, *patch, *out)?,
        Operation::Transformer { heads, mlp, dropout } => {
            let hidden = tokens(builder, "transformer")?;
            vit::check_heads(hidden, *heads)?;
            let settings = Vit {
                hidden,
                heads: *heads,
                mlp_hidden: *mlp,
                dropout: *dropout,
                ..Vit::default()
            };
            return Ok(settings.block(builder, name).into());
        }
        Operation::FirstToken => {
            let hidden = tokens(builder, "first-token")?;
            builder.mixed(vec![hidden]);
            Module::FirstToken
        }
    };
    if builder.shape().iter().map(|&n| n as f64).product::<f64>() > MAX_VALUES {
        return Err(PlanError::new(format!(
            "activations of shape {:?} are more than the {MAX_VALUES:e} values supported",
            builder.shape()
        )));
    }
    Ok(vec![module])
}

fn residual(
    builder: &mut Builder,
    name: &str,
    (body, shortcut): (&[LayerSettings], &[LayerSettings]),
) -> Result<Module, PlanError> {
    if body.is_empty() {
        return Err(PlanError::new("the `body` of a residual block is empty"));
    }
    let way = |builder: &mut Builder, layers: &[LayerSettings], key: &str| {
        write_list(builder, layers, &format!("{name}.{key}.")).map_err(within(&[key]))
    };
    builder.residual(
        |builder| way(builder, body, "body"),
        |builder| way(builder, shortcut, "shortcut"),
    )
}

/// Over the last dimension of what flows, which for tokens is the first of their shape here.
fn layer_norm(builder: &mut Builder, name: &str, eps: f64) -> Result<Module, PlanError> {
    let shape = builder.shape().to_vec();
    if shape.len() > 2 {
        return Err(PlanError::new(format!(
            "a `layer-norm` needs flat activations or tokens, not {shape:?}"
        )));
    }
    let scale = builder.norm(name, shape[0], eps);
    builder.mixed(shape);
    Ok(Module::LayerNorm { scale })
}

/// Width of tokens, where there are some.
fn tokens(builder: &Builder, kind: &str) -> Result<usize, PlanError> {
    match *builder.shape() {
        [hidden, _] => Ok(hidden),
        _ => Err(PlanError::new(format!(
            "`{kind}` needs tokens, not activations of shape {:?}: a `patch-embedding` makes them",
            builder.shape()
        ))),
    }
}

#[cfg(test)]
mod tests;
