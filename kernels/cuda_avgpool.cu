/*
 * cuda_avgpool: adaptive average pooling to flat values, both ways.
 *
 * Eight channels of a bin a thread; backward, of an input pixel, which gathers
 * from the bins that hold it.  The pictures are read (written) once; the flat
 * f32 side is small.  Share of the bandwidth: not measured yet.
 */
#include "kernels/cuda_dev.h"

/* Bin b of `size` over n places is [first(b), last(b)). */
static __device__ inline int
first(int b, int n, int size)
{
    return b * n / size;
}

static __device__ inline int
last(int b, int n, int size)
{
    return ((b + 1) * n + size - 1) / size;
}

template <class T>
static __global__ void
avgpool(pix s, int channels, int size, const T *x, float *flat)
{
    const pix out = { s.n, s.c, size, size, s.c };
    place8 o = place_of(out);
    size_t n = o.n;
    int k = o.k, a = o.h, b = o.w;
    int h0, h1, w0, w1;
    v8 sum = {};

    if (n >= (size_t)s.n)
        return;
    h0 = first(a, s.h, size);
    h1 = last(a, s.h, size);
    w0 = first(b, s.w, size);
    w1 = last(b, s.w, size);
    for (int h = h0; h < h1; h++)
        for (int w = w0; w < w1; w++) {
            v8 v = load8(x + ((n * s.h + h) * s.w + w) * s.c + k);

            for (int j = 0; j < 8; j++)
                sum.x[j] += v.x[j];
        }
    for (int j = 0; j < 8 && k + j < channels; j++)
        flat[((n * channels + k + j) * size + a) * size + b] =
            sum.x[j] / (float)((h1 - h0) * (w1 - w0));
}

template <class T>
static __global__ void
avgpool_back(pix s, int channels, int size, const float *flat, T *dx)
{
    place8 o = place_of(s);
    size_t n = o.n, i = o.i;
    int k = o.k, h = o.h, w = o.w;
    v8 sum = {};

    if (n >= (size_t)s.n)
        return;
    for (int a = 0; a < size; a++) {
        int h0 = first(a, s.h, size), h1 = last(a, s.h, size);

        if (h < h0 || h >= h1)
            continue;
        for (int b = 0; b < size; b++) {
            int w0 = first(b, s.w, size), w1 = last(b, s.w, size);

            if (w < w0 || w >= w1)
                continue;
            for (int j = 0; j < 8 && k + j < channels; j++)
                sum.x[j] +=
                    flat[((n * channels + k + j) * size + a) * size + b] /
                    (float)((h1 - h0) * (w1 - w0));
        }
    }
    store8(dx + 8 * i, sum);
}

/* --------------------------------------------------------------- launchers */

template <class T>
static void
avg_forward(const pix *s, int channels, int size, const void *x, float *flat,
            void *stream)
{
    LAUNCH(avgpool<T>, blocks((size_t)s->n * size * size * (s->c / 8)), 256,
           stream, *s, channels, size, (const T *)x, flat);
}

template <class T>
static void
avg_back(const pix *s, int channels, int size, const float *flat, void *dx,
         void *stream)
{
    LAUNCH(avgpool_back<T>, blocks(groups_of(*s)), 256, stream, *s, channels,
           size, flat, (T *)dx);
}

void
cuda_avgpool(const struct pix *s, bool is_bf16, int channels, int size,
             const void *x, float *flat, void *stream)
{
    BY_TYPE(is_bf16, avg_forward, s, channels, size, x, flat, stream);
}

void
cuda_avgpool_back(const struct pix *s, bool is_bf16, int channels, int size,
                  const float *flat, void *dx, void *stream)
{
    BY_TYPE(is_bf16, avg_back, s, channels, size, flat, dx, stream);
}
