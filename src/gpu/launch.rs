//! One launch of a kernel.
//!
//! Arguments are in the order of the kernel's parameters: inputs, outputs, numbers. All operands are contiguous and on one
//! device; blocks have [`BLOCK`] threads.

// Without CUDA nothing is launched.
#![cfg_attr(not(any(feature = "cuda", test)), allow(dead_code))]

use candle_core::{CpuStorage, CudaStorage, DType, Layout, Result, Shape, Storage, Tensor, bail};

/// Threads of a block; `BLOCK` in `kernels/common.cu`.
pub(super) const BLOCK: usize = 256;

/// The kernels' sources, joined.
pub(super) const SOURCES: &str = concat!(
    include_str!("kernels/common.cu"),
    include_str!("kernels/network.cu"),
    include_str!("kernels/winograd.cu"),
    include_str!("kernels/transformer.cu"),
    include_str!("kernels/dropout.cu"),
    include_str!("kernels/sums.cu"),
    include_str!("kernels/pairs.cu"),
    include_str!("kernels/adam.cu"),
    include_str!("kernels/augment.cu"),
);

/// An argument that is no tensor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    U32(u32),
    F32(f32),
    F64(f64),
}

/// A size or an index as an argument. Kernels count in 32 bits.
pub(super) fn size(n: usize) -> Result<Number> {
    match u32::try_from(n) {
        Ok(n) => Ok(Number::U32(n)),
        Err(_) => bail!("{n} elements are more than a kernel takes at once (2^32 - 1): use smaller batches"),
    }
}

/// Several sizes.
pub(super) fn sizes<const N: usize>(all: [usize; N]) -> Result<Vec<Number>> {
    all.into_iter().map(size).collect()
}

/// What holds a tensor's elements.
#[derive(Clone, Copy)]
pub(super) enum Held<'a> {
    Cpu(&'a CpuStorage),
    Cuda(&'a CudaStorage),
}

impl Held<'_> {
    pub fn dtype(&self) -> DType {
        use candle_core::backend::BackendStorage;
        match self {
            Self::Cpu(storage) => storage.dtype(),
            Self::Cuda(storage) => storage.dtype(),
        }
    }
}

/// A contiguous tensor.
pub(super) type Operand<'a> = (Held<'a>, &'a Layout);

/// A tensor as an operand.
pub(super) fn operand<'a>(storage: &'a Storage, layout: &'a Layout) -> Result<Operand<'a>> {
    match storage {
        Storage::Cpu(storage) => Ok((Held::Cpu(storage), layout)),
        Storage::Cuda(storage) => Ok((Held::Cuda(storage), layout)),
        Storage::Metal(_) => bail!("kernels run on a GPU by CUDA"),
    }
}

/// What is launched.
pub(super) struct Kernel<'a> {
    /// The name of its function.
    pub name: &'a str,
    /// Blocks of [`BLOCK`] threads.
    pub blocks: usize,
    /// Types and sizes of what it writes; it writes every element.
    pub outputs: &'a [(DType, usize)],
    /// What comes after the tensors.
    pub numbers: &'a [Number],
}

/// Blocks for a thread per element.
pub(super) fn blocks(elements: usize) -> usize {
    elements.div_ceil(BLOCK)
}

/// `gate` for f32: `gate_f32`.
pub(super) fn by_dtype(name: &str, dtype: DType) -> Result<String> {
    match dtype {
        DType::F32 => Ok(format!("{name}_f32")),
        DType::F64 => Ok(format!("{name}_f64")),
        other => bail!("the kernel `{name}` computes in f32 and f64, not in {other:?}"),
    }
}

