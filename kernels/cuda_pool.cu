/*
 * cuda_pool: maximum and average pooling, both ways.
 *
 * Eight channels of an output pixel a thread; backward, of an input pixel,
 * which gathers from the windows that hold it: no atomics.  Maximum: reads x,
 * writes y and a byte for each of its numbers; backward reads dy and those,
 * writes dx.  Average: one thread for each bin; x is read once, and the flat
 * f32 side is small.  Share of the bandwidth: not measured yet.
 */
#include "kernels/cuda_dev.h"

/* The first of the largest, or the last NaN. */
template <class T>
static __global__ void
maxpool(cuda_pool p, const T *x, T *y, uint8_t *at)
{
    place8 o = place_of(p.out);
    size_t n = o.n, i = o.i;
    int k = o.k, h = o.h, w = o.w;
    int h0 = h * p.stride - p.pad, w0 = w * p.stride - p.pad;
    uint32_t tap[8];
    bool any = false;
    v8 best = {};

    if (n >= (size_t)p.out.n)
        return;
    for (int r = 0; r < p.kernel; r++)
        for (int s = 0; s < p.kernel; s++) {
            int ih = h0 + r, iw = w0 + s;
            v8 v;

            if (ih < 0 || ih >= p.in.h || iw < 0 || iw >= p.in.w)
                continue;
            v = load8(x + ((n * p.in.h + ih) * p.in.w + iw) * p.in.c + k);
            for (int j = 0; j < 8; j++)
                if (!any || v.x[j] > best.x[j] || v.x[j] != v.x[j]) {
                    best.x[j] = v.x[j];
                    tap[j] = (uint32_t)(r * p.kernel + s);
                }
            any = true;
        }
    store8(y + 8 * i, best);
    *(uint2 *)(at + 8 * i) = uint2{
        tap[0] | tap[1] << 8 | tap[2] << 16 | tap[3] << 24,
        tap[4] | tap[5] << 8 | tap[6] << 16 | tap[7] << 24 };
}

template <class T>
static __global__ void
maxpool_back(cuda_pool p, const uint8_t *at, const T *dy, T *dx)
{
    place8 at8 = place_of(p.in);
    size_t n = at8.n, i = at8.i;
    int k = at8.k, h = at8.h, w = at8.w;
    v8 sum = {};

    if (n >= (size_t)p.in.n)
        return;
    for (int r = 0; r < p.kernel; r++)
        for (int s = 0; s < p.kernel; s++) {
            int oh = h + p.pad - r, ow = w + p.pad - s;
            size_t o;
            uint2 u;
            v8 d;

            if (oh < 0 || ow < 0 || oh % p.stride || ow % p.stride ||
                oh / p.stride >= p.out.h || ow / p.stride >= p.out.w)
                continue;
            o = ((n * p.out.h + oh / p.stride) * p.out.w + ow / p.stride) *
                p.out.c + k;
            u = *(const uint2 *)(at + o);
            d = load8(dy + o);
            for (int j = 0; j < 8; j++) {
                uint32_t a = ((j < 4 ? u.x : u.y) >> 8 * (j % 4)) & 255;

                sum.x[j] += a == (uint32_t)(r * p.kernel + s) ? d.x[j] : 0;
            }
        }
    store8(dx + 8 * i, sum);
}

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

static size_t
groups_of(const pix &s)
{
    return (size_t)s.n * s.h * s.w * (s.c / 8);
}

template <class T>
static void
max_forward(const struct cuda_pool *p, const void *x, void *y, uint8_t *at,
            void *stream)
{
    LAUNCH(maxpool<T>, blocks(groups_of(p->out)), 256, stream, *p,
           (const T *)x, (T *)y, at);
}

template <class T>
static void
max_back(const struct cuda_pool *p, const uint8_t *at, const void *dy,
         void *dx, void *stream)
{
    LAUNCH(maxpool_back<T>, blocks(groups_of(p->in)), 256, stream, *p, at,
           (const T *)dy, (T *)dx);
}

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
cuda_maxpool(const struct cuda_pool *p, const void *x, void *y, uint8_t *at,
             void *stream)
{
    BY_TYPE(p->bf16, max_forward, p, x, y, at, stream);
}

void
cuda_maxpool_back(const struct cuda_pool *p, const uint8_t *at,
                  const void *dy, void *dx, void *stream)
{
    BY_TYPE(p->bf16, max_back, p, at, dy, dx, stream);
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
