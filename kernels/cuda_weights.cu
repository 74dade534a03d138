/*
 * cuda_weights: weights between the flat f32 vector and what is computed with.
 *
 * Eight weights a thread; all of a network in one launch, of which each block
 * finds its tensor by bisection.  Packed weights are written in order and read
 * in steps of a whole plane, which the L2 cache holds.  4 bytes are read and 2
 * (4 in f32) written of each.  Share of the bandwidth: not measured yet.
 */
#include "kernels/cuda_place.h"

/* Eight weights from group i on: packed is [k][place][c]. */
static __device__ void
pack_dense(const cuda_packing &p, uint32_t i, void *packed)
{
    uint32_t groups = (uint32_t)up8(p.w.c) / 8;
    uint32_t taps = (uint32_t)(p.w.r * p.w.r);
    int channel = (int)(i % groups) * 8;
    int place = (int)(i / groups % taps);
    uint32_t k = i / groups / taps;
    v8 v;

    if (k >= (uint32_t)up8(p.w.k))
        return;
    for (int j = 0; j < 8; j++) {
        long at = flat_place(p.w, (int)k, channel + j, place);

        v.x[j] = at >= 0 ? p.flat[at] : 0;
    }
    if (p.w.bf16)
        store8((bf16 *)packed + (size_t)8 * i, v);
    else
        store8((float *)packed + (size_t)8 * i, v);
}

/* Eight taps from group i on: packed is [place][k]. */
static __device__ void
pack_taps(const cuda_packing &p, uint32_t i, float *packed)
{
    uint32_t groups = (uint32_t)up8(p.w.k) / 8, place = i / groups;
    int k = (int)(i % groups) * 8;
    v8 v;

    if (place >= 9)
        return;
    for (int j = 0; j < 8; j++) {
        float w = k + j < p.w.k ? p.flat[(k + j) * 9 + place] : 0;

        v.x[j] = p.w.bf16 ? narrow(w, bf16()) : w;
    }
    store8(packed + (size_t)8 * i, v);
}

static __global__ void
pack_all(const struct cuda_packing *list, int n, char *base)
{
    int lo = last_before(list, n, blockIdx.x,
                         [](const cuda_packing &p) { return p.block; });
    uint32_t i;

    i = (blockIdx.x - list[lo].block) * 256 + threadIdx.x;
    if (list[lo].taps)
        pack_taps(list[lo], i, (float *)(base + list[lo].packed));
    else
        pack_dense(list[lo], i, base + list[lo].packed);
}

template <class T>
static __global__ void
unpack_weights(cuda_weights w, const T *packed, float *flat)
{
    uint32_t i = thread_number(), groups = (uint32_t)up8(w.c) / 8;
    uint32_t taps = (uint32_t)(w.r * w.r);
    int channel = (int)(i % groups) * 8;
    int place = (int)(i / groups % taps);
    uint32_t k = i / groups / taps;
    v8 v;

    if (k >= (uint32_t)w.k)
        return;
    v = load8(packed + (size_t)8 * i);
    for (int j = 0; j < 8; j++) {
        long at = flat_place(w, (int)k, channel + j, place);

        if (at >= 0)
            flat[at] = v.x[j];
    }
}

/* --------------------------------------------------------------- launchers */

static size_t
groups_of(const cuda_weights *w)
{
    return (size_t)up8(w->k) * w->r * w->r * up8(w->c) / 8;
}

template <class T>
static void
weights_from(const struct cuda_weights *w, const void *packed, float *flat,
             void *stream)
{
    LAUNCH(unpack_weights<T>, blocks(groups_of(w)), 256, stream, *w,
           (const T *)packed, flat);
}

static size_t
packing_groups(const struct cuda_packing *p)
{
    return p->taps ? (size_t)9 * up8(p->w.k) / 8 : groups_of(&p->w);
}

uint32_t
cuda_packing_blocks(const struct cuda_packing *p)
{
    return blocks(packing_groups(p));
}

size_t
cuda_packing_nbytes(const struct cuda_packing *p)
{
    return packing_groups(p) * (p->taps || !p->w.bf16 ? 32 : 16);
}

void
cuda_pack_all(const struct cuda_packing *list, int n, uint32_t all,
              void *base, void *stream)
{
    if (n > 0)
        LAUNCH(pack_all, all, 256, stream, list, n, (char *)base);
}

void
cuda_unpack_weights(const struct cuda_weights *w, const void *packed,
                    float *flat, void *stream)
{
    BY_TYPE(w->bf16, weights_from, w, packed, flat, stream);
}