impl Kernel<'_> {
    /// Runs it on operands, at least one.
    pub fn run(&self, inputs: &[Operand]) -> Result<Vec<Storage>> {
        size(self.blocks)?;
        for (_, layout) in inputs {
            size(layout.shape().elem_count())?;
            if !layout.is_contiguous() {
                bail!(
                    "the kernel `{}` needs contiguous tensors, not {layout:?}",
                    self.name
                );
            }
        }
        for &(_, count) in self.outputs {
            size(count)?;
        }
        #[cfg(feature = "cuda")]
        if let Some((Held::Cuda(first), _)) = inputs.first() {
            return cuda::run(self, inputs, first);
        }
        #[cfg(test)]
        if super::emulator::on() {
            return super::emulator::run(self, inputs);
        }
        bail!("the kernel `{}` runs on a GPU", self.name)
    }

    /// Runs it on tensors; results have no gradients, and the shapes asked for.
    pub fn launch(&self, inputs: &[&Tensor], shapes: &[Shape]) -> Result<Vec<Tensor>> {
        let inputs = inputs
            .iter()
            .map(|x| x.contiguous())
            .collect::<Result<Vec<_>>>()?;
        let locked: Vec<_> = inputs.iter().map(Tensor::storage_and_layout).collect();
        let operands = locked.iter().map(|(storage, layout)| operand(storage, layout));
        let operands = operands.collect::<Result<Vec<_>>>()?;
        let results = self.run(&operands)?;
        let none = candle_core::op::BackpropOp::none;
        let tensors = results.into_iter().zip(shapes);
        Ok(tensors
            .map(|(storage, shape)| Tensor::from_storage(storage, shape.clone(), none(), false))
            .collect())
    }
}

