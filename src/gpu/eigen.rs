//! Eigenvectors of symmetric matrices by cuSOLVER.

use candle_core::{Result, Tensor};

/// Eigenvalues `[n]`, ascending, and eigenvectors of a symmetric matrix `[n, n]` (f64, on a GPU), one per row.
///
/// By cuSOLVER's divide and conquer with results that are the same in every run.
#[cfg(feature = "cuda")]
pub fn eigen(matrix: &Tensor) -> Result<(Tensor, Tensor)> {
    cuda::eigen(matrix)
}

/// Without the feature `cuda`: an error.
#[cfg(not(feature = "cuda"))]
pub fn eigen(_: &Tensor) -> Result<(Tensor, Tensor)> {
    candle_core::bail!("this program was built without the feature `cuda`")
}

#[cfg(feature = "cuda")]
mod cuda {
    #![allow(unsafe_code)]

    use candle_core::cuda_backend::WrapErr;
    use candle_core::op::BackpropOp;
    use candle_core::{CudaStorage, DType, Result, Storage, Tensor, bail};
    use cudarc::cusolver::safe::DnHandle;
    use cudarc::cusolver::sys;
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    fn checked(what: &str, status: sys::cusolverStatus_t) -> Result<()> {
        match status {
            sys::cusolverStatus_t::CUSOLVER_STATUS_SUCCESS => Ok(()),
            other => bail!("cuSOLVER: {what} failed: {other:?}"),
        }
    }

    pub(super) fn eigen(matrix: &Tensor) -> Result<(Tensor, Tensor)> {
        let n = matrix.dims2()?.0;
        if matrix.dims() != [n, n] || matrix.dtype() != DType::F64 || n == 0 {
            bail!("eigenvectors of {:?} in {:?}", matrix.shape(), matrix.dtype());
        }
        let size = i32::try_from(n).map_err(|_| candle_core::Error::msg("a matrix too large"))?;
        // The vectors take the place of a copy.
        let matrix = matrix.contiguous()?;
        let (storage, layout) = matrix.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            bail!("eigenvectors by cuSOLVER are for GPUs")
        };
        let device = storage.device.clone();
        let stream = device.cuda_stream();
        let start = layout.start_offset();
        let source = storage.as_cuda_slice::<f64>()?.slice(start..start + n * n);
        let mut vectors = stream.clone_dtod(&source).w()?;
        let mut values = device.alloc_zeros::<f64>(n)?;
        let mut info = device.alloc_zeros::<i32>(1)?;
        let solver = |error| candle_core::Error::msg(format!("cuSOLVER: {error:?}"));
        let handle = DnHandle::new(stream.clone()).map_err(solver)?;
        let (mode, triangle) = (
            sys::cusolverEigMode_t::CUSOLVER_EIG_MODE_VECTOR,
            sys::cublasFillMode_t::CUBLAS_FILL_MODE_LOWER,
        );
        let mut room = 0;
        {
            let (a, _a) = vectors.device_ptr(&stream);
            let (w, _w) = values.device_ptr(&stream);
            // SAFETY: a matrix of n x n and n values on the handle's device; `room` is written on the host.
            let status = unsafe {
                sys::cusolverDnDsyevd_bufferSize(
                    handle.cu(),
                    mode,
                    triangle,
                    size,
                    a as *const f64,
                    size,
                    w as *const f64,
                    &raw mut room,
                )
            };
            checked("sizing an eigen-decomposition", status)?;
        }
        let mut work = device.alloc_zeros::<f64>(room.max(1).cast_unsigned() as usize)?;
        {
            let (a, _a) = vectors.device_ptr_mut(&stream);
            let (w, _w) = values.device_ptr_mut(&stream);
            let (scratch, _scratch) = work.device_ptr_mut(&stream);
            let (i, _i) = info.device_ptr_mut(&stream);
            // SAFETY: as above, with as much scratch as was asked for, all on the handle's stream.
            let status = unsafe {
                sys::cusolverDnDsyevd(
                    handle.cu(),
                    mode,
                    triangle,
                    size,
                    a as *mut f64,
                    size,
                    w as *mut f64,
                    scratch as *mut f64,
                    room,
                    i as *mut i32,
                )
            };
            checked("an eigen-decomposition", status)?;
        }
        if let Some(problem) = device.clone_dtoh(&info)?.first().filter(|&&info| info != 0) {
            bail!("the eigen-decomposition of a {n} x {n} matrix did not converge ({problem})");
        }
        let tensor = |slice, shape: &[usize]| {
            let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(slice, device.clone()));
            Tensor::from_storage(storage, shape, BackpropOp::none(), false)
        };
        // Columns, one after the other: the rows of a row-major matrix.
        Ok((tensor(values, &[n]), tensor(vectors, &[n, n])))
    }
}
