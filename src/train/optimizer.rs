//! Optimisers, with PyTorch's arithmetic.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adam::{self, BETAS, Decay, EPSILON};

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
    /// First moment (Adam; on the CPU both moments, `[2, n]`) or velocity (SGD).
    first: Option<Tensor>,
    /// Second moment (Adam).
    second: Option<Tensor>,
}

impl Optimizer {
    /// Starts with empty moments.
    pub fn new(settings: &OptimizerSettings, vars: Vec<Var>) -> Self {
        let parameters = vars
            .into_iter()
            .map(|var| Parameter {
                var,
                first: None,
                second: None,
            })
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
    pub(super) fn state(&self) -> (i32, Vec<[Option<Tensor>; 2]>) {
        let moments = self
            .parameters
            .iter()
            .map(|p| [p.first.clone(), p.second.clone()]);
        (self.step, moments.collect())
    }

    /// Goes on from [`Optimizer::state`].
    pub(super) fn restore(&mut self, step: i32, moments: Vec<[Option<Tensor>; 2]>) {
        self.step = step;
        for (parameter, [first, second]) in self.parameters.iter_mut().zip(moments) {
            parameter.first = first;
            parameter.second = second;
        }
    }

    /// One step with gradients given in the order of the parameters.
    pub fn apply(&mut self, gradients: &[Option<Tensor>], lr: f64) -> Result<()> {
        self.step += 1;
        for (parameter, gradient) in self.parameters.iter_mut().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            let decay = match self.settings.name {
                OptimizerKind::AdamW => Decay::of_weights(lr, self.settings.weight_decay),
                _ => Decay::of_gradient(self.settings.weight_decay),
            };
            match self.settings.name {
                OptimizerKind::Sgd => parameter.sgd(gradient, lr, &self.settings)?,
                _ if gradient.device().is_cpu() => parameter.fused_adam(gradient, lr, decay, self.step)?,
                _ => parameter.adam(gradient, lr, decay, self.step)?,
            }
        }
        Ok(())
    }
}

impl Parameter {
    /// The gradient and the penalty's.
    fn decayed(&self, gradient: &Tensor, decay: f64) -> Result<Tensor> {
        gradient + (self.var.as_tensor().detach() * decay)?
    }

    /// One step in two passes over memory, for the CPU.
    fn fused_adam(&mut self, gradient: &Tensor, lr: f64, decay: Decay, step: i32) -> Result<()> {
        let value = self.var.as_tensor();
        let moments = match self.first.take() {
            Some(moments) => moments,
            None => Tensor::zeros((2, value.elem_count()), value.dtype(), value.device())?,
        };
        adam::step(value, &moments, gradient, lr, decay, step)?;
        self.first = Some(moments);
        Ok(())
    }