/// The kernels as PTX for a compute capability, by NVRTC, which needs no GPU.
#[cfg(feature = "cuda")]
pub(super) fn ptx(capability: (i32, i32)) -> std::result::Result<String, String> {
    use cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
    let options = CompileOptions {
        fmad: Some(false),
        options: vec![
            format!("--gpu-architecture=compute_{}{}", capability.0, capability.1),
            "--std=c++17".into(),
        ],
        ..CompileOptions::default()
    };
    match compile_ptx_with_opts(SOURCES, options) {
        Ok(ptx) => Ok(ptx.to_src()),
        Err(error) => Err(format!("NVRTC cannot compile the kernels: {error:?}")),
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    #![allow(unsafe_code)]

    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    use candle_core::cuda_backend::{CudaDType, CudaDevice, WrapErr};
    use candle_core::{CudaStorage, DType, Device, Layout, Result, Storage, bail};
    use cudarc::driver::{CudaSlice, CudaView, LaunchConfig, PushKernelArg};

    use super::super::Memory;
    use super::{BLOCK, Held, Kernel, Number, Operand};

    /// The kernels for a capability, compiled once per process.
    fn compiled(device: &CudaDevice) -> Result<&'static str> {
        static PTX: Mutex<BTreeMap<(i32, i32), &'static str>> = Mutex::new(BTreeMap::new());
        let capability = device.cuda_stream().context().compute_capability().w()?;
        let mut known = PTX.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ptx) = known.get(&capability) {
            return Ok(ptx);
        }
        let ptx = super::ptx(capability).map_err(candle_core::Error::Msg)?;
        // As long-lived as the program, and one per kind of GPU.
        let ptx: &'static str = Box::leak(ptx.into_boxed_str());
        known.insert(capability, ptx);
        Ok(ptx)
    }

    enum View<'a> {
        F32(CudaView<'a, f32>),
        F64(CudaView<'a, f64>),
        U32(CudaView<'a, u32>),
        U8(CudaView<'a, u8>),
        I64(CudaView<'a, i64>),
    }

    enum Slice {
        F32(CudaSlice<f32>),
        F64(CudaSlice<f64>),
        U32(CudaSlice<u32>),
    }

    fn view<'a>(storage: &'a CudaStorage, layout: &Layout) -> Result<View<'a>> {
        fn of<'a, T: CudaDType>(storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, T>> {
            let start = layout.start_offset();
            Ok(storage
                .as_cuda_slice::<T>()?
                .slice(start..start + layout.shape().elem_count()))
        }
        match candle_core::backend::BackendStorage::dtype(storage) {
            DType::F32 => of(storage, layout).map(View::F32),
            DType::F64 => of(storage, layout).map(View::F64),
            DType::U32 => of(storage, layout).map(View::U32),
            DType::U8 => of(storage, layout).map(View::U8),
            DType::I64 => of(storage, layout).map(View::I64),
            other => bail!("no kernel of ours takes {other:?}"),
        }
    }

    fn room(device: &CudaDevice, dtype: DType, count: usize) -> Result<Slice> {
        // SAFETY: kernels write every element of their outputs (`Kernel::outputs`) before anything reads them.
        let room = unsafe {
            match dtype {
                DType::F32 => device.alloc(count).map(Slice::F32),
                DType::F64 => device.alloc(count).map(Slice::F64),
                DType::U32 => device.alloc(count).map(Slice::U32),
                other => bail!("no kernel of ours makes {other:?}"),
            }
        };
        room.map_err(|error| {
            let asked = count * dtype.size_in_bytes();
            match super::super::memory(&Device::Cuda(device.clone())) {
                Some(Memory { free, total }) => error.context(format!(
                    "asking for {asked} bytes; {free} of {total} bytes are free"
                )),
                None => error.context(format!("asking for {asked} bytes")),
            }
        })
    }

    pub(super) fn run(kernel: &Kernel, inputs: &[Operand], first: &CudaStorage) -> Result<Vec<Storage>> {
        let device = candle_core::backend::BackendStorage::device(first);
        let views = inputs
            .iter()
            .map(|(held, layout)| match held {
                Held::Cuda(storage) => view(storage, layout),
                Held::Cpu(_) => bail!("operands of `{}` are on different devices", kernel.name),
            })
            .collect::<Result<Vec<_>>>()?;
        let outputs = kernel.outputs.iter();
        let outputs = outputs.map(|&(dtype, count)| room(device, dtype, count));
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        if kernel.blocks > 0 {
            let function = device.get_or_load_custom_func(kernel.name, "runner", compiled(device)?)?;
            let mut builder = function.builder();
            for view in &views {
                match view {
                    View::F32(view) => builder.arg(view),
                    View::F64(view) => builder.arg(view),
                    View::U32(view) => builder.arg(view),
                    View::U8(view) => builder.arg(view),
                    View::I64(view) => builder.arg(view),
                };
            }
            for output in &outputs {
                match output {
                    Slice::F32(slice) => builder.arg(slice),
                    Slice::F64(slice) => builder.arg(slice),
                    Slice::U32(slice) => builder.arg(slice),
                };
            }
            for number in kernel.numbers {
                match number {
                    Number::U32(number) => builder.arg(number),
                    Number::F32(number) => builder.arg(number),
                    Number::F64(number) => builder.arg(number),
                };
            }
            let config = LaunchConfig {
                grid_dim: (kernel.blocks as u32, 1, 1),
                block_dim: (BLOCK as u32, 1, 1),
                shared_mem_bytes: 0,
            };
            // SAFETY: the functions of this module that make a `Kernel` list its operands in the order and with the
            // types of its parameters, which the emulator's tests run against; kernels stay within their operands, and
            // write to outputs alone (Adam's aside, see there). All work is on the device's one stream, in its order.
            unsafe { builder.launch(config) }.w()?;
        }
        let wrap = |output| match output {
            Slice::F32(slice) => CudaStorage::wrap_cuda_slice(slice, device.clone()),
            Slice::F64(slice) => CudaStorage::wrap_cuda_slice(slice, device.clone()),
            Slice::U32(slice) => CudaStorage::wrap_cuda_slice(slice, device.clone()),
        };
        Ok(outputs
            .into_iter()
            .map(|output| Storage::Cuda(wrap(output)))
            .collect())
    }
}
