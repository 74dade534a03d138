/*
 * cuda_dev: what the .cu files share.
 *
 * A thread takes eight channels of a pixel at once: 16 bytes of bf16, twice 16
 * of f32.  Kernels are started with LAUNCH, or with LAUNCH_TEAM where threads
 * of a block wait for each other: so that tests/cuda_host.h can run the very
 * same source on a processor, where no GPU is.
 */
#ifndef BUSI_KERNELS_CUDA_DEV_H
#define BUSI_KERNELS_CUDA_DEV_H

#ifdef __CUDACC__
#include <cuda_runtime.h>
#define LAUNCH(kernel, grid, block, stream, ...) \
    kernel<<<grid, block, 0, (cudaStream_t)(stream)>>>(__VA_ARGS__)
#define LAUNCH_TEAM LAUNCH
#else
#include "tests/cuda_host.h"
#endif

#include "kernels/cuda.h"

#include <math.h>

/* A launcher for both types: f<bf16> or f<float>. */
#define BY_TYPE(is_bf16, f, ...)      \
    do {                              \
        if (is_bf16)                  \
            f<bf16>(__VA_ARGS__);     \
        else                          \
            f<float>(__VA_ARGS__);    \
    } while (0)

struct bf16 {
    uint16_t bits;
};

struct v8 {                     /* eight channels */
    float x[8];
};

static __device__ inline float
bf16_wide(uint32_t bits)
{
    return __uint_as_float(bits << 16);
}

/* Two numbers rounded to the nearest even, the first in the low half. */
static __device__ inline uint32_t
bf16_pair(float a, float b)
{
#ifdef __CUDACC__
    uint32_t r;

    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(b), "f"(a));
    return r;
#else
    uint32_t r[2];

    for (int i = 0; i < 2; i++) {
        float v = i ? b : a;
        uint32_t u = __float_as_uint(v);

        r[i] = v != v ? 0x7FFF : (u + 0x7FFF + (u >> 16 & 1)) >> 16;
    }
    return r[0] | r[1] << 16;
#endif
}

static __device__ inline v8
load8(const bf16 *p)
{
    uint4 u = *(const uint4 *)p;
    const uint32_t w[4] = { u.x, u.y, u.z, u.w };
    v8 v;

    for (int i = 0; i < 4; i++) {
        v.x[2 * i] = bf16_wide(w[i] & 0xFFFF);
        v.x[2 * i + 1] = bf16_wide(w[i] >> 16);
    }
    return v;
}

static __device__ inline v8
load8(const float *p)
{
    float4 a = ((const float4 *)p)[0], b = ((const float4 *)p)[1];

    return v8{ { a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w } };
}

static __device__ inline void
store8(bf16 *p, const v8 &v)
{
    *(uint4 *)p = uint4{ bf16_pair(v.x[0], v.x[1]),
                         bf16_pair(v.x[2], v.x[3]),
                         bf16_pair(v.x[4], v.x[5]),
                         bf16_pair(v.x[6], v.x[7]) };
}

static __device__ inline void
store8(float *p, const v8 &v)
{
    ((float4 *)p)[0] = float4{ v.x[0], v.x[1], v.x[2], v.x[3] };
    ((float4 *)p)[1] = float4{ v.x[4], v.x[5], v.x[6], v.x[7] };
}

/* Aligned vectors of ours, one number a channel. */
static __device__ inline v8
vector8(const float *p, int c)
{
    return load8(p + c);
}

static __device__ inline float
narrow(float v, bf16)
{
    return bf16_wide(bf16_pair(v, 0) & 0xFFFF);
}

static __device__ inline float
narrow(float v, float)
{
    return v;
}

/* Written so that NaN stays NaN. */
static __device__ inline float
activate(float v, enum act act)
{
    if (act == ACT_NONE)
        return v;
    v = v <= 0 ? 0 : v;
    return act == ACT_RELU6 && v > 6 ? 6 : v;
}

/* Does a gradient pass, where the activation made (or was given) v? */
static __device__ inline bool
passes(float v, enum act act)
{
    return act == ACT_NONE || (!(v <= 0) && !(act == ACT_RELU6 && v >= 6));
}

/* Pixels, and groups of eight channels in them. */
static inline size_t
rows_of(const pix &s)
{
    return (size_t)s.n * s.h * s.w;
}

static inline size_t
groups_of(const pix &s)
{
    return rows_of(s) * (s.c / 8);
}

/* Blocks for n threads of 256. */
static inline unsigned
blocks(size_t n)
{
    return (unsigned)((n + 255) / 256);
}

/*
 * Number of this thread in the grid, of 256 a block.  32 bits: what a division
 * of 64 costs is more than the memory access that it is for.
 */
static __device__ inline uint32_t
thread_number(void)
{
    return blockIdx.x * 256 + threadIdx.x;
}

/* The eight channels of a picture that are this thread's. */
struct place8 {
    uint32_t i, n;          /* of all groups of eight; of the picture */
    int h, w, k;
};

static __device__ inline place8
place_of(const pix &s)
{
    uint32_t i = thread_number(), groups = (uint32_t)s.c / 8;
    uint32_t pixel = i / groups, row = pixel / (uint32_t)s.w;

    return place8{ i, row / (uint32_t)s.h, (int)(row % (uint32_t)s.h),
                   (int)(pixel % (uint32_t)s.w), (int)(i % groups) * 8 };
}

/*
 * Sums over the rows of a matrix [rows][c]: blocks of 256 threads, tx of them
 * side by side over groups of eight channels and 256 / tx below each other;
 * grid (c / 8 / tx, parts).  By the shape alone, so that sums have the same
 * bits on every GPU.
 */
struct tiles {
    int tx, parts, across;
};

static inline tiles
tiles_of(size_t rows, int c, int most)
{
    tiles t = { 1, 1, 1 };
    size_t parts;

    while (t.tx < 32 && t.tx < c / 8)
        t.tx *= 2;
    t.across = (c / 8 + t.tx - 1) / t.tx;
    parts = (rows + 256 / t.tx * 8 - 1) / (256 / t.tx * 8);
    /* Three blocks for each multiprocessor of the larger GPUs. */
    if (parts > (size_t)(384 / t.across))
        parts = (size_t)(384 / t.across);
    if (parts > (size_t)most)
        parts = (size_t)most;
    t.parts = parts > 0 ? (int)parts : 1;
    return t;
}

/*
 * The eight sums of each column of threads: every thread gives its own, the
 * top one of each column gets them all.  Everyone must come.
 */
static __device__ inline void
column_sums(v8 &v, int tx)
{
    __shared__ float all[8][256];
    int t = (int)threadIdx.x;

    for (int i = 0; i < 8; i++)
        all[i][t] = v.x[i];
    __syncthreads();
    for (int half = 128; half >= tx; half /= 2) {
        if (t < half)
            for (int i = 0; i < 8; i++)
                all[i][t] += all[i][t + half];
        __syncthreads();
    }
    for (int i = 0; i < 8; i++)
        v.x[i] = all[i][t];
    __syncthreads();
}

#endif