    /// The same as single tensor operations, for any device.
    fn adam(&mut self, gradient: &Tensor, lr: f64, decay: Decay, step: i32) -> Result<()> {
        let gradient = self.decayed(gradient, decay.penalty)?;
        let (b1, b2) = BETAS;
        let blend = |old: Option<&Tensor>, new: Tensor, beta: f64| match old {
            Some(old) => (old * beta)? + (new * (1.0 - beta))?,
            None => new * (1.0 - beta),
        };
        let first = blend(self.first.as_ref(), gradient.clone(), b1)?;
        let second = blend(self.second.as_ref(), gradient.sqr()?, b2)?;
        let scale = lr / (1.0 - b1.powi(step));
        let denominator = ((second.sqrt()? / (1.0 - b2.powi(step)).sqrt())? + EPSILON)?;
        let value = (self.var.as_tensor().detach() * decay.kept)?;
        let next = (value - ((&first / denominator)? * scale)?)?;
        self.first = Some(first);
        self.second = Some(second);
        self.var.set(&next)
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
mod tests {
    use super::*;
    use candle_core::Device;

    /// `torch.optim`, torch 2.x, two steps on `w = [1, -2]` with gradients `[0.5, -1]` and `[0.25, 2]`, weight decay .1.
    fn two_steps(settings: &OptimizerSettings) -> Vec<f32> {
        let var = Var::new(&[1f32, -2.0], &Device::Cpu).expect("var");
        let mut optimizer = Optimizer::new(settings, vec![var.clone()]);
        for gradient in [[0.5f32, -1.0], [0.25, 2.0]] {
            let slope = Tensor::new(&gradient, &Device::Cpu).expect("tensor");
            let loss = (var.as_tensor() * slope).and_then(|p| p.sum_all()).expect("loss");
            optimizer
                .step(&loss.backward().expect("gradients"), 0.1)
                .expect("step");
        }
        var.as_tensor().to_vec1().expect("values")
    }

    #[test]
    fn sgd_with_momentum_by_hand() {
        let settings = OptimizerSettings {
            name: OptimizerKind::Sgd,
            lr: 0.1,
            weight_decay: 0.1,
            momentum: Some(0.9),
            nesterov: false,
        };
        // v1 = g + .1 w = [.6, -1.2], w1 = [.94, -1.88]; v2 = .9 v1 + g + .1 w1 = [.884, .732]; w2 = w1 - .1 v2.
        let w = two_steps(&settings);
        assert!(
            (w[0] - 0.8516).abs() < 1e-6 && (w[1] + 1.9532).abs() < 1e-6,
            "{w:?}"
        );
    }

    #[test]
    fn both_forms_of_adam_agree() {
        let random = |seed| {
            let mut rng = crate::seed::generator(seed, "adam", &[]);
            let values: Vec<f32> = (0..35)
                .map(|_| rand::RngExt::random_range(&mut rng, -1.0..1.0))
                .collect();
            Tensor::from_vec(values, (5, 7), &Device::Cpu).expect("tensor")
        };
        let mut parameters = [0, 1].map(|_| Parameter {
            var: Var::from_tensor(&random(0)).expect("var"),
            first: None,
            second: None,
        });
        for step in 1..6 {
            let gradient = random(step as u64);
            // Both ways of decay at once.
            let decay = Decay {
                penalty: 0.01,
                kept: 0.99,
            };
            parameters[0].adam(&gradient, 0.1, decay, step).expect("step");
            parameters[1]
                .fused_adam(&gradient, 0.1, decay, step)
                .expect("step");
        }
        let [a, b] = parameters.map(|p| {
            p.var
                .flatten_all()
                .and_then(|t| t.to_vec1::<f32>())
                .expect("values")
        });
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
    }

    #[test]
    fn adam_by_hand() {
        let settings = OptimizerSettings {
            name: OptimizerKind::Adam,
            lr: 0.1,
            weight_decay: 0.1,
            momentum: None,
            nesterov: false,
        };
        let mut expected = [1f64, -2.0];
        for (w, gradients) in expected.iter_mut().zip([[0.5, 0.25], [-1.0, 2.0]]) {
            let (mut m, mut v) = (0.0, 0.0);
            for (t, g) in gradients.into_iter().enumerate() {
                let g: f64 = g + 0.1 * *w;
                let t = i32::try_from(t).expect("small") + 1;
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
                *w -= 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
            }
        }
        let w = two_steps(&settings);
        assert!(
            w.iter()
                .zip(expected)
                .all(|(&a, b)| (f64::from(a) - b).abs() < 1e-5),
            "{w:?} {expected:?}"
        );
    }

    /// Three steps on `w = [1, -2, .5]` with learning rate .1, as torch 2.15 does them:
    /// `o = torch.optim.SGD([w], lr=.1, weight_decay=.1, momentum=.9, nesterov=True)`, then for every `g`
    /// `w.grad = torch.tensor(g); o.step()`; with `clip`, `clip_grad_norm_([w], 1.0)` before each step.
    fn three_steps(settings: &OptimizerSettings, max: Option<f64>) -> Vec<f32> {
        let var = Var::new(&[1f32, -2.0, 0.5], &Device::Cpu).expect("var");
        let mut optimizer = Optimizer::new(settings, vec![var.clone()]);
        for gradient in [[0.5f32, -1.0, 0.0], [0.25, 2.0, -3.0], [-0.75, 0.125, 1.0]] {
            let mut gradients = vec![Some(Tensor::new(&gradient, &Device::Cpu).expect("tensor"))];
            if let Some(max) = max {
                clip(&mut gradients, max).expect("clipped");
            }
            optimizer.apply(&gradients, 0.1).expect("step");
        }
        var.as_tensor().to_vec1().expect("values")
    }

    #[test]
    fn optimisers_are_pytorchs() {
        let settings = |name, weight_decay, momentum, nesterov| OptimizerSettings {
            name,
            lr: 0.1,
            weight_decay,
            momentum,
            nesterov,
        };
        let (sgd, adamw) = (OptimizerKind::Sgd, OptimizerKind::AdamW);
        let cases: [(_, _, [f32; 3]); 6] = [
            (
                settings(OptimizerKind::Adam, 0.1, None, false),
                None,
                [0.796_864_33, -1.942_361_4, 0.505_350_23],
            ),
            (
                settings(adamw, 0.1, None, false),
                None,
                [0.788_200_9, -1.910_655_6, 0.593_176_3],
            ),
            (
                settings(sgd, 0.1, None, false),
                None,
                [0.971_544, -2.053_088, 0.682_149_5],
            ),
            (
                settings(sgd, 0.1, Some(0.9), false),
                None,
                [0.838_524, -2.012_048, 0.939_189_5],
            ),
            (
                settings(sgd, 0.1, Some(0.9), true),
                None,
                [0.829_711_14, -2.066_647_3, 1.072_616_9],
            ),
            (
                settings(sgd, 0.0, Some(0.9), false),
                Some(1.0),
                [0.925_364_85, -1.872_701_4, 0.578_107_95],
            ),
        ];
        for (settings, max, expected) in cases {
            let found = three_steps(&settings, max);
            // Moments of gradients that cancel lose a few bits, to one rounding or the other.
            let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 3e-6);
            assert!(close, "{settings:?}: {found:?} instead of {expected:?}");
        }
    }

    #[test]
    fn keys_of_another_optimiser_are_named() {
        let with = |name, momentum, nesterov| {
            OptimizerSettings {
                name,
                momentum,
                nesterov,
                ..OptimizerSettings::default()
            }
            .foreign()
        };
        assert_eq!(with(OptimizerKind::Adam, Some(0.9), false), Some("momentum"));
        assert_eq!(with(OptimizerKind::AdamW, None, true), Some("nesterov"));
        assert_eq!(with(OptimizerKind::Sgd, None, true), Some("nesterov"));
        assert_eq!(with(OptimizerKind::Sgd, Some(0.9), true), None);
    }
}
