//! Matrix products in less than full f32.

#[cfg(any(feature = "cuda", test))]
use candle_core::{DType, Layout, Storage};
use candle_core::{Result, Tensor, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(any(feature = "cuda", test))]
use super::launch::{Kernel, Operand, blocks, size};

/// In what the products of a training are computed on a GPU. Weights, and everything that is no product of a linear map or
/// a convolution, stay f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// Factors rounded to 10 bits of mantissa, sums in f32.
    Tf32,
    /// Factors rounded to bf16, sums in f32.
    Bf16,
}

/// `a b` of matrices `[m, k]` and `[k, n]`, or of as many `[c, m, k]` and `[c, k, n]`, either of which may be transposed in
/// memory; differentiable.
pub fn product(a: &Tensor, b: &Tensor, precision: Precision) -> Result<Tensor> {
    if precision == Precision::F32 || !a.device().is_cuda() {
        return a.matmul(b);
    }
    let sizes = match (a.dims(), b.dims()) {
        (&[m, k], &[inner, n]) if k == inner => [1, m, k, n],
        (&[count, m, k], &[same, inner, n]) if (count, k) == (same, inner) => [count, m, k, n],
        _ => bail!("a product of {:?} and {:?}", a.shape(), b.shape()),
    };
    reduced(a, b, precision, sizes)
}

/// A tensor's elements, in the order of memory, rounded to bf16: two to each element of the result (u32).
#[cfg(any(feature = "cuda", test))]
pub(super) fn halved((x, at): Operand) -> Result<Storage> {
    let count = at.shape().elem_count();
    let flat = Layout::contiguous_with_offset(count, at.start_offset());
    let kernel = Kernel {
        name: "to_bf16",
        blocks: blocks(count.div_ceil(2)),
        outputs: &[(DType::U32, count.div_ceil(2))],
        numbers: &[size(count)?],
    };
    match kernel.run(&[(x, &flat)])?.pop() {
        Some(pairs) => Ok(pairs),
        None => bail!("a kernel without a result"),
    }
}

#[cfg(not(feature = "cuda"))]
fn reduced(_: &Tensor, _: &Tensor, _: Precision, _: [usize; 4]) -> Result<Tensor> {
    bail!("this program was built without the feature `cuda`")
}

#[cfg(feature = "cuda")]
use cuda::reduced;

#[cfg(feature = "cuda")]
mod cuda {
    #![allow(unsafe_code)]

