//! Optimisers, with PyTorch's arithmetic.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adam::{self, Decay};

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam with betas .9 and .999; weight decay is added to the gradient, as in `torch.optim.Adam`.
    Adam,
    /// Adam with the weights' decay apart from the gradient, as in `torch.optim.AdamW`.
    #[serde(rename = "adamw")]
    AdamW,
    /// Stochastic gradient descent with momentum, as in `torch.optim.SGD`.
    Sgd,
}

/// The optimiser and its step size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct OptimizerSettings {
    /// Which optimiser.
    pub name: OptimizerKind,
    /// Peak learning rate.
    #[schemars(range(min = 0.0))]
    pub lr: f64,
    /// L2 penalty, added to the gradient; of `adamw`, the share of the weights that a step of learning rate 1 takes away.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Momentum of `sgd`; `adam` has none to set.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Nesterov's momentum of `sgd`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nesterov: bool,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self {
            name: OptimizerKind::Adam,
            lr: 1e-3,
            weight_decay: 5e-5,
            momentum: None,
            nesterov: false,
        }
    }
}

impl OptimizerSettings {
    /// The first key that is given although the optimiser of this name does not take it.
    pub fn foreign(&self) -> Option<&'static str> {
        match self.name {
            OptimizerKind::Sgd => {
                (self.nesterov && self.momentum.unwrap_or(0.0) == 0.0).then_some("nesterov")
            }
            _ if self.momentum.is_some() => Some("momentum"),
            _ => self.nesterov.then_some("nesterov"),
        }
    }
}

/// State of the optimiser over a fixed list of parameters.
#[derive(Debug)]
pub struct Optimizer {
    settings: OptimizerSettings,
    parameters: Vec<Parameter>,
    step: i32,
}

#[derive(Debug)]
struct Parameter {
    var: Var,
    /// Both moments, `[2, n]` (Adam), or the velocity (SGD).
    first: Option<Tensor>,
}

impl Optimizer {
    /// Starts with empty moments.
    pub fn new(settings: &OptimizerSettings, vars: Vec<Var>) -> Self {
        let parameters = vars
            .into_iter()
            .map(|var| Parameter { var, first: None })
            .collect();
        Self {
            settings: settings.clone(),
            parameters,
            step: 0,
        }
    }

    /// What it changes, in order.
    pub fn vars(&self) -> Vec<&Var> {
        self.parameters.iter().map(|parameter| &parameter.var).collect()
    }

    /// One step with learning rate `lr`; parameters without a gradient stay as they are.
    pub fn step(&mut self, gradients: &GradStore, lr: f64) -> Result<()> {
        self.apply(&self.gradients(gradients), lr)
    }

    /// The gradients of its parameters, in order.
    pub(super) fn gradients(&self, gradients: &GradStore) -> Vec<Option<Tensor>> {
        // Gradients carry their graph; without detaching, moments would keep every step's graph alive.
        let find = |parameter: &Parameter| gradients.get(parameter.var.as_tensor()).map(Tensor::detach);
        self.parameters.iter().map(find).collect()
    }

    /// How many steps it has done, and the moments of every parameter, in order.
    pub(super) fn state(&self) -> (i32, Vec<Option<Tensor>>) {
        let moments = self.parameters.iter().map(|p| p.first.clone());
        (self.step, moments.collect())
    }

    /// Goes on from [`Optimizer::state`].
    pub(super) fn restore(&mut self, step: i32, moments: Vec<Option<Tensor>>) {
        self.step = step;
        for (parameter, first) in self.parameters.iter_mut().zip(moments) {
            parameter.first = first;
        }
    }

    /// One step with gradients given in the order of the parameters.
    pub fn apply(&mut self, gradients: &[Option<Tensor>], lr: f64) -> Result<()> {
        self.step += 1;
        let decay = match self.settings.name {
            OptimizerKind::AdamW => Decay::of_weights(lr, self.settings.weight_decay),
            _ => Decay::of_gradient(self.settings.weight_decay),
        };
        let mut on_gpu = Vec::new();
        for (parameter, gradient) in self.parameters.iter_mut().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            match self.settings.name {
                OptimizerKind::Sgd => parameter.sgd(gradient, lr, &self.settings)?,
                _ if gradient.device().is_cuda() => {
                    let moments = parameter.moments()?;
                    on_gpu.push((parameter.var.as_tensor(), moments, gradient.contiguous()?));
                }
                _ => parameter.adam(gradient, lr, decay, self.step)?,
            }
        }
        adam::on_gpu(&on_gpu, lr, decay, self.step)
    }
}

impl Parameter {
    /// The gradient and the penalty's.
    fn decayed(&self, gradient: &Tensor, decay: f64) -> Result<Tensor> {
        gradient + (self.var.as_tensor().detach() * decay)?
    }

    /// Both moments, `[2, n]`; zeros before the first step.
    fn moments(&mut self) -> Result<Tensor> {
        let value = self.var.as_tensor();
        let moments = match self.first.take() {
            Some(moments) => moments,
            None => Tensor::zeros((2, value.elem_count()), value.dtype(), value.device())?,
        };
        self.first = Some(moments.clone());
        Ok(moments)
    }

    fn adam(&mut self, gradient: &Tensor, lr: f64, decay: Decay, step: i32) -> Result<()> {
        let moments = self.moments()?;
        adam::step(self.var.as_tensor(), &moments, gradient, lr, decay, step)
    }

    fn sgd(&mut self, gradient: &Tensor, lr: f64, settings: &OptimizerSettings) -> Result<()> {
        let gradient = self.decayed(gradient, settings.weight_decay)?;
        let momentum = settings.momentum.unwrap_or(0.0);
        let velocity = match &self.first {
            Some(old) if momentum > 0.0 => ((old * momentum)? + &gradient)?,
            _ => gradient.clone(),
        };
        let ahead = match settings.nesterov {
            true => (gradient + (&velocity * momentum)?)?,
            false => velocity.clone(),
        };
        let next = (self.var.as_tensor().detach() - (ahead * lr)?)?;
        self.first = Some(velocity);
        self.var.set(&next)
    }
}

/// Scales all gradients by one number so that their norm as one vector is at most `max`, as
/// `torch.nn.utils.clip_grad_norm_` does.
pub(super) fn clip(gradients: &mut [Option<Tensor>], max: f64) -> Result<()> {
    let mut squares = 0.0;
    for gradient in gradients.iter().flatten() {
        squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    let scale = max / (squares.sqrt() + 1e-6);
    if scale < 1.0 {
        for gradient in gradients.iter_mut().flatten() {
            *gradient = (&*gradient * scale)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
