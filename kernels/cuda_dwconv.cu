/*
 * cuda_dwconv: depthwise convolutions of 3 x 3, and both gradients.
 *
 * Eight channels a thread.  Forward: four output pixels of a row, which share
 * what they read; data gradient: one input pixel, which gathers; weight
 * gradient: 72 sums, over output pixels in grid (c/8/tx, parts).  Forward and
 * data gradient read one picture and write the other; the weight gradient
 * reads both; taps are read again from the caches.  Share of the bandwidth:
 * not measured yet.
 */
#include "kernels/cuda_dev.h"

enum {
    ACROSS = 4,             /* output pixels of a thread */
    PARTS = 128
};
static_assert(9 * (int)PARTS <= (int)CUDA_DW_SUMS, "scratch of a channel");

/* Tap r, s of eight channels, in the pictures' type. */
template <class T>
static __device__ v8
tap(const float *w, int k, int channels, int r, int s)
{
    v8 v;

    for (int j = 0; j < 8; j++)
        v.x[j] = k + j < channels
                     ? narrow(w[(size_t)(k + j) * 9 + r * 3 + s], T()) : 0;
    return v;
}

template <class T>
static __global__ void
dw_forward(cuda_dw d, const T *x, const float *w, T *y)
{
    size_t i = thread_number(), groups = (size_t)d.out.c / 8;
    size_t quads = (size_t)(d.out.w + ACROSS - 1) / ACROSS;
    int k = (int)(i % groups) * 8, w0 = (int)(i / groups % quads) * ACROSS;
    int h = (int)(i / groups / quads % d.out.h);
    size_t n = i / groups / quads / d.out.h;
    v8 sum[ACROSS] = {};

    if (n >= (size_t)d.out.n)
        return;
    for (int r = 0; r < 3; r++) {
        int ih = h * d.stride - d.pad + r;

        if (ih < 0 || ih >= d.in.h)
            continue;
        for (int s = 0; s < 3; s++) {
            v8 t = tap<T>(w, k, d.channels, r, s);

#pragma unroll
            for (int q = 0; q < ACROSS; q++) {
                int iw = (w0 + q) * d.stride - d.pad + s;
                v8 v;

                if (iw < 0 || iw >= d.in.w)
                    continue;
                v = load8(x + ((n * d.in.h + ih) * d.in.w + iw) * d.in.c + k);
                for (int j = 0; j < 8; j++)
                    sum[q].x[j] += v.x[j] * t.x[j];
            }
        }
    }
#pragma unroll
    for (int q = 0; q < ACROSS; q++)
        if (w0 + q < d.out.w)
            store8(y + ((n * d.out.h + h) * d.out.w + w0 + q) * d.out.c + k,
                   sum[q]);
}

template <class T>
static __global__ void
dw_data(cuda_dw d, const T *dy, const float *w, T *dx)
{
    size_t i = thread_number(), groups = (size_t)d.in.c / 8;
    int k = (int)(i % groups) * 8, iw = (int)(i / groups % d.in.w);
    int ih = (int)(i / groups / d.in.w % d.in.h);
    size_t n = i / groups / d.in.w / d.in.h;
    v8 sum = {};

    if (n >= (size_t)d.in.n)
        return;
    for (int r = 0; r < 3; r++)
        for (int s = 0; s < 3; s++) {
            int oh = ih + d.pad - r, ow = iw + d.pad - s;
            v8 t, v;

            if (oh < 0 || ow < 0 || oh % d.stride || ow % d.stride ||
                oh / d.stride >= d.out.h || ow / d.stride >= d.out.w)
                continue;
            t = tap<T>(w, k, d.channels, r, s);
            v = load8(dy + ((n * d.out.h + oh / d.stride) * d.out.w +
                            ow / d.stride) * d.out.c + k);
            for (int j = 0; j < 8; j++)
                sum.x[j] += v.x[j] * t.x[j];
        }
    store8(dx + 8 * i, sum);
}

/* sums [parts][9][c] */
template <class T>
static __global__ void
dw_partial(cuda_dw d, int tx, const T *x, const T *dy, float *sums)
{
    int t = (int)threadIdx.x, k = 8 * ((int)blockIdx.x * tx + t % tx);
    size_t rows = (size_t)d.out.n * d.out.h * d.out.w;
    size_t step = (size_t)(256 / tx) * gridDim.y;
    v8 sum[9] = {};

    if (k < d.out.c)
        for (size_t o = (size_t)blockIdx.y * (256 / tx) + t / tx; o < rows;
             o += step) {
            int ow = (int)(o % d.out.w), oh = (int)(o / d.out.w % d.out.h);
            size_t n = o / d.out.w / d.out.h;
            v8 g = load8(dy + o * d.out.c + k);

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
    size_t i = thread_number();
    double all = 0;

    if (i >= (size_t)channels * 9)
        return;
    for (int p = 0; p < parts; p++)
        all += sums[((size_t)p * 9 + i / channels) * c + i % channels];
    dw[i % channels * 9 + i / channels] = (float)all;
}

/* --------------------------------------------------------------- launchers */

template <class T>
static void
forward(const struct cuda_dw *d, const void *x, const float *w, void *y,
        void *stream)
{
    size_t quads = (size_t)(d->out.w + ACROSS - 1) / ACROSS;
    size_t n = (size_t)d->out.n * d->out.h * quads * (d->out.c / 8);

    LAUNCH(dw_forward<T>, blocks(n), 256, stream, *d, (const T *)x, w,
           (T *)y);
}

template <class T>
static void
data(const struct cuda_dw *d, const void *dy, const float *w, void *dx,
     void *stream)
{
    size_t n = (size_t)d->in.n * d->in.h * d->in.w * (d->in.c / 8);

    LAUNCH(dw_data<T>, blocks(n), 256, stream, *d, (const T *)dy, w,
           (T *)dx);
}

template <class T>
static void
weights(const struct cuda_dw *d, const void *x, const void *dy, float *dw,
        float *sums, void *stream)
{
    size_t rows = (size_t)d->out.n * d->out.h * d->out.w;
    tiles t = tiles_of(rows, d->out.c, PARTS);

    LAUNCH_TEAM(dw_partial<T>, dim3(t.across, t.parts), 256, stream, *d, t.tx,
                (const T *)x, (const T *)dy, sums);
    LAUNCH(dw_finish, blocks((size_t)d->channels * 9), 256, stream, sums,
           d->out.c, d->channels, t.parts, dw);
}

void
cuda_dw_forward(const struct cuda_dw *d, const void *x, const float *w,
                void *y, void *stream)
{
    BY_TYPE(d->bf16, forward, d, x, w, y, stream);
}

void
cuda_dw_data(const struct cuda_dw *d, const void *dy, const float *w,
             void *dx, void *stream)
{
    BY_TYPE(d->bf16, data, d, dy, w, dx, stream);
}

void
cuda_dw_weights(const struct cuda_dw *d, const void *x, const void *dy,
                float *dw, float *sums, void *stream)
{
    BY_TYPE(d->bf16, weights, d, x, dy, dw, sums, stream);
}
