//! Optimisers, with PyTorch's arithmetic, and the learning-rate schedule.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adam::{self, BETAS, EPSILON};

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam with betas .9 and .999; weight decay is added to the gradient, as in `torch.optim.Adam`.
    Adam,
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
    /// L2 penalty, added to the gradient.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Momentum of `sgd`; `adam` has none to set.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self {
            name: OptimizerKind::Adam,
            lr: 1e-3,
            weight_decay: 5e-5,
            momentum: None,
        }
    }
}

/// Learning rate of `epoch` (from 0): linear from 0 over the warm-up, then a cosine over all epochs towards `min`.
///
/// The cosine starts when the warm-up ends but has the length of the whole training, as in the reference: the last
/// epoch is above `min`.
pub fn learning_rate(peak: f64, min: f64, warmup: usize, epochs: usize, epoch: usize) -> f64 {
    if epoch < warmup {
        return peak * epoch as f64 / warmup as f64;
    }
    let progress = (epoch - warmup) as f64 / epochs.max(1) as f64;
    min + (peak - min) * (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0
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
        // Gradients carry their graph; without detaching, moments would keep every step's graph alive.
        let find = |parameter: &Parameter| gradients.get(parameter.var.as_tensor()).map(Tensor::detach);
        let gradients: Vec<Option<Tensor>> = self.parameters.iter().map(find).collect();
        self.apply(&gradients, lr)
    }

    /// One step with gradients given in the order of the parameters.
    pub fn apply(&mut self, gradients: &[Option<Tensor>], lr: f64) -> Result<()> {
        self.step += 1;
        for (parameter, gradient) in self.parameters.iter_mut().zip(gradients) {
            let Some(gradient) = gradient else { continue };
            let decay = self.settings.weight_decay;
            match self.settings.name {
                OptimizerKind::Adam if gradient.device().is_cpu() => {
                    parameter.fused_adam(gradient, lr, decay, self.step)?;
                }
                OptimizerKind::Adam => parameter.adam(gradient, lr, decay, self.step)?,
                OptimizerKind::Sgd => {
                    parameter.sgd(gradient, lr, decay, self.settings.momentum.unwrap_or(0.0))?;
                }
            }
        }
        Ok(())
    }
}

impl Parameter {
    fn decayed(&self, gradient: &Tensor, decay: f64) -> Result<Tensor> {
        gradient + (self.var.as_tensor().detach() * decay)?
    }

    /// One step in two passes over memory, for the CPU.
    fn fused_adam(&mut self, gradient: &Tensor, lr: f64, decay: f64, step: i32) -> Result<()> {
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
    fn adam(&mut self, gradient: &Tensor, lr: f64, decay: f64, step: i32) -> Result<()> {
        let gradient = self.decayed(gradient, decay)?;
        let (b1, b2) = BETAS;
        let blend = |old: Option<&Tensor>, new: Tensor, beta: f64| match old {
            Some(old) => (old * beta)? + (new * (1.0 - beta))?,
            None => new * (1.0 - beta),
        };
        let first = blend(self.first.as_ref(), gradient.clone(), b1)?;
        let second = blend(self.second.as_ref(), gradient.sqr()?, b2)?;
        let scale = lr / (1.0 - b1.powi(step));
        let denominator = ((second.sqrt()? / (1.0 - b2.powi(step)).sqrt())? + EPSILON)?;
        let next = (self.var.as_tensor().detach() - ((&first / denominator)? * scale)?)?;
        self.first = Some(first);
        self.second = Some(second);
        self.var.set(&next)
    }

    fn sgd(&mut self, gradient: &Tensor, lr: f64, decay: f64, momentum: f64) -> Result<()> {
        let gradient = self.decayed(gradient, decay)?;
        let velocity = match &self.first {
            Some(old) if momentum > 0.0 => ((old * momentum)? + gradient)?,
            _ => gradient,
        };
        let next = (self.var.as_tensor().detach() - (&velocity * lr)?)?;
        self.first = Some(velocity);
        self.var.set(&next)
    }
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
            parameters[0].adam(&gradient, 0.1, 0.01, step).expect("step");
            parameters[1]
                .fused_adam(&gradient, 0.1, 0.01, step)
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

    #[test]
    fn the_schedule_warms_up_from_zero_and_ends_above_its_minimum() {
        let rate = |epoch| learning_rate(1e-3, 1e-5, 5, 25, epoch);
        assert_eq!(rate(0), 0.0);
        assert!((rate(4) - 8e-4).abs() < 1e-12);
        assert!((rate(5) - 1e-3).abs() < 1e-12);
        assert!(rate(24) > 1e-4 && rate(24) < rate(23));
    }
}
