/*
 * cuda_dwconv: depthwise convolutions of 3 x 3, and both gradients.
 *
 * Eight channels a thread.  Forward: four output pixels of a row; data
 * gradient: four input pixels, which gather.  Weight gradient: 72 sums, over
 * output pixels in grid (c/8/tx, parts).  Forward and data gradient read one
 * picture and write the other; the weight gradient reads both; taps are read
 * again from the caches.  Share of the bandwidth: not measured yet.
 */
#include "kernels/cuda_dev.h"

enum {
    ACROSS = 4,             /* output pixels of a thread */
    PARTS = 256             /* two blocks a multiprocessor: its registers */
};
static_assert(9 * (int)PARTS <= (int)CUDA_DW_SUMS, "scratch of a channel");

template <class T>
static __global__ void
dw_forward(cuda_dw d, const T *x, const float *taps, T *y)
{
    const pix quads = { d.out.n, d.out.c, d.out.h,
                        (d.out.w + ACROSS - 1) / ACROSS, d.out.c };
    place8 o = place_of(quads);
    int w0 = o.w * ACROSS;
    v8 sum[ACROSS] = {};

    if (o.n >= (uint32_t)d.out.n)
        return;
    for (int r = 0; r < 3; r++) {
        int ih = o.h * d.stride - d.pad + r;
        const T *row = x + ((size_t)o.n * d.in.h + ih) * d.in.w * d.in.c +
                       o.k;

        if (ih < 0 || ih >= d.in.h)
            continue;
        for (int s = 0; s < 3; s++) {
            v8 t = vector8(taps + (r * 3 + s) * d.in.c, o.k);

#pragma unroll
            for (int q = 0; q < ACROSS; q++) {
                int iw = (w0 + q) * d.stride - d.pad + s;
                v8 v;

                if (iw < 0 || iw >= d.in.w)
                    continue;
                v = load8(row + (size_t)iw * d.in.c);
                for (int j = 0; j < 8; j++)
                    sum[q].x[j] += v.x[j] * t.x[j];
            }
        }
    }
#pragma unroll
    for (int q = 0; q < ACROSS; q++)
        if (w0 + q < d.out.w)
            store8(y + (((size_t)o.n * d.out.h + o.h) * d.out.w + w0 + q) *
                       d.out.c + o.k, sum[q]);
}

template <class T>
static __global__ void
dw_data(cuda_dw d, const T *dy, const float *taps, T *dx)
{
    const pix quads = { d.in.n, d.in.c, d.in.h,
                        (d.in.w + ACROSS - 1) / ACROSS, d.in.c };
    place8 o = place_of(quads);
    int w0 = o.w * ACROSS;
    v8 sum[ACROSS] = {};

    if (o.n >= (uint32_t)d.in.n)
        return;
    for (int r = 0; r < 3; r++) {
        int oh = o.h + d.pad - r;
        const T *row = dy + ((size_t)o.n * d.out.h + oh / d.stride) *
                       d.out.w * d.out.c + o.k;

        if (oh < 0 || oh % d.stride || oh / d.stride >= d.out.h)
            continue;
        for (int s = 0; s < 3; s++) {
            v8 t = vector8(taps + (r * 3 + s) * d.in.c, o.k);

#pragma unroll
            for (int q = 0; q < ACROSS; q++) {
                int ow = w0 + q + d.pad - s;
                v8 v;

                if (ow < 0 || ow % d.stride || ow / d.stride >= d.out.w)
                    continue;
                v = load8(row + (size_t)(ow / d.stride) * d.out.c);
                for (int j = 0; j < 8; j++)
                    sum[q].x[j] += v.x[j] * t.x[j];
            }
        }
    }
#pragma unroll
    for (int q = 0; q < ACROSS; q++)
        if (w0 + q < d.in.w)
            store8(dx + (((size_t)o.n * d.in.h + o.h) * d.in.w + w0 + q) *
                       d.in.c + o.k, sum[q]);
}

