//! A step of Adam over all parameters in one launch. Twin: the two passes of `train::adam`.

use candle_core::{Device, Result, Tensor, bail};

use super::launch::{Kernel, Number, blocks, size};

/// What one step does: `g = gradient + penalty w`, moments `m` and `v` as usual, then
/// `w <- kept w - scale m / (sqrt(v) / correction + epsilon)`.
#[derive(Debug, Clone, Copy)]
pub struct Adam {
    /// L2 penalty.
    pub penalty: f32,
    /// Share of the weights that decay leaves.
    pub kept: f32,
    /// Learning rate over the first moment's bias.
    pub scale: f32,
    /// Root of the second moment's bias.
    pub correction: f32,
    /// Decay rates of the moments.
    pub betas: (f32, f32),
    /// Keeps the denominator from 0.
    pub epsilon: f32,
}

/// One parameter; all contiguous, f32 and on one GPU.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// n elements.
    pub value: &'a Tensor,
    /// `[2, n]`.
    pub moments: &'a Tensor,
    /// n elements.
    pub gradient: &'a Tensor,
}

/// Changes values and moments.
pub fn adam(parameters: &[Parameter], step: Adam) -> Result<()> {
    let Some(first) = parameters.first() else {
        return Ok(());
    };
    let mut rows = Vec::with_capacity(parameters.len());
    for Parameter {
        value,
        moments,
        gradient,
    } in parameters
    {
        let count = value.elem_count();
        if moments.elem_count() != 2 * count || gradient.elem_count() != count {
            bail!(
                "Adam: {} moments and {} gradients for {count} values",
                moments.elem_count(),
                gradient.elem_count()
            );
        }
        rows.push(([address(value)?, address(moments)?, address(gradient)?], count));
    }
    launch(&rows, step, first.value.device())
}

/// Launches on addresses of values, moments and gradients, which stay valid until the device has done it: memory that is
/// freed after this call is given to later work of the same stream only.
pub(super) fn launch(rows: &[([u64; 3], usize)], step: Adam, device: &Device) -> Result<()> {
    let (mut table, mut first) = (Vec::with_capacity(5 * rows.len()), 0);
    for (addresses, count) in rows {
        size(*count)?;
        table.extend(addresses.map(u64::cast_signed));
        table.extend([*count, first].map(|n| (n as u64).cast_signed()));
        first += blocks(*count);
    }
    let kernel = Kernel {
        name: "adam",
        blocks: first,
        outputs: &[],
        numbers: &[
            size(rows.len())?,
            Number::F32(step.penalty),
            Number::F32(step.kept),
            Number::F32(step.scale),
            Number::F32(step.correction),
            Number::F32(step.betas.0),
            Number::F32(step.betas.1),
            Number::F32(step.epsilon),
        ],
    };
    let table = Tensor::from_vec(table, 5 * rows.len(), device)?;
    kernel.launch(&[&table], &[]).map(|_| ())
}

#[cfg(feature = "cuda")]
fn address(tensor: &Tensor) -> Result<u64> {
    use candle_core::Storage;
    use cudarc::driver::DevicePtr;

    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cuda(storage), true) = (&*storage, layout.is_contiguous()) else {
        bail!("Adam on a GPU needs contiguous f32 there")
    };
    let stream = storage.device.cuda_stream();
    let (start, _record) = storage.as_cuda_slice::<f32>()?.device_ptr(&stream);
    Ok(start + (size_of::<f32>() * layout.start_offset()) as u64)
}

#[cfg(not(feature = "cuda"))]
fn address(_: &Tensor) -> Result<u64> {
    bail!("this program was built without the feature `cuda`")
}
