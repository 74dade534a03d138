/*
 * cuda_place: where a weight stands in the flat f32 vector, and where in its
 * packed tensor (cuda.h has both layouts).
 */
#ifndef BUSI_KERNELS_CUDA_PLACE_H
#define BUSI_KERNELS_CUDA_PLACE_H

#include "kernels/cuda_dev.h"

static __host__ __device__ inline int
up8(int n)
{
    return (n + 7) / 8 * 8;
}

/*
 * Weight (k, channel, place) in the flat vector; -1: it is none, as the
 * channel is of another group or was added to fill up.
 */
static __device__ inline long
flat_place(const cuda_weights &w, int k, int channel, int place)
{
    int each = w.c / w.groups, of = w.k / w.groups;

    if (k >= w.k || channel >= w.c || channel / each != k / of)
        return -1;
    return ((long)k * each + channel % each) * w.r * w.r + place;
}

/* The inverse: weight `at` of the flat tensor in the packed one. */
static __device__ inline size_t
packed_place(const cuda_packing &p, uint32_t at)
{
    uint32_t taps = (uint32_t)(p.w.r * p.w.r), place = at % taps;
    uint32_t each = (uint32_t)(p.w.c / p.w.groups);
    uint32_t of = (uint32_t)(p.w.k / p.w.groups);
    uint32_t row = at / taps, k = row / each;
    uint32_t channel = k / of * each + row % each;

    if (p.taps)
        return (size_t)place * up8(p.w.k) + k;
    return ((size_t)k * taps + place) * up8(p.w.c) + channel;
}

/* The last of list [n], in order of its keys, that begins at or before x. */
template <class T, class F>
static __device__ inline int
last_before(const cuda_packing *list, int n, T x, F key)
{
    int lo = 0, hi = n - 1;

    while (lo < hi) {
        int mid = (lo + hi + 1) / 2;

        if (key(list[mid]) <= x)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

#endif
