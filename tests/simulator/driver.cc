// A driver (libcuda.so.1) whose GPU is the CPU: memory is memory, streams are done at once, kernels run on the emulator.
//
// SIMULATOR_DEVICES, how many GPUs there are (1 where it is not set); SIMULATOR_MEMORY, their bytes; SIMULATOR_FAIL_AFTER,
// after how many launches the device is lost.

#include "kernels.h"

#include <mutex>
#include <set>

std::map<std::string, Kernel> &kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

namespace {

enum { SUCCESS = 0, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, ECC = 214, NOT_FOUND = 500 };

typedef unsigned long long Pointer;

std::mutex lock;
std::map<Pointer, size_t> blocks;
size_t used = 0;
long launches = 0;

long number(const char *name, long otherwise) {
    const char *text = std::getenv(name);
    return text ? std::atol(text) : otherwise;
}
long devices() { return number("SIMULATOR_DEVICES", 1); }
size_t memory() { return number("SIMULATOR_MEMORY", 8l << 30); }

int allocate(Pointer *at, size_t bytes) {
    std::lock_guard<std::mutex> guard(lock);
    if (used + bytes > memory()) return OUT_OF_MEMORY;
    void *block = std::malloc(bytes + 1);
    // What nobody wrote is nonsense: NaN as f32 and f64.
    std::memset(block, 0xff, bytes);
    *at = reinterpret_cast<Pointer>(block);
    blocks[*at] = bytes;
    used += bytes;
    return SUCCESS;
}

int release(Pointer at) {
    std::lock_guard<std::mutex> guard(lock);
    auto found = blocks.find(at);
    if (found == blocks.end()) return at ? 1 : SUCCESS;
    used -= found->second;
    blocks.erase(found);
    std::free(reinterpret_cast<void *>(at));
    return SUCCESS;
}

// A copy has to lie within one block of the device.
bool inside(Pointer at, size_t bytes) {
    std::lock_guard<std::mutex> guard(lock);
    auto next = blocks.upper_bound(at);
    if (next == blocks.begin()) return bytes == 0;
    auto own = std::prev(next);
    return bytes == 0 || at + bytes <= own->first + own->second;
}

} // namespace

#define API extern "C" __attribute__((visibility("default"))) int

API cuInit(unsigned) { return devices() > 0 ? SUCCESS : NO_DEVICE; }
API cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
API cuDeviceGetCount(int *count) { return *count = devices(), SUCCESS; }
API cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal < devices() ? SUCCESS : INVALID_DEVICE;
}
API cuDeviceGetName(char *name, int length, int) {
    std::snprintf(name, length, "Simulated GPU");
    return SUCCESS;
}
API cuDeviceGetUuid_v2(char *uuid, int) { return std::memset(uuid, 0, 16), SUCCESS; }
API cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = memory(), SUCCESS; }
API cuDeviceGetAttribute(int *value, int attribute, int) {
    switch (attribute) {
    case 75: *value = 9; break;  // compute capability, major
    case 76: *value = 0; break;  // minor
    case 115: *value = 1; break; // memory pools
    default: *value = 1;
    }
    return SUCCESS;
}
API cuDevicePrimaryCtxRetain(void **context, int) { return *context = &lock, SUCCESS; }
API cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
API cuCtxSetCurrent(void *) { return SUCCESS; }
API cuCtxGetCurrent(void **context) { return *context = &lock, SUCCESS; }
API cuCtxSynchronize() { return SUCCESS; }
API cuCtxPushCurrent_v2(void *) { return SUCCESS; }
API cuCtxPopCurrent_v2(void **) { return SUCCESS; }
API cuMemGetInfo_v2(size_t *available, size_t *total) {
    std::lock_guard<std::mutex> guard(lock);
    *total = memory();
    *available = *total - used;
    return SUCCESS;
}
API cuMemAlloc_v2(Pointer *at, size_t bytes) { return allocate(at, bytes); }
API cuMemAllocAsync(Pointer *at, size_t bytes, void *) { return allocate(at, bytes); }
API cuDeviceGetMemPool(void **pool, int) { return *pool = &lock, SUCCESS; }
API cuMemPoolSetAttribute(void *, int, void *) { return SUCCESS; }
API cuMemPoolGetAttribute(void *, int, void *value) { return *static_cast<unsigned long long *>(value) = 0, SUCCESS; }
API cuMemPoolTrimTo(void *, size_t) { return SUCCESS; }
API cuMemFree_v2(Pointer at) { return release(at); }
API cuMemFreeAsync(Pointer at, void *) { return release(at); }
static int copied(void *to, const void *from, size_t bytes, Pointer device, Pointer other) {
    if (!inside(device, bytes) || (other && !inside(other, bytes))) return 1;
    std::memcpy(to, from, bytes);
    return SUCCESS;
}
API cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t bytes, void *) {
    return copied(reinterpret_cast<void *>(to), from, bytes, to, 0);
}
API cuMemcpyHtoD_v2(Pointer to, const void *from, size_t bytes) {
    return copied(reinterpret_cast<void *>(to), from, bytes, to, 0);
}
API cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t bytes, void *) {
    return copied(to, reinterpret_cast<void *>(from), bytes, from, 0);
}
API cuMemcpyDtoH_v2(void *to, Pointer from, size_t bytes) {
    return copied(to, reinterpret_cast<void *>(from), bytes, from, 0);
}
API cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t bytes, void *) {
    return copied(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes, to, from);
}
API cuMemcpyDtoD_v2(Pointer to, Pointer from, size_t bytes) {
    return copied(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes, to, from);
}
API cuMemsetD8Async(Pointer at, unsigned char value, size_t bytes, void *) {
    if (!inside(at, bytes)) return 1;
    std::memset(reinterpret_cast<void *>(at), value, bytes);
    return SUCCESS;
}
API cuMemsetD8_v2(Pointer at, unsigned char value, size_t bytes) { return cuMemsetD8Async(at, value, bytes, nullptr); }
API cuMemHostAlloc(void **at, size_t bytes, unsigned) { return *at = std::malloc(bytes), SUCCESS; }
API cuMemFreeHost(void *at) { return std::free(at), SUCCESS; }
API cuStreamCreate(void **stream, unsigned) { return *stream = new char, SUCCESS; }
API cuStreamDestroy_v2(void *stream) { return delete static_cast<char *>(stream), SUCCESS; }
API cuStreamSynchronize(void *) { return SUCCESS; }
API cuStreamWaitEvent(void *, void *, unsigned) { return SUCCESS; }
API cuStreamIsCapturing(void *, int *status) { return *status = 0, SUCCESS; }
API cuEventCreate(void **event, unsigned) { return *event = new char, SUCCESS; }
API cuEventDestroy_v2(void *event) { return delete static_cast<char *>(event), SUCCESS; }
API cuEventRecord(void *, void *) { return SUCCESS; }
API cuEventSynchronize(void *) { return SUCCESS; }
API cuEventQuery(void *) { return SUCCESS; }

