/*
 * cuda_turn: a batch out of an epoch that lies in the GPU's memory.
 *
 * take_turn is one block of 1024: a few kilobytes.  look: one output pixel a
 * thread, all its channels; reads up to four bytes of the source for each
 * (once from memory, neighbours share them), the picture's curve of 1 KB from
 * the caches, and writes 16 or 32 bytes, the input with its channels rounded
 * up; with mixup it reads two pictures.  Share of the bandwidth: not measured
 * yet.
 *
 * Compiled without fused multiply-add: augment_apply() rounds each product.
 */
#include "kernels/cuda_dev.h"
#include "kernels/cuda_rng.h"

static __global__ void __launch_bounds__(1024)
take_turn(struct cuda_turn t)
{
    const struct cuda_epoch e = *t.from;
    uint32_t start = e.next * e.batch, first = start + (uint32_t)t.skip;
    uint32_t left = e.n - first, all = e.n - start;
    int fed = left < (uint32_t)t.n ? (int)left : t.n;

    for (int i = (int)threadIdx.x; i < t.n; i += 1024) {
        t.samples[i] = i < fed ? e.rows[first + i] : 0;
        t.labels[i] = i < fed ? e.labels[first + i] : -1;
    }
    for (int i = (int)threadIdx.x; i < t.n * t.k; i += 1024)
        t.targets[i] = i < fed * t.k ? e.targets[(size_t)first * t.k + i] : 0;
    for (int i = (int)threadIdx.x; e.steps != NULL &&
         i < (int)(CUDA_STEPS * sizeof *t.step / 4); i += 1024)
        ((uint32_t *)t.step)[i] =
            ((const uint32_t *)(e.steps + e.next * CUDA_STEPS))[i];
    __syncthreads();
    if (threadIdx.x == 0) {
        *t.now = cuda_now{ e.seed, e.epoch, fed, first,
                           (int32_t)(all < e.batch ? all : e.batch) };
        t.from->next = e.next + 1;
    }
}

static __device__ inline float
clamp01(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

static __device__ inline int64_t
clamp_to(int64_t v, int64_t most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

static __device__ inline int
weight(int64_t v)
{
    return (int)(v & (AUGMENT_UNIT - 1)) >>
           (AUGMENT_UNIT_BITS - AUGMENT_WEIGHT_BITS);
}

/* 1 + noise at pixel (i, j): two numbers out of each draw of the row. */
static __device__ float
speckle(const augment_map *m, int i, int j, int size)
{
    uint32_t draw = (uint32_t)i * ((size + 1) / 2) + j / 2, word[4], u;
    int sum;

    rng_words(m->seed, STREAM_AUGMENT, m->epoch, m->sample,
              AUGMENT_SPECKLE_BLOCK + draw / 4, word);
    u = word[draw % 4] >> 16 * (j % 2);
    sum = (int)((u & 255) + (u >> 8 & 255));
    return 1 + m->unit * (float)(sum - 255);
}

/* Pixel (i, j) of the picture at place `pos` of the epoch. */
static __device__ v8
seen(const struct cuda_look &l, uint32_t pos, int i, int j)
{
    const augment_map *m = l.from->maps + pos;
    int64_t most_x = (int64_t)(l.w - 1) * AUGMENT_UNIT;
    int64_t most_y = (int64_t)(l.h - 1) * AUGMENT_UNIT, xx, yy;
    const uint8_t *px;
    size_t right, down;
    int fx, fy;
    float gain = 1, factor = 1;
    bool cut;
    v8 v = {};

    xx = clamp_to(m->x + i * m->down_x + j * m->right_x, most_x);
    yy = clamp_to(m->y + i * m->down_y + j * m->right_y, most_y);
    fx = weight(xx);
    fy = weight(yy);
    px = l.from->pixels +
         (((size_t)l.from->rows[pos] * l.h + (yy >> AUGMENT_UNIT_BITS)) *
              l.w + (xx >> AUGMENT_UNIT_BITS)) * l.channels;
    right = xx < most_x ? l.channels : 0;
    down = yy < most_y ? (size_t)l.w * l.channels : 0;
    cut = i >= m->cut_y && i < m->cut_y + m->cut_h && j >= m->cut_x &&
          j < m->cut_x + m->cut_w;
    if (m->rows) {
        gain = m->gain_top + (m->gain_bottom - m->gain_top) *
               (((float)i + 0.5f) / (float)l.s.h);
        factor = speckle(m, i, j, l.s.w);
    }
    for (int k = 0; k < l.channels && k < 3; k++, px++) {
        int top = px[0] * (AUGMENT_WEIGHT - fx) + px[right] * fx;
        int bottom = px[down] * (AUGMENT_WEIGHT - fx) +
                     px[down + right] * fx;
        int sum = top * (AUGMENT_WEIGHT - fy) + bottom * fy;
        const float *curve = m->curve[k] + (sum >> 2 * AUGMENT_WEIGHT_BITS);
        float part = (float)(sum & (AUGMENT_WEIGHT * AUGMENT_WEIGHT - 1)) *
                     (1.0f / (AUGMENT_WEIGHT * AUGMENT_WEIGHT));
        float out = curve[0] + part * (curve[1] - curve[0]);

        if (m->rows)
            out = (clamp01(out * gain * factor) - m->mean[k]) / m->std[k];
        v.x[k] = cut ? 0 : out;
    }
    return v;
}

template <class T>
static __global__ void
look(struct cuda_look l, T *x)
{
    uint32_t at = thread_number(), row = at / (uint32_t)l.s.w;
    uint32_t image = row / (uint32_t)l.s.h, pos = l.now->first + image;
    int i = (int)(row % (uint32_t)l.s.h), j = (int)(at % (uint32_t)l.s.w);
    v8 v = {};

    if (image >= (uint32_t)l.s.n)
        return;
    if (image < (uint32_t)l.now->fed)
        v = seen(l, pos, i, j);
    if (image < (uint32_t)l.now->fed && l.from->mixes != NULL) {
        const augment_mix mix = l.from->mixes[pos];
        v8 other = seen(l, mix.with, i, j);

        for (int k = 0; k < l.channels && k < 3; k++)
            v.x[k] = mix.share * v.x[k] + mix.rest * other.x[k];
    }
    store8(x + (size_t)at * l.s.c, v);
}

/* --------------------------------------------------------------- launchers */

template <class T>
static void
launch(const struct cuda_look *l, void *x, void *stream)
{
    LAUNCH(look<T>, blocks(rows_of(l->s)), 256, stream, *l, (T *)x);
}

void
cuda_take_turn(const struct cuda_turn *t, void *stream)
{
    LAUNCH_TEAM(take_turn, 1, 1024, stream, *t);
}

void
cuda_look(const struct cuda_look *l, void *x, void *stream)
{
    BY_TYPE(l->bf16, launch, l, x, stream);
}
