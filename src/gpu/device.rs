//! Opening devices, and what drivers say.

use candle_core::Device;

/// A GPU that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// As NVIDIA names it, for example `NVIDIA H200`.
    pub name: String,
    /// Bytes of memory.
    pub memory: usize,
    /// Compute capability.
    pub capability: (i32, i32),
}

/// A device's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What no process uses.
    pub free: usize,
    /// All of it.
    pub total: usize,
}

/// A GPU cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// The program has no CUDA.
    #[error("this program was built without CUDA")]
    NotBuilt,
    /// There is no driver, or none that fits.
    #[error("NVIDIA's driver cannot be used: {0}")]
    Driver(String),
    /// A driver, but nothing to drive.
    #[error("there is no NVIDIA GPU on this machine, or none that this process may use")]
    NoDevice,
    /// Fewer GPUs than that.
    #[error("there is no GPU {index}: this machine has {}", .count.checked_sub(1).filter(|last| *last > 0).map_or_else(|| "one GPU, number 0".to_string(), |last| format!("GPUs 0 to {last}")))]
    NoSuch {
        /// The number asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The driver refused it.
    #[error("GPU {index} cannot be used: {problem}")]
    Refused {
        /// The number asked for.
        index: usize,
        /// What the driver said.
        problem: String,
    },
}

impl GpuError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotBuilt => "build with `--features cuda` (see `scripts/cuda.sh`), or use `--device cpu`",
            Self::Driver(_) => {
                "`nvidia-smi` tells whether a driver is loaded and which CUDA it supports; or use `--device cpu`"
            }
            Self::NoDevice => {
                "`nvidia-smi` lists GPUs; CUDA_VISIBLE_DEVICES may hide them; or use `--device cpu`"
            }
            Self::NoSuch { .. } => "choose one of them with `--device cuda:N`",
            Self::Refused { .. } => {
                "`nvidia-smi` tells whether another process has it for itself, and how much memory is free"
            }
        }
    }
}

/// Opens a GPU. All work of one device goes to one stream, whichever thread asks for it.
#[cfg(feature = "cuda")]
pub fn open(index: usize) -> Result<(Device, Info), GpuError> {
    cuda::open(index)
}

/// Opens a GPU.
///
/// # Errors
/// Without the feature `cuda`: always.
#[cfg(not(feature = "cuda"))]
pub fn open(_: usize) -> Result<(Device, Info), GpuError> {
    Err(GpuError::NotBuilt)
}

/// The memory of a GPU; `None` for the CPU, and where the driver does not tell.
#[cfg_attr(not(feature = "cuda"), allow(unused_variables, clippy::missing_const_for_fn))]
pub fn memory(device: &Device) -> Option<Memory> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        let stream = device.cuda_stream();
        let (free, total) = stream.context().mem_get_info().ok()?;
        let kept = super::memory::unused(stream.context()).unwrap_or(0);
        return Some(Memory {
            free: free + kept,
            total,
        });
    }
    None
}

/// Compiles the kernels for a device, which otherwise happens when the first is launched.
pub fn check_kernels(device: &Device) -> candle_core::Result<()> {
    let zero = candle_core::Tensor::zeros(1, candle_core::DType::F32, device)?;
    super::conductance(&zero, &zero, &zero, &zero).map(|_| ())
}

/// Whether an error, or one behind it, says that a GPU's memory is used up.
pub fn is_out_of_memory(error: &(dyn std::error::Error + 'static)) -> bool {
    const CODES: [&str; 3] = [
        "CUDA_ERROR_OUT_OF_MEMORY",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CUSOLVER_STATUS_ALLOC_FAILED",
    ];
    names_any(error, &CODES)
}

/// Whether an error, or one behind it, says that a GPU does not answer any more, or that what it did is lost.
pub fn is_lost(error: &(dyn std::error::Error + 'static)) -> bool {
    const CODES: [&str; 9] = [
        "CUDA_ERROR_DEVICE_UNAVAILABLE",
        "CUDA_ERROR_ECC_UNCORRECTABLE",
        "CUDA_ERROR_NVLINK_UNCORRECTABLE",
        "CUDA_ERROR_HARDWARE_STACK_ERROR",
        "CUDA_ERROR_ILLEGAL_ADDRESS",
        "CUDA_ERROR_LAUNCH_FAILED",
        "CUDA_ERROR_LAUNCH_TIMEOUT",
        "CUDA_ERROR_CONTEXT_IS_DESTROYED",
        "CUDA_ERROR_UNKNOWN",
    ];
    names_any(error, &CODES)
}

/// Errors of the driver come as text through candle.
fn names_any(error: &(dyn std::error::Error + 'static), codes: &[&str]) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let text = error.to_string();
        codes.iter().any(|code| text.contains(code))
    })
}

#[cfg(feature = "cuda")]
mod cuda {
    #![allow(unsafe_code)]

    use std::panic::catch_unwind;

    use candle_core::{CudaDevice, Device};
    use cudarc::driver::sys::CUresult;
    use cudarc::driver::{CudaContext, DriverError};

    use super::super::memory;
    use super::{GpuError, Info};

    fn text(error: &DriverError) -> String {
        match (error.error_name(), error.error_string()) {
            (Ok(name), Ok(what)) => format!("{} ({})", what.to_string_lossy(), name.to_string_lossy()),
            _ => format!("{error:?}"),
        }
    }

    fn of_driver(error: &DriverError) -> GpuError {
        match error.0 {
            CUresult::CUDA_ERROR_NO_DEVICE => GpuError::NoDevice,
            _ => GpuError::Driver(text(error)),
        }
    }

    pub(super) fn open(index: usize) -> Result<(Device, Info), GpuError> {
        let count = CudaContext::device_count().map_err(|error| of_driver(&error))?;
        let count = usize::try_from(count).unwrap_or(0);
        match count {
            0 => return Err(GpuError::NoDevice),
            count if index >= count => return Err(GpuError::NoSuch { index, count }),
            _ => {}
        }
        let refused = |problem: String| GpuError::Refused { index, problem };
        let of_candle = |error: candle_core::Error| refused(error.to_string());
        // cudarc panics where a library that it needs is not what it expects.
        let opened = catch_unwind(|| CudaDevice::new_with_stream(index));
        let device = opened
            .map_err(|_| refused("a library of CUDA does not fit this program".into()))?
            .map_err(of_candle)?;
        // SAFETY: all work of this device is on this one stream, which orders it: the two events that cudarc would make and
        // record for every tensor order nothing more, and cost several launches.
        unsafe { device.disable_event_tracking() };
        let context = device.cuda_stream().context().clone();
        let of_driver = |error: DriverError| refused(text(&error));
        memory::keep_freed(&context).map_err(of_driver)?;
        let info = Info {
            name: context.name().map_err(of_driver)?,
            memory: context.total_mem().map_err(of_driver)?,
            capability: context.compute_capability().map_err(of_driver)?,
        };
        Ok((Device::Cuda(device), info))
    }
}