/* sums [parts][9][c] */
template <class T>
static __global__ void
dw_partial(cuda_dw d, int tx, const T *x, const T *dy, float *sums)
{
    int t = (int)threadIdx.x, k = 8 * ((int)blockIdx.x * tx + t % tx);
    uint32_t rows = (uint32_t)d.out.n * d.out.h * d.out.w;
    uint32_t step = (uint32_t)(256 / tx) * gridDim.y;
    v8 sum[9] = {};

    if (k < d.out.c)
        for (uint32_t o = blockIdx.y * (uint32_t)(256 / tx) + t / tx;
             o < rows; o += step) {
            uint32_t row = o / (uint32_t)d.out.w;
            int ow = (int)(o % (uint32_t)d.out.w);
            int oh = (int)(row % (uint32_t)d.out.h);
            size_t n = row / (uint32_t)d.out.h;
            v8 g = load8(dy + (size_t)o * d.out.c + k);

#pragma unroll
            for (int rs = 0; rs < 9; rs++) {
                int ih = oh * d.stride - d.pad + rs / 3;
                int iw = ow * d.stride - d.pad + rs % 3;
                v8 v;

                if (ih < 0 || ih >= d.in.h || iw < 0 || iw >= d.in.w)
                    continue;
                v = load8(x + ((n * d.in.h + ih) * d.in.w + iw) * d.in.c + k);
                for (int j = 0; j < 8; j++)
                    sum[rs].x[j] += v.x[j] * g.x[j];
            }
        }
#pragma unroll
    for (int rs = 0; rs < 9; rs++) {
        column_sums(sum[rs], tx);
        if (t < tx && k < d.out.c)
            store8(sums + ((size_t)blockIdx.y * 9 + rs) * d.out.c + k,
                   sum[rs]);
    }
}

static __global__ void
dw_finish(const float *sums, int c, int channels, int parts, float *dw)
{
    uint32_t i = thread_number();
    double all = 0;

    if (i >= (uint32_t)channels * 9)
        return;
#pragma unroll 8
    for (int p = 0; p < parts; p++)
        all += sums[((size_t)p * 9 + i / channels) * c + i % channels];
    dw[i % channels * 9 + i / channels] = (float)all;
}

/* --------------------------------------------------------------- launchers */

template <class T>
static void
forward(const struct cuda_dw *d, const void *x, const float *taps, void *y,
        void *stream)
{
    size_t quads = (size_t)(d->out.w + ACROSS - 1) / ACROSS;
    size_t n = (size_t)d->out.n * d->out.h * quads * (d->out.c / 8);

    LAUNCH(dw_forward<T>, blocks(n), 256, stream, *d, (const T *)x, taps,
           (T *)y);
}

template <class T>
static void
data(const struct cuda_dw *d, const void *dy, const float *taps, void *dx,
     void *stream)
{
    size_t quads = (size_t)(d->in.w + ACROSS - 1) / ACROSS;
    size_t n = (size_t)d->in.n * d->in.h * quads * (d->in.c / 8);

    LAUNCH(dw_data<T>, blocks(n), 256, stream, *d, (const T *)dy, taps,
           (T *)dx);
}

template <class T>
static void
weights(const struct cuda_dw *d, const void *x, const void *dy, float *dw,
        float *sums, void *stream)
{
    size_t rows = rows_of(d->out);
    tiles t = tiles_of(rows, d->out.c, PARTS);

    LAUNCH_TEAM(dw_partial<T>, dim3(t.across, t.parts), 256, stream, *d, t.tx,
                (const T *)x, (const T *)dy, sums);
    LAUNCH(dw_finish, blocks((size_t)d->channels * 9), 256, stream, sums,
           d->out.c, d->channels, t.parts, dw);
}

void
cuda_dw_forward(const struct cuda_dw *d, const void *x, const float *taps,
                void *y, void *stream)
{
    BY_TYPE(d->bf16, forward, d, x, taps, y, stream);
}

void
cuda_dw_data(const struct cuda_dw *d, const void *dy, const float *taps,
             void *dx, void *stream)
{
    BY_TYPE(d->bf16, data, d, dy, taps, dx, stream);
}

void
cuda_dw_weights(const struct cuda_dw *d, const void *x, const void *dy,
                float *dw, float *sums, void *stream)
{
    BY_TYPE(d->bf16, weights, d, x, dy, dw, sums, stream);
}
