/*
 * cuda_maxpool: maximum pooling, both ways.
 *
 * Eight channels of an output pixel a thread; backward, of an input pixel,
 * which gathers from the windows that hold it: no atomics.  Reads x, writes y
 * and a byte for each of its numbers; backward reads dy and those, writes dx.
 * Share of the bandwidth: not measured yet.
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

/* --------------------------------------------------------------- launchers */

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
