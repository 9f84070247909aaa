/*
 * The machine of tests/simt/include/cuda_runtime.h: threads of a block are
 * fibers that give way at barriers and warp exchanges.
 *
 *   TKP_SIMT_ORDER=forward|backward|mixed   who goes first between barriers; a
 *   result that depends on it misses a barrier
 */

#include <cuda_runtime.h>

#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/common_interface_defs.h>
#endif

namespace ctx = boost::context;

namespace simt
{

thread *self;

namespace
{

enum { max_threads = 1024, stack_bytes = 64 << 10, warp = 32 };
enum { shared_bytes = 227 << 10 };

enum class state { ready, at_block, at_warp, ended };

struct fiber {
    thread identity;
    state where = state::ended;
    ctx::fiber body; /* where it goes on */
    ctx::fiber back; /* where it gives way to */
    unsigned mask = 0;
    bool made = false;
    const void *stack_low = nullptr;
};

struct warp_state {
    uint64_t given[2][warp];
    unsigned arrived;
    unsigned turn; /* which of the two buffers is being filled */
};

struct machine {
    std::mutex lock;
    std::vector<fiber> fibers{max_threads};
    std::vector<warp_state> warps{max_threads / warp};
    std::vector<unsigned> order;
    unsigned threads = 0;
    unsigned running = 0; /* index of the fiber that runs */
    void (*body)(void *) = nullptr;
    void *user = nullptr;
    size_t shared_limit = 48 << 10;
    alignas(64) unsigned char shared[shared_bytes];
};

machine *the_machine()
{
    static machine *m = new machine; /* fibers must outlive static objects */
    return m;
}

[[noreturn]] void die(const char *what)
{
    const thread *t = self;
    fprintf(
        stderr, "simt: %s (block %u,%u,%u thread %u,%u,%u)\n", what, t->block.x,
        t->block.y, t->block.z, t->index.x, t->index.y, t->index.z);
    abort();
}

void switch_begins(const void *stack, size_t bytes, void **fake)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fake, stack, bytes);
#else
    (void)stack, (void)bytes, (void)fake;
#endif
}
void switch_ends(void *fake, const void **stack, size_t *bytes)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, stack, bytes);
#else
    (void)fake, (void)stack, (void)bytes;
#endif
}

const void *main_stack;
size_t main_stack_bytes;

/* Out of a fiber, into the scheduler; comes back when it is this one's turn. */
void give_way(state where)
{
    machine *m = the_machine();
    fiber &f = m->fibers[m->running];
    f.where = where;
    void *fake = nullptr;
    switch_begins(main_stack, main_stack_bytes, &fake);
    f.back = std::move(f.back).resume();
    switch_ends(fake, &main_stack, &main_stack_bytes);
}

/* One fiber serves many threads, block after block. */
ctx::fiber serve(ctx::fiber &&scheduler)
{
    machine *m = the_machine();
    fiber &f = m->fibers[m->running];
    switch_ends(nullptr, &main_stack, &main_stack_bytes);
    f.back = std::move(scheduler);
    for (;;) {
        m->body(m->user);
        give_way(state::ended);
    }
}

void make(fiber &f)
{
    ctx::fixedsize_stack allocator(stack_bytes);
    ctx::stack_context stack = allocator.allocate();
    f.stack_low = (const char *)stack.sp - stack.size;
    f.body = ctx::fiber(
        std::allocator_arg, ctx::preallocated(stack.sp, stack.size, stack),
        allocator, serve);
    f.made = true;
}

void step(machine *m, unsigned i)
{
    fiber &f = m->fibers[i];
    if (!f.made) {
        m->running = i;
        make(f);
    }
    m->running = i;
    self = &f.identity;
    void *fake = nullptr;
    switch_begins(f.stack_low, stack_bytes, &fake);
    f.body = std::move(f.body).resume();
    switch_ends(fake, nullptr, nullptr);
}

void free_block(machine *m)
{
    for (unsigned i = 0; i < m->threads; i++)
        if (m->fibers[i].where == state::at_block)
            m->fibers[i].where = state::ready;
}

