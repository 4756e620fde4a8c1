//! A launch as an operation of candle's: one result, with a gradient where there is a way back.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Storage, Tensor,
    bail,
};

use super::launch::{Held, Kernel, Number, Operand, blocks, by_dtype, operand};

/// The gradients of the operands from the operands and the result's gradient.
type Back = dyn Fn(&[&Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// One result, which has the type of the operands; a thread per element of it unless [`Op::threads`] says otherwise.
#[derive(Clone)]
pub(super) struct Op {
    kernel: &'static str,
    shape: Shape,
    numbers: Vec<Number>,
    threads: usize,
    /// Taken by the launch: the graph need not keep it.
    reads: Option<Arc<Mutex<Vec<Tensor>>>>,
    back: Option<Arc<Back>>,
}

impl Op {
    /// The kernel of this name for the operands' type; its first number is the number of threads.
    pub fn new(kernel: &'static str, shape: impl Into<Shape>, numbers: Vec<Number>) -> Self {
        let shape = shape.into();
        Self {
            kernel,
            threads: shape.elem_count(),
            shape,
            numbers,
            reads: None,
            back: None,
        }
    }

    /// So many threads, which write all elements between them.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// What the kernel reads, where that is not the operands but was made of them: the last step of an operation of several.
    pub fn reading(mut self, tensors: &[&Tensor]) -> Result<Self> {
        let plain = |x: &&Tensor| x.detach().contiguous();
        let tensors = tensors.iter().map(plain).collect::<Result<_>>()?;
        self.reads = Some(Arc::new(Mutex::new(tensors)));
        Ok(self)
    }

    /// The way back.
    pub fn back(
        mut self,
        back: impl Fn(&[&Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
    ) -> Self {
        self.back = Some(Arc::new(back));
        self
    }

    /// Applies it to one operand.
    pub fn on(self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1(self)
    }

    /// Applies it to two operands.
    pub fn on_both(self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op2(&y.contiguous()?, self)
    }

    /// Applies it to two or three operands.
    pub fn on_some(self, x: &Tensor, y: &Tensor, z: Option<&Tensor>) -> Result<Tensor> {
        match z {
            Some(z) => x
                .contiguous()?
                .apply_op3(&y.contiguous()?, &z.contiguous()?, self),
            None => self.on_both(x, y),
        }
    }

    fn run(&self, operands: &[Operand]) -> Result<(Storage, Shape)> {
        let dtype = operands.first().map_or(DType::F32, |(held, _)| held.dtype());
        let mut numbers = vec![super::launch::size(self.threads)?];
        numbers.extend(&self.numbers);
        let kernel = Kernel {
            name: &by_dtype(self.kernel, dtype)?,
            blocks: blocks(self.threads),
            outputs: &[(dtype, self.shape.elem_count())],
            numbers: &numbers,
        };
        let results = match &self.reads {
            None => {
                self.alike(dtype, operands)?;
                kernel.run(operands)?
            }
            Some(tensors) => {
                let tensors = std::mem::take(&mut *tensors.lock().unwrap_or_else(PoisonError::into_inner));
                let locked: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
                let operands = locked.iter().map(|(storage, at)| operand(storage, at));
                let operands = operands.collect::<Result<Vec<_>>>()?;
                self.alike(dtype, &operands)?;
                kernel.run(&operands)?
            }
        };
        match results.into_iter().next_back() {
            Some(storage) => Ok((storage, self.shape.clone())),
            None => bail!("no result of `{}`", self.kernel),
        }
    }

    /// The kernel reads all operands as of one type.
    fn alike(&self, dtype: DType, operands: &[Operand]) -> Result<()> {
        match operands
            .iter()
            .map(|(held, _)| held.dtype())
            .find(|own| *own != dtype)
        {
            Some(other) => bail!("`{}` of {dtype:?} and {other:?}", self.kernel),
            None => Ok(()),
        }
    }

    fn on_cpu(&self, operands: &[Operand]) -> Result<(CpuStorage, Shape)> {
        match self.run(operands)? {
            (Storage::Cpu(storage), shape) => Ok((storage, shape)),
            _ => bail!("`{}` gave a result on another device", self.kernel),
        }
    }

    fn on_cuda(&self, operands: &[Operand]) -> Result<(CudaStorage, Shape)> {
        match self.run(operands)? {
            (Storage::Cuda(storage), shape) => Ok((storage, shape)),
            _ => bail!("`{}` gave a result on another device", self.kernel),
        }
    }

    fn gradients(&self, operands: &[&Tensor], gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        match &self.back {
            Some(back) => back(operands, &gradient.contiguous()?),
            None => bail!("`{}` has no gradient", self.kernel),
        }
    }
}

/// The gradients of those operands that want one.
pub(super) fn wanted(
    operands: &[&Tensor],
    gradients: [&dyn Fn() -> Result<Tensor>; 3],
) -> Result<Vec<Option<Tensor>>> {
    let of = |(operand, gradient): (&&Tensor, &dyn Fn() -> Result<Tensor>)| {
        operand.track_op().then(gradient).transpose()
    };
    operands.iter().zip(gradients).map(of).collect()
}

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        self.kernel
    }

    fn cpu_fwd(&self, x: &CpuStorage, at: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu(&[(Held::Cpu(x), at)])
    }

    fn cuda_fwd(&self, x: &CudaStorage, at: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda(&[(Held::Cuda(x), at)])
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.gradients(&[x], gradient)?.into_iter().next().flatten())
    }
}

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        self.kernel
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        y: &CpuStorage,
        y_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu(&[(Held::Cpu(x), x_at), (Held::Cpu(y), y_at)])
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_at: &Layout,
        y: &CudaStorage,
        y_at: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda(&[(Held::Cuda(x), x_at), (Held::Cuda(y), y_at)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut gradients = self.gradients(&[x, y], gradient)?.into_iter();
        Ok((gradients.next().flatten(), gradients.next().flatten()))
    }
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        self.kernel
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        y: &CpuStorage,
        y_at: &Layout,
        z: &CpuStorage,
        z_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.on_cpu(&[(Held::Cpu(x), x_at), (Held::Cpu(y), y_at), (Held::Cpu(z), z_at)])
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_at: &Layout,
        y: &CudaStorage,
        y_at: &Layout,
        z: &CudaStorage,
        z_at: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda(&[
            (Held::Cuda(x), x_at),
            (Held::Cuda(y), y_at),
            (Held::Cuda(z), z_at),
        ])
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        z: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut gradients = self.gradients(&[x, y, z], gradient)?.into_iter();
        let mut next = || gradients.next().flatten();
        Ok((next(), next(), next()))
    }
}
