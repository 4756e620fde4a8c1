//! How much of a GPU's memory one step takes, and what is done with freed memory. A job that runs out of it runs once more,
//! on half of the chunks.

use std::cell::Cell;

use candle_core::Device;

thread_local! {
    static DIVISOR: Cell<usize> = const { Cell::new(1) };
}

/// `n` samples or elements at a time, or half as many within [`halved`]; at least 1.
pub fn chunk(n: usize) -> usize {
    (n / DIVISOR.get()).max(1)
}

/// Runs `work` with half of every [`chunk`].
pub fn halved<R>(work: impl FnOnce() -> R) -> R {
    let before = DIVISOR.replace(2 * DIVISOR.get());
    let result = work();
    DIVISOR.set(before);
    result
}

/// Gives the memory that tensors left back to the device, for other processes; a pool keeps it until then.
#[cfg_attr(not(feature = "cuda"), allow(unused_variables, clippy::missing_const_for_fn))]
pub fn give_back(device: &Device) {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        // A device that is lost says so at the next work. What is still to be done may use what was freed.
        let _ = device.cuda_stream().synchronize();
        let _ = pool::trim(device.cuda_stream().context());
    }
}

#[cfg(feature = "cuda")]
pub(super) use pool::{keep_freed, unused};

#[cfg(feature = "cuda")]
mod pool {
    #![allow(unsafe_code)]

    use cudarc::driver::result::{device, mem_pool};
    use cudarc::driver::sys::CUmemPool_attribute;
    use cudarc::driver::{CudaContext, DriverError};

    /// Freed memory stays with the pool that tensors come from. Without this the driver gives it back whenever the program
    /// waits for the device, once a batch, and maps it anew, which takes longer than a step.
    pub(in crate::gpu) fn keep_freed(context: &CudaContext) -> Result<(), DriverError> {
        if !context.has_async_alloc() {
            return Ok(());
        }
        let mut all = u64::MAX;
        // SAFETY: a device that is open, its own pool, and a number as wide as the attribute.
        unsafe {
            let pool = device::get_mem_pool(context.cu_device())?;
            let threshold = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            mem_pool::set_attribute(pool, threshold, (&raw mut all).cast())
        }
    }

    /// Bytes that the pool keeps for the next tensors.
    pub(in crate::gpu) fn unused(context: &CudaContext) -> Result<usize, DriverError> {
        if !context.has_async_alloc() {
            return Ok(0);
        }
        let attribute = |which| {
            let mut bytes = 0u64;
            // SAFETY: as above.
            unsafe {
                let pool = device::get_mem_pool(context.cu_device())?;
                mem_pool::get_attribute(pool, which, (&raw mut bytes).cast())?;
            }
            Ok(bytes as usize)
        };
        let reserved = attribute(CUmemPool_attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        Ok(reserved.saturating_sub(attribute(CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?))
    }

    pub(super) fn trim(context: &CudaContext) -> Result<(), DriverError> {
        if !context.has_async_alloc() {
            return Ok(());
        }
        context.bind_to_thread()?;
        // SAFETY: a device that is open, and its own pool.
        unsafe { mem_pool::trim_to(device::get_mem_pool(context.cu_device())?, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_halved_within() {
        assert_eq!(chunk(250), 250);
        assert_eq!(halved(|| (chunk(250), chunk(1))), (125, 1));
        assert_eq!(chunk(250), 250);
    }
}