    use candle_core::cuda_backend::{CudaDevice, WrapErr};
    use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail};
    use cudarc::cublas::{result, sys};
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    use super::super::launch::Held;
    use super::{Precision, halved, product};

    struct Product {
        precision: Precision,
        /// How many, and their sizes m, k, n.
        sizes: [usize; 4],
    }

    pub(super) fn reduced(a: &Tensor, b: &Tensor, precision: Precision, sizes: [usize; 4]) -> Result<Tensor> {
        let plain = |x: &Tensor| match transposed(x.layout()) {
            Some(_) => Ok(x.clone()),
            None => x.contiguous(),
        };
        plain(a)?.apply_op2(&plain(b)?, Product { precision, sizes })
    }

    /// Whether matrices are transposed in memory; `None` where they are neither that nor contiguous.
    fn transposed(layout: &Layout) -> Option<bool> {
        let (dims, strides) = (layout.dims(), layout.stride());
        let first = dims.len().checked_sub(2)?;
        let (rows, columns) = (dims[first], dims[first + 1]);
        let lies = |row: usize, column: usize| {
            (rows == 1 || strides[first] == row) && (columns == 1 || strides[first + 1] == column)
        };
        if first == 1 && dims[0] > 1 && strides[0] != rows * columns {
            return None;
        }
        match (lies(columns, 1), lies(1, rows)) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            _ => None,
        }
    }

    impl CustomOp2 for Product {
        fn name(&self) -> &'static str {
            "product"
        }

        fn cpu_fwd(
            &self,
            _: &CpuStorage,
            _: &Layout,
            _: &CpuStorage,
            _: &Layout,
        ) -> Result<(CpuStorage, Shape)> {
            bail!("products in less than f32 are for GPUs")
        }

        fn cuda_fwd(
            &self,
            a: &CudaStorage,
            a_at: &Layout,
            b: &CudaStorage,
            b_at: &Layout,
        ) -> Result<(CudaStorage, Shape)> {
            let [count, m, _, n] = self.sizes;
            let y = multiplied(&a.device, (a, a_at), (b, b_at), self.sizes, self.precision)?;
            let shape = match a_at.dims().len() {
                2 => Shape::from((m, n)),
                _ => Shape::from((count, m, n)),
            };
            Ok((y, shape))
        }

        fn bwd(
            &self,
            a: &Tensor,
            b: &Tensor,
            _: &Tensor,
            gradient: &Tensor,
        ) -> Result<(Option<Tensor>, Option<Tensor>)> {
            let of_a = || product(gradient, &b.detach().t()?, self.precision);
            let of_b = || product(&a.detach().t()?, gradient, self.precision);
            Ok((
                a.track_op().then(of_a).transpose()?,
                b.track_op().then(of_b).transpose()?,
            ))
        }
    }

    /// cuBLAS reads matrices column by column: the row-major `y = a b` is its `y^T = b^T a^T`.
    fn multiplied(
        device: &CudaDevice,
        a: (&CudaStorage, &Layout),
        b: (&CudaStorage, &Layout),
        [count, m, k, n]: [usize; 4],
        precision: Precision,
    ) -> Result<CudaStorage> {
        // Factors in f32 and leave to compute in bf16 would not do: an H200 then computes in TF32.
        let (factors, compute) = match precision {
            Precision::F32 => (
                sys::cudaDataType_t::CUDA_R_32F,
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            ),
            Precision::Tf32 => (
                sys::cudaDataType_t::CUDA_R_32F,
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            ),
            Precision::Bf16 => (
                sys::cudaDataType_t::CUDA_R_16BF,
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            ),
        };
        let rounded = |(x, at): (&CudaStorage, &Layout)| match precision {
            Precision::Bf16 => halved((Held::Cuda(x), at)).map(Some),
            _ => Ok(None),
        };
        let (a_rounded, b_rounded) = (rounded(a)?, rounded(b)?);
        let number = |n: usize| i32::try_from(n).map_err(|_| candle_core::Error::msg("a matrix too large"));
        let operand = |layout: &Layout, rows: usize, columns: usize| {
            let flipped = transposed(layout) == Some(true);
            Ok::<_, candle_core::Error>(match flipped {
                false => (sys::cublasOperation_t::CUBLAS_OP_N, number(columns.max(1))?),
                true => (sys::cublasOperation_t::CUBLAS_OP_T, number(rows.max(1))?),
            })
        };
        let ((a_flip, a_rows), (b_flip, b_rows)) = (operand(a.1, m, k)?, operand(b.1, k, n)?);
        let (one, zero) = (1f32, 0f32);
        let stream = device.cuda_stream();
        // SAFETY: the product writes all of it.
        let mut y = unsafe { device.alloc::<f32>(count * m * n)? };
        {
            let factor = |(x, at): (&CudaStorage, &Layout), rounded: &Option<Storage>| {
                Ok::<_, candle_core::Error>(match rounded {
                    Some(Storage::Cuda(pairs)) => pairs.as_cuda_slice::<u32>()?.device_ptr(&stream).0,
                    _ => {
                        let whole = x.as_cuda_slice::<f32>()?;
                        whole.slice(at.start_offset()..).device_ptr(&stream).0
                    }
                })
            };
            let (a, b) = (factor(a, &a_rounded)?, factor(b, &b_rounded)?);
            let (y, _y) = y.device_ptr_mut(&stream);
            let apart = |size: usize| size as std::ffi::c_longlong;
            // SAFETY: matrices of these sizes, `count` of each one after the other, on this handle's device, leading
            // dimensions as laid out in memory; alpha and beta outlive the call, which reads them on the host.
            unsafe {
                result::gemm_strided_batched_ex(
                    *device.cublas_handle().handle(),
                    b_flip,
                    a_flip,
                    number(n)?,
                    number(m)?,
                    number(k)?,
                    (&raw const one).cast(),
                    b as *const _,
                    factors,
                    b_rows,
                    apart(k * n),
                    a as *const _,
                    factors,
                    a_rows,
                    apart(m * k),
                    (&raw const zero).cast(),
                    y as *mut _,
                    sys::cudaDataType_t::CUDA_R_32F,
                    number(n.max(1))?,
                    apart(m * n),
                    number(count)?,
                    compute,
                    sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
                )
            }
            .w()?;
        }
        Ok(CudaStorage::wrap_cuda_slice(y, device.clone()))
    }
}
