//! One step of Adam in two passes over memory instead of a dozen.
//!
//! As single tensor operations a step reads and writes every parameter about twelve times, which is most of the time of
//! a small level's training. Here: the first pass updates both moments, the second the parameters. Arithmetic is in
//! f32 and in the order of `torch.optim.Adam`.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, bail};

use crate::gpu;

/// Decay rates of the moments.
pub(super) const BETAS: (f64, f64) = (0.9, 0.999);
/// Keeps the denominator from 0.
pub(super) const EPSILON: f64 = 1e-8;

/// How weights decay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decay {
    /// Times the weights, added to the gradient.
    pub penalty: f64,
    /// What the weights are multiplied by.
    pub kept: f64,
}

impl Decay {
    /// Through the gradient.
    pub fn of_gradient(decay: f64) -> Self {
        Self {
            penalty: decay,
            kept: 1.0,
        }
    }

    /// Apart from the gradient.
    pub fn of_weights(lr: f64, decay: f64) -> Self {
        Self {
            penalty: 0.0,
            kept: 1.0 - lr * decay,
        }
    }
}

/// `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2` with `g = gradient + decay * value`; moments are `[2, n]`.
struct Moments {
    decay: f32,
}

/// `value <- kept * value - scale * m / (sqrt(v) / correction + epsilon)`.
struct Update {
    kept: f32,
    scale: f32,
    correction: f32,
}

/// One step in place. `moments` has shape `[2, n]` for a parameter of n elements; all are contiguous f32 on the CPU.
pub(super) fn step(
    value: &Tensor,
    moments: &Tensor,
    gradient: &Tensor,
    lr: f64,
    decay: Decay,
    step: i32,
) -> Result<()> {
    moments.inplace_op3(
        &gradient.contiguous()?,
        value,
        &Moments {
            decay: decay.penalty as f32,
        },
    )?;
    let (scale, correction) = unbiased(lr, step);
    value.inplace_op2(
        moments,
        &Update {
            kept: decay.kept as f32,
            scale,
            correction,
        },
    )
}

/// Learning rate over the bias of the first moment, and the root of the second's.
fn unbiased(lr: f64, step: i32) -> (f32, f32) {
    let (b1, b2) = BETAS;
    (
        (lr / (1.0 - b1.powi(step))) as f32,
        (1.0 - b2.powi(step)).sqrt() as f32,
    )
}

/// One step of many parameters on a GPU, with the same bits: values, moments `[2, n]` and gradients.
pub(super) fn on_gpu(
    parameters: &[(&Tensor, Tensor, Tensor)],
    lr: f64,
    decay: Decay,
    step: i32,
) -> Result<()> {
    let (scale, correction) = unbiased(lr, step);
    let parameters: Vec<gpu::Parameter> = parameters
        .iter()
        .map(|(value, moments, gradient)| gpu::Parameter {
            value,
            moments,
            gradient,
        })
        .collect();
    let step = gpu::Adam {
        penalty: decay.penalty as f32,
        kept: decay.kept as f32,
        scale,
        correction,
        betas: (BETAS.0 as f32, BETAS.1 as f32),
        epsilon: EPSILON as f32,
    };
    gpu::adam(&parameters, step)
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("Adam needs contiguous f32"),
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("Adam needs contiguous f32"),
    }
}

impl InplaceOp3 for Moments {
    fn name(&self) -> &'static str {
        "adam moments"
    }

    fn cpu_fwd(
        &self,
        moments: &mut CpuStorage,
        moments_at: &Layout,
        gradient: &CpuStorage,
        gradient_at: &Layout,
        value: &CpuStorage,
        value_at: &Layout,
    ) -> Result<()> {
        let (b1, b2) = (BETAS.0 as f32, BETAS.1 as f32);
        let (gradient, value) = (values(gradient, gradient_at)?, values(value, value_at)?);
        let moments = values_mut(moments, moments_at)?;
        if moments.len() != 2 * value.len() || gradient.len() != value.len() {
            bail!(
                "Adam: {} moments and {} gradients for {} values",
                moments.len(),
                gradient.len(),
                value.len()
            );
        }
        let (first, second) = moments.split_at_mut(value.len());
        for (((m, v), g), w) in first.iter_mut().zip(second).zip(gradient).zip(value) {
            let g = g + self.decay * w;
            *m = b1 * *m + (1.0 - b1) * g;
            *v = b2 * *v + (1.0 - b2) * g * g;
        }
        Ok(())
    }
}

impl InplaceOp2 for Update {
    fn name(&self) -> &'static str {
        "adam update"
    }

    fn cpu_fwd(
        &self,
        value: &mut CpuStorage,
        value_at: &Layout,
        moments: &CpuStorage,
        moments_at: &Layout,
    ) -> Result<()> {
        let value = values_mut(value, value_at)?;
        let (first, second) = values(moments, moments_at)?.split_at(value.len());
        let epsilon = EPSILON as f32;
        for ((w, m), v) in value.iter_mut().zip(first).zip(second) {
            *w = self.kept * *w - self.scale * m / (v.sqrt() / self.correction + epsilon);
        }
        Ok(())
    }
}