/* Threads in the order in which they get their turns. */
void set_order(machine *m)
{
    const char *wanted = getenv("TKP_SIMT_ORDER");
    const bool backward = wanted && !strcmp(wanted, "backward");
    const bool mixed = wanted && !strcmp(wanted, "mixed");
    m->order.resize(m->threads);
    for (unsigned i = 0; i < m->threads; i++)
        m->order[i] = backward ? m->threads - 1 - i : i;
    uint64_t x = 88172645463325252u;
    for (unsigned i = m->threads; mixed && i > 1; i--) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        std::swap(m->order[i - 1], m->order[x % i]);
    }
}

void run_block(machine *m)
{
    memset(m->warps.data(), 0, sizeof(warp_state) * m->warps.size());
    /* Nothing may count on what shared memory holds. */
    memset(m->shared, 0xa5, m->shared_limit);
    for (unsigned i = 0; i < m->threads; i++)
        m->fibers[i].where = state::ready;
    for (;;) {
        unsigned ended = 0, at_block = 0, moved = 0;
        for (unsigned i : m->order) {
            if (m->fibers[i].where == state::ready) {
                step(m, i);
                moved++;
            }
            ended += m->fibers[i].where == state::ended;
            at_block += m->fibers[i].where == state::at_block;
        }
        if (ended == m->threads)
            return;
        if (ended + at_block == m->threads)
            free_block(m);
        else if (!moved)
            die("a barrier that not all threads of the block or lanes of the "
                "warp reach");
    }
}

} // namespace

unsigned lane()
{
    return the_machine()->running % warp;
}

void *shared_memory()
{
    return the_machine()->shared;
}

void block_barrier()
{
    give_way(state::at_block);
}

const uint64_t *warp_exchange(unsigned mask, uint64_t value)
{
    machine *m = the_machine();
    const unsigned i = m->running, own = i % warp, first = i - own;
    warp_state &w = m->warps[i / warp];
    if (!(mask >> own & 1u))
        die("a lane that its mask leaves out");
    for (unsigned l = 0; l < warp; l++)
        if ((mask >> l & 1u) && first + l >= m->threads)
            die("a mask that names lanes that are not there");
    const unsigned turn = w.turn;
    w.given[turn][own] = value;
    w.arrived |= 1u << own;
    m->fibers[i].mask = mask;
    if ((w.arrived & mask) == mask) {
        for (unsigned l = 0; l < warp; l++)
            if ((mask >> l & 1u) && l != own) {
                if (m->fibers[first + l].mask != mask)
                    die("lanes that meet with different masks");
                m->fibers[first + l].where = state::ready;
            }
        w.arrived &= ~mask;
        w.turn = 1 - turn;
    } else {
        give_way(state::at_warp);
    }
    return w.given[turn];
}

/* --- device memory: out of reach but in kernels and copies ------------------- */

namespace
{

struct arena {
    std::mutex lock;
    char *base = nullptr;
    size_t bytes = (size_t)8 << 30; /* addresses, not memory */
    std::map<size_t, size_t> used;  /* offset, size */
    int open = 0;
};

arena *the_arena()
{
    static arena *a = [] {
        arena *made = new arena;
        void *p = mmap(
            nullptr, made->bytes, PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            abort();
        made->base = (char *)p;
        return made;
    }();
    return a;
}

size_t arena_end(const arena *a)
{
    if (a->used.empty())
        return 0;
    return (a->used.rbegin()->first + a->used.rbegin()->second + 4095) &
           ~4095ul;
}

/* While one lives, device memory can be touched. */
struct opened {
    opened()
    {
        arena *a = the_arena();
        std::lock_guard<std::mutex> hold(a->lock);
        if (a->open++ == 0 && arena_end(a))
            mprotect(a->base, arena_end(a), PROT_READ | PROT_WRITE);
    }
    ~opened()
    {
        arena *a = the_arena();
        std::lock_guard<std::mutex> hold(a->lock);
        if (--a->open == 0 && arena_end(a))
            mprotect(a->base, arena_end(a), PROT_NONE);
    }
};

bool on_device(const void *p)
{
    const arena *a = the_arena();
    return (const char *)p >= a->base && (const char *)p < a->base + a->bytes;
}

} // namespace

void launch(
    dim3 grid,
    dim3 block,
    size_t shared,
    void (*body)(void *),
    void *user)
{
    machine *m = the_machine();
    std::lock_guard<std::mutex> hold(m->lock);
    opened memory;
    m->threads = block.x * block.y * block.z;
    m->body = body;
    m->user = user;
    (void)shared;
    set_order(m);
    for (unsigned i = 0; i < m->threads; i++) {
        thread &t = m->fibers[i].identity;
        t.index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
        t.block_size = block;
        t.grid_size = grid;
    }
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                for (unsigned i = 0; i < m->threads; i++)
                    m->fibers[i].identity.block = {x, y, z};
                run_block(m);
            }
}

} // namespace simt

