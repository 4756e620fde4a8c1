// Runs kernels' sources on the CPU: blocks one after the other, the threads of a block as fibres that barriers switch
// between. What a kernel computes, and which elements it touches, is what a GPU would; in what order threads run is not.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include <ucontext.h>

#define __global__
#define __device__ static inline
#define __shared__ static thread_local

namespace emulator {

struct Index {
    unsigned x, y, z;
};

// Who waits for whom: a block, or a warp of 32 threads.
struct Barrier {
    unsigned members = 0, arrived = 0, generation = 0;

    void release_if_all_arrived() {
        if (members == 0 || arrived < members) return;
        arrived = 0;
        generation++;
    }
};

// The fibres of a block; not active while threads run to their end one after the other.
struct Fibres {
    std::vector<ucontext_t> contexts;
    std::vector<bool> done;
    std::vector<char> stacks;
    std::vector<Barrier> warps;
    std::vector<double> exchanged;
    Barrier block;
    ucontext_t scheduler;
    void (*body)(void *) = nullptr;
    void *argument = nullptr;
    unsigned current = 0;
    bool active = false, met_barrier = false;
};

inline thread_local Fibres fibres;
inline thread_local Index thread, block, block_size, grid_size;

const size_t STACK = 64 * 1024;

inline void wait(Barrier &barrier) {
    Fibres &f = fibres;
    if (!f.active) {
        std::fputs("a barrier in a kernel whose first block had none\n", stderr);
        std::abort();
    }
    f.met_barrier = true;
    const unsigned generation = barrier.generation, self = f.current;
    barrier.arrived++;
    barrier.release_if_all_arrived();
    while (barrier.generation == generation) swapcontext(&f.contexts[self], &f.scheduler);
}

// The value of lane `lane ^ mask` of this thread's warp.
template <class T> T exchange(T value, unsigned mask) {
    Fibres &f = fibres;
    static_assert(sizeof(T) <= sizeof(double), "an exchange of at most eight bytes");
    const unsigned self = f.current;
    if (f.active && f.done[self ^ mask]) {
        std::fputs("an exchange with a thread that has ended\n", stderr);
        std::abort();
    }
    if (f.active) std::memcpy(&f.exchanged[self], &value, sizeof value);
    wait(f.warps[self / 32]);
    T other;
    std::memcpy(&other, &f.exchanged[self ^ mask], sizeof other);
    wait(f.warps[self / 32]);
    return other;
}

inline void fibre() {
    Fibres &f = fibres;
    f.body(f.argument);
    const unsigned self = f.current;
    f.done[self] = true;
    // Those that wait do not wait for a thread that has ended.
    for (Barrier *barrier : {&f.block, &f.warps[self / 32]}) {
        barrier->members--;
        barrier->release_if_all_arrived();
    }
    swapcontext(&f.contexts[self], &f.scheduler);
}

inline Index place(unsigned t) {
    return {t % block_size.x, t / block_size.x % block_size.y, t / (block_size.x * block_size.y)};
}

inline void block_with_barriers(unsigned threads) {
    Fibres &f = fibres;
    f.contexts.resize(threads);
    f.stacks.resize(threads * STACK);
    f.done.assign(threads, false);
    f.exchanged.resize(threads + 32);
    f.block = {threads, 0, 0};
    f.warps.assign((threads + 31) / 32, {});
    for (unsigned t = 0; t < threads; t++) f.warps[t / 32].members++;
    f.active = true;
    for (unsigned t = 0; t < threads; t++) {
        getcontext(&f.contexts[t]);
        f.contexts[t].uc_stack.ss_sp = f.stacks.data() + t * STACK;
        f.contexts[t].uc_stack.ss_size = STACK;
        f.contexts[t].uc_link = nullptr;
        makecontext(&f.contexts[t], fibre, 0);
    }
    for (bool some = true; some;) {
        some = false;
        for (unsigned t = 0; t < threads; t++) {
            if (f.done[t]) continue;
            f.current = t;
            thread = place(t);
            swapcontext(&f.scheduler, &f.contexts[t]);
            some |= !f.done[t];
        }
    }
    f.active = false;
}

// Fibres are dear: a kernel whose first block met no barrier has none from then on.
inline thread_local std::set<void *> without_barriers;

inline void launch(void *kernel, Index blocks, Index threads, void (*body)(void *), void *argument) {
    bool plain = without_barriers.count(kernel) > 0;
    fibres.body = body;
    fibres.argument = argument;
    fibres.met_barrier = false;
    grid_size = blocks;
    block_size = threads;
    const unsigned all = threads.x * threads.y * threads.z;
    for (unsigned z = 0; z < blocks.z; z++)
        for (unsigned y = 0; y < blocks.y; y++)
            for (unsigned x = 0; x < blocks.x; x++) {
                block = {x, y, z};
                if (!plain) {
                    block_with_barriers(all);
                    plain = !fibres.met_barrier;
                    if (plain) without_barriers.insert(kernel);
                    continue;
                }
                for (unsigned t = 0; t < all; t++) {
                    thread = place(t);
                    body(argument);
                }
            }
}

template <class... A, size_t... I> void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A *>(arguments[I])...);
}

template <class... A> struct Call {
    void (*kernel)(A...);
    void **arguments;
};

template <class... A> void run(void (*kernel)(A...), Index blocks, Index threads, void **arguments) {
    Call<A...> it{kernel, arguments};
    launch(
        reinterpret_cast<void *>(kernel), blocks, threads,
        [](void *it) {
            auto *own = static_cast<Call<A...> *>(it);
            call(own->kernel, own->arguments, std::index_sequence_for<A...>{});
        },
        &it);
}

} // namespace emulator

#define threadIdx emulator::thread
#define blockIdx emulator::block
#define blockDim emulator::block_size
#define gridDim emulator::grid_size

static inline void __syncthreads() { emulator::wait(emulator::fibres.block); }
static inline void __syncwarp(unsigned = 0) { emulator::wait(emulator::fibres.warps[emulator::fibres.current / 32]); }
template <class T> T __shfl_xor_sync(unsigned, T value, int mask, int = 32) { return emulator::exchange(value, mask); }
