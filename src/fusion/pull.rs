//! Gradients behind a result whose own gradient is known.

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// The gradients of all variables behind `output`, given the gradient with respect to it; both of one shape.
///
/// Those of the sum of `output * slope`, without computing that sum or its way back.
pub(super) fn pull(output: &Tensor, slope: &Tensor) -> Result<GradStore> {
    output.apply_op1(Pull(slope.detach()))?.backward()
}

/// A number that nobody reads, with a gradient that is known.
struct Pull(Tensor);

type Storage<S> = <<S as BackendStorage>::Device as BackendDevice>::Storage;

fn zero<S: BackendStorage>(of: &S) -> Result<(Storage<S>, Shape)> {
    let scalar = Shape::from(());
    let zero = of.device().zeros_impl(&scalar, of.dtype())?;
    Ok((zero, scalar))
}

impl CustomOp1 for Pull {
    fn name(&self) -> &'static str {
        "pull"
    }

    fn cpu_fwd(&self, output: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        zero(output)
    }

    fn cuda_fwd(&self, output: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        zero(output)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}