/* --- the runtime ------------------------------------------------------------------ */

static thread_local cudaError_t last_error = cudaSuccess;

static cudaError_t fail(cudaError_t error)
{
    last_error = error;
    return error;
}

extern "C" {

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    default:
        return "invalid device ordinal";
    }
}
cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}
cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}
cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : fail(cudaErrorInvalidDevice);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device)
{
    if (device != 0)
        return fail(cudaErrorInvalidDevice);
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "threads as fibers");
    out->major = 9;
    out->multiProcessorCount = 4;
    out->totalGlobalMem = (size_t)8 << 30;
    out->sharedMemPerBlock = 48 << 10;
    out->sharedMemPerBlockOptin = simt::shared_bytes;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 0;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 0;
    return cudaSuccess;
}

cudaError_t
cudaPointerGetAttributes(cudaPointerAttributes *out, const void *memory)
{
    out->type = simt::on_device(memory) ? cudaMemoryTypeDevice
                                        : cudaMemoryTypeUnregistered;
    out->device = 0;
    return cudaSuccess;
}
cudaError_t cudaMalloc(void **out, size_t bytes)
{
    simt::arena *a = simt::the_arena();
    std::lock_guard<std::mutex> hold(a->lock);
    /* A page of nobody's between neighbours. */
    const size_t room = ((bytes + 4095) & ~4095ul) + 4096;
    size_t at = 0;
    for (auto &piece : a->used) {
        if (piece.first - at >= room)
            break;
        at = piece.first + piece.second;
    }
    if (bytes > a->bytes || at + room > a->bytes)
        return fail(cudaErrorMemoryAllocation);
    a->used[at] = room;
    if (a->open)
        mprotect(a->base + at, room, PROT_READ | PROT_WRITE);
    *out = a->base + at;
    return cudaSuccess;
}
cudaError_t cudaFree(void *memory)
{
    if (!memory)
        return cudaSuccess;
    simt::arena *a = simt::the_arena();
    std::lock_guard<std::mutex> hold(a->lock);
    const size_t at = (size_t)((char *)memory - a->base);
    const auto piece = a->used.find(at);
    if (piece == a->used.end())
        return fail(cudaErrorInvalidValue);
    mprotect(a->base + at, piece->second, PROT_NONE);
    madvise(a->base + at, piece->second, MADV_DONTNEED);
    a->used.erase(piece);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(
    void *dst,
    const void *src,
    size_t bytes,
    cudaMemcpyKind kind,
    cudaStream_t)
{
    const bool to =
        kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from =
        kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (simt::on_device(dst) != to || simt::on_device(src) != from)
        return fail(cudaErrorInvalidValue);
    simt::opened memory;
    memmove(dst, src, bytes);
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *dst, int value, size_t bytes, cudaStream_t)
{
    simt::opened memory;
    memset(dst, value, bytes);
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    return cudaSuccess;
}
cudaError_t simt_shared_limit(size_t bytes)
{
    return bytes <= simt::shared_bytes ? cudaSuccess
                                       : fail(cudaErrorInvalidValue);
}
}
