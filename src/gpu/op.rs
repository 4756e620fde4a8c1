//! A launch as an operation of candle's: one result, with a gradient where there is a way back.

use std::sync::Arc;

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Storage, Tensor, bail,
};

use super::launch::{Held, Kernel, Number, Operand, blocks, by_dtype};

/// The gradients of the operands from the operands and the result's gradient.
type Back = dyn Fn(&[&Tensor], &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// A thread per element of the result, which has the type of the operands.
#[derive(Clone)]
pub(super) struct Op {
    kernel: &'static str,
    shape: Shape,
    numbers: Vec<Number>,
    back: Option<Arc<Back>>,
}

impl Op {
    /// The kernel of this name for the operands' type; its first number is the number of elements.
    pub fn new(kernel: &'static str, shape: impl Into<Shape>, numbers: Vec<Number>) -> Self {
        Self {
            kernel,
            shape: shape.into(),
            numbers,
            back: None,
        }
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

    fn run(&self, operands: &[Operand]) -> Result<(Storage, Shape)> {
        let dtype = match operands.first() {
            Some((Held::Cpu(storage), _)) => candle_core::backend::BackendStorage::dtype(*storage),
            Some((Held::Cuda(storage), _)) => candle_core::backend::BackendStorage::dtype(*storage),
            None => DType::F32,
        };
        let count = self.shape.elem_count();
        let mut numbers = vec![super::launch::size(count)?];
        numbers.extend(&self.numbers);
        let kernel = Kernel {
            name: &by_dtype(self.kernel, dtype)?,
            blocks: blocks(count),
            outputs: &[(dtype, count)],
            numbers: &numbers,
        };
        match kernel.run(operands)?.pop() {
            Some(storage) => Ok((storage, self.shape.clone())),
            None => bail!("no result of `{}`", self.kernel),
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