// A module is the set of names of its PTX; functions are looked up there first, so that a kernel that the sources lack, or
// NVRTC did not compile, is not found here either.
struct Module {
    std::set<std::string> names;
};
API cuModuleLoadData(Module **module, const void *image) {
    *module = new Module;
    const std::string ptx = static_cast<const char *>(image);
    for (size_t at = 0; (at = ptx.find(".entry ", at)) != std::string::npos;) {
        at += 7;
        (*module)->names.insert(ptx.substr(at, ptx.find('(', at) - at));
    }
    return SUCCESS;
}
API cuModuleUnload(Module *module) { return delete module, SUCCESS; }
API cuModuleGetFunction(void **function, Module *module, const char *name) {
    auto found = kernels().find(name);
    if (!module->names.count(name) || found == kernels().end()) {
        std::fprintf(stderr, "the simulated GPU has no kernel `%s`\n", name);
        return NOT_FOUND;
    }
    *function = &found->second;
    return SUCCESS;
}
API cuFuncGetAttribute(int *value, int, void *) { return *value = 1024, SUCCESS; }
API cuFuncSetAttribute(void *, int, int) { return SUCCESS; }
API cuLaunchKernel(Kernel *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                   void *, void **arguments, void **) {
    // As hardware refuses them.
    if (gx == 0 || gy == 0 || gz == 0 || gx > 0x7fffffff || gy > 65535 || gz > 65535 || bx * by * bz > 1024) return 1;
    static std::mutex one_at_a_time;
    std::lock_guard<std::mutex> guard(one_at_a_time);
    const long limit = number("SIMULATOR_FAIL_AFTER", -1);
    if (limit >= 0 && launches++ >= limit) return ECC;
    kernel->run({gx, gy, gz}, {bx, by, bz}, arguments);
    return SUCCESS;
}

static const char *name_of(int error) {
    switch (error) {
    case SUCCESS: return "CUDA_SUCCESS";
    case OUT_OF_MEMORY: return "CUDA_ERROR_OUT_OF_MEMORY";
    case NO_DEVICE: return "CUDA_ERROR_NO_DEVICE";
    case INVALID_DEVICE: return "CUDA_ERROR_INVALID_DEVICE";
    case ECC: return "CUDA_ERROR_ECC_UNCORRECTABLE";
    case NOT_FOUND: return "CUDA_ERROR_NOT_FOUND";
    default: return "CUDA_ERROR_INVALID_VALUE";
    }
}
API cuGetErrorName(int error, const char **text) { return *text = name_of(error), SUCCESS; }
API cuGetErrorString(int error, const char **text) { return *text = name_of(error), SUCCESS; }
