/*
 * cuda_host: CUDA kernels on a processor, for tests where no GPU is.
 *
 * The .cu files are compiled as C++ with this in the place of the CUDA
 * headers.  A launch is put into its stream (host/cuda_runtime_api.h) with its
 * arguments as they are then.  Blocks run one after another; their threads as a
 * loop, or, where they wait for each other (LAUNCH_TEAM), as contexts that take
 * turns at each __syncthreads().  What a GPU does at the same time is done in order here, or,
 * with CUDA_HOST_BACKWARDS in the environment, in the opposite order: a result
 * that depends on it is a race.
 */
#ifndef BUSI_TESTS_CUDA_HOST_H
#define BUSI_TESTS_CUDA_HOST_H

#include "tests/host/cuda_runtime_api.h"

#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tuple>
#include <ucontext.h>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(threads)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint2 {
    uint32_t x, y;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

static dim3 gridDim, blockIdx, blockDim, threadIdx;

static inline float
__uint_as_float(uint32_t u)
{
    float f;

    memcpy(&f, &u, 4);
    return f;
}

static inline uint32_t
__float_as_uint(float f)
{
    uint32_t u;

    memcpy(&u, &f, 4);
    return u;
}

/* ------------------------------------------------------------ one by one */

static bool backwards;

static inline unsigned
host_turned(unsigned i, unsigned n)
{
    return backwards ? n - 1 - i : i;
}

/* Every block of the grid. */
template <class F>
static void
host_blocks(dim3 grid, unsigned threads, F f)
{
    backwards = getenv("CUDA_HOST_BACKWARDS") != NULL;
    gridDim = grid;
    blockDim = threads;
    for (unsigned i = 0; i < grid.x * grid.y; i++) {
        blockIdx.x = host_turned(i, grid.x * grid.y) % grid.x;
        blockIdx.y = host_turned(i, grid.x * grid.y) / grid.x;
        f();
    }
}

template <class F>
static void
host_launch(dim3 grid, unsigned threads, F f)
{
    host_blocks(grid, threads, [&] {
        for (unsigned t = 0; t < threads; t++) {
            threadIdx.x = host_turned(t, threads);
            f();
        }
    });
}

/* ---------------------------------------------------------- taking turns */

enum { HOST_THREADS = 1024, HOST_STACK = 1 << 16 };

struct host_team {
    jmp_buf main, thread[HOST_THREADS];
    char *stacks;
    void (*call)(void *);
    void *arg;
    unsigned now;
    bool waits;         /* the thread that ran last */
};

static host_team team;

static inline void
__syncthreads(void)
{
    team.waits = true;
    if (_setjmp(team.thread[team.now]) == 0)
        _longjmp(team.main, 1);
}

static void
host_begin(void)
{
    team.call(team.arg);
    team.waits = false;
    _longjmp(team.main, 1);
}

/* Run thread t to its next barrier or its end. */
static void
host_turn(unsigned t, bool first)
{
    static ucontext_t context, back;

    team.now = t;
    threadIdx.x = t;
    if (_setjmp(team.main) != 0)
        return;
    if (!first)
        _longjmp(team.thread[t], 1);
    getcontext(&context);
    context.uc_stack.ss_sp = team.stacks + (size_t)t * HOST_STACK;
    context.uc_stack.ss_size = HOST_STACK;
    context.uc_link = NULL;
    makecontext(&context, host_begin, 0);
    swapcontext(&back, &context);
}

static void
host_block(unsigned threads)
{
    for (bool first = true, waits = true; waits; first = false)
        for (unsigned i = 0; i < threads; i++) {
            unsigned t = host_turned(i, threads);

            host_turn(t, first);
            if (i == 0)
                waits = team.waits;
            if (team.waits != waits) {
                fprintf(stderr, "thread %u of a block %s a barrier that "
                        "others %s\n", t, waits ? "misses" : "waits at",
                        waits ? "wait at" : "miss");
                abort();
            }
        }
}

template <class F>
static void
host_launch_team(dim3 grid, unsigned threads, F f)
{
    if (team.stacks == NULL)
        team.stacks = (char *)malloc((size_t)HOST_THREADS * HOST_STACK);
    if (team.stacks == NULL || threads > HOST_THREADS)
        abort();
    team.call = [](void *p) { (*(F *)p)(); };
    team.arg = &f;
    host_blocks(grid, threads, [&] { host_block(threads); });
}

/* -------------------------------------------------------------- launches */

template <class... P>
struct host_call {
    void (*kernel)(P...);
    bool team;
    dim3 grid;
    unsigned threads;
    std::tuple<P...> args;
};

template <class... P>
static bool
host_run(void *arg)
{
    const host_call<P...> &c = *(const host_call<P...> *)arg;
    auto f = [&] { std::apply(c.kernel, c.args); };

    if (c.team)
        host_launch_team(c.grid, c.threads, f);
    else
        host_launch(c.grid, c.threads, f);
    return true;
}

template <class... P, class... A>
static void
host_put(bool team, void *stream, void (*kernel)(P...), dim3 grid,
         unsigned threads, const A &...args)
{
    host_call<P...> c{ kernel, team, grid, threads,
                       std::tuple<P...>(P(args)...) };

    cuda_host_launches++;
    cuda_host_put((cudaStream_t)stream, host_run<P...>, NULL, &c, sizeof c);
}

#define LAUNCH(kernel, grid, block, stream, ...) \
    host_put(false, stream, kernel, grid, block, __VA_ARGS__)
#define LAUNCH_TEAM(kernel, grid, block, stream, ...) \
    host_put(true, stream, kernel, grid, block, __VA_ARGS__)

#endif
