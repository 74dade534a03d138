#include "data/image.h"

#include "base/mem.h"
#include "base/vectors.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { COEFF_BITS = 22 };       /* 32 less 8 of a pixel less 2 of headroom */

/* For each output position: its first input position and its weights. */
struct taps {
    int ksize;                  /* weights kept for each position */
    int *first, *count;         /* [n] */
    int32_t *weight;            /* [n,ksize] */
};

int
image_check_size(int64_t w, int64_t h, struct err *e)
{
    if (w < 1 || h < 1)
        return err_set(e, EXIT_INVALID, "has no pixels");
    if (w > IMAGE_MAX_SIDE || h > IMAGE_MAX_SIDE || w * h > IMAGE_MAX_PIXELS)
        return err_set(e, EXIT_INVALID, "%lldx%lld pixels are more than the "
                       "limit of %d a side and %d M in all", (long long)w,
                       (long long)h, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS >> 20);
    return 0;
}

void
image_init(struct image *m, int w, int h, int c)
{
    assert(w > 0 && h > 0 && c > 0);
    m->w = w;
    m->h = h;
    m->c = c;
    m->px = mem_array((size_t)w * (size_t)h, (size_t)c);
}

void
image_release(struct image *m)
{
    free(m->px);
    memset(m, 0, sizeof *m);
}

/* Bytes in threes pay where vectors can shuffle. */
VECTORS
static void
luma(uint8_t *restrict to, const uint8_t *restrict p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)((19595u * p[3 * i] + 38470u * p[3 * i + 1] +
                           7471u * p[3 * i + 2] + 32768u) >> 16);
}

void
image_gray(struct image *to, const struct image *from)
{
    size_t n = (size_t)from->w * (size_t)from->h;
    const uint8_t *p = from->px;

    image_init(to, from->w, from->h, 1);
    if (from->c == 1) {
        memcpy(to->px, p, n);
        return;
    }
    luma(to->px, p, n);
}

/*
 * Doubles in Pillow's order of operations (Resample.c, precompute_coeffs and
 * normalize_coeffs_8bpc), so that the rounded weights are the same integers.
 */
static void
taps_init(struct taps *t, int from, int to)
{
    double scale = (double)from / to;
    double support = scale < 1.0 ? 1.0 : scale, step = 1.0 / support;
    double *w;

    t->ksize = (int)ceil(support) * 2 + 1;
    t->first = mem_array((size_t)to, sizeof *t->first);
    t->count = mem_array((size_t)to, sizeof *t->count);
    t->weight = mem_array((size_t)to * (size_t)t->ksize, sizeof *t->weight);
    w = mem_array((size_t)t->ksize, sizeof *w);
    for (int i = 0; i < to; i++) {
        int32_t *out = t->weight + (size_t)i * (size_t)t->ksize;
        double center = (i + 0.5) * scale, sum = 0.0;
        int lo = (int)(center - support + 0.5);
        int hi = (int)(center + support + 0.5);

        lo = lo < 0 ? 0 : lo;
        hi = hi > from ? from : hi;
        for (int k = 0; k < hi - lo; k++) {
            double x = fabs((k + lo - center + 0.5) * step);

            w[k] = x < 1.0 ? 1.0 - x : 0.0;
            sum += w[k];
        }
        for (int k = 0; k < hi - lo; k++) {
            double v = sum != 0.0 ? w[k] / sum : w[k];

            out[k] = (int32_t)(0.5 + v * (1 << COEFF_BITS));
        }
        t->first[i] = lo;
        t->count[i] = hi - lo;
    }
    free(w);
}

static void
taps_release(struct taps *t)
{
    free(t->first);
    free(t->count);
    free(t->weight);
}

/* No weight is negative and they sum to one: no clamp but for rounding. */
static uint8_t
round_off(int32_t sum)
{
    int32_t v = (sum + (1 << (COEFF_BITS - 1))) >> COEFF_BITS;

    return (uint8_t)(v > 255 ? 255 : v);
}

/* A column of so many rows, or as many bytes of one row. */
enum { LANES = 16 };
typedef uint8_t lane8 __attribute__((vector_size(LANES)));
typedef int32_t lane32 __attribute__((vector_size(4 * LANES)));

/* Four times, halves are interleaved: then rows are columns. */
static inline __attribute__((always_inline)) void
transpose(lane8 m[LANES])
{
    lane8 t[LANES];

    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < LANES / 2; i++) {
            lane8 a = m[i], b = m[i + LANES / 2];

            t[2 * i] = VECTORS_SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19,
                                       4, 20, 5, 21, 6, 22, 7, 23);
            t[2 * i + 1] = VECTORS_SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27,
                                           12, 28, 13, 29, 14, 30, 15, 31);
        }
        memcpy(m, t, sizeof t);
    }
}

/* The common size as a constant, for which there is one instruction. */
static inline __attribute__((always_inline)) void
copy(void *to, const void *from, int n)
{
    if (n >= LANES)
        memcpy(to, from, LANES);
    else
        memcpy(to, from, (size_t)n);
}

/*
 * Rows of n bytes, a stride apart, to n columns and some that are worthless;
 * or back.
 */
static inline __attribute__((always_inline)) void
turn(lane8 *column, uint8_t *row, size_t stride, int rows, int n, bool back)
{
    for (; n > 0; n -= LANES, row += LANES, column += LANES) {
        lane8 m[LANES] = { 0 };

        if (back)
            memcpy(m, column, sizeof m);
        for (int y = 0; y < rows && !back; y++)
            copy(&m[y], row + (size_t)y * stride, n);
        transpose(m);
        for (int y = 0; y < rows && back; y++)
            copy(row + (size_t)y * stride, &m[y], n);
        if (!back)
            memcpy(column, m, sizeof m);
    }
}

/* LANES rows at a time, turned so that they lie side by side. */
VECTORS
static void
resize_rows(struct image *to, const struct image *from, const struct taps *t)
{
    int c = from->c, nin = from->w * c, nout = to->w * c;
    int most = (nin > nout ? nin : nout) + LANES;
    lane8 *column = mem_aligned((size_t)most, sizeof *column);
    lane32 *in = mem_aligned((size_t)nin, sizeof *in);
    lane32 *sum = mem_aligned((size_t)nout, sizeof *sum);

    for (int y = 0; y < from->h; y += LANES) {
        int rows = from->h - y < LANES ? from->h - y : LANES;

        turn(column, from->px + (size_t)y * (size_t)nin, (size_t)nin, rows,
             nin, false);
        for (int i = 0; i < nin * LANES; i++)
            ((int32_t *)in)[i] = ((uint8_t *)column)[i];
        for (int x = 0; x < nout; x++) {
            const lane32 *p = in + t->first[x / c] * c + x % c;
            const int32_t *w = t->weight + (size_t)(x / c) * (size_t)t->ksize;

            lane32 all = { 0 };

            for (int k = 0; k < t->count[x / c]; k++, p += c)
                all += *p * w[k];
            sum[x] = all;
        }
        for (int i = 0; i < nout * LANES; i++)
            ((uint8_t *)column)[i] = round_off(((int32_t *)sum)[i]);
        turn(column, to->px + (size_t)y * (size_t)nout, (size_t)nout, rows,
             nout, true);
    }
    free(column);
    free(in);
    free(sum);
}

/* Row by row into sums, so that the inner loop runs along memory. */
VECTORS
static void
resize_columns(struct image *to, const struct image *from,
               const struct taps *t)
{
    int n = to->w * to->c;
    int32_t *sum = mem_array((size_t)n, sizeof *sum);

    for (int y = 0; y < to->h; y++) {
        const uint8_t *in = from->px + (size_t)t->first[y] * (size_t)n;
        const int32_t *w = t->weight + (size_t)y * (size_t)t->ksize;
        uint8_t *out = to->px + (size_t)y * (size_t)n;

        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int k = 0; k < t->count[y]; k++, in += n)
            for (int x = 0; x < n; x++)
                sum[x] += in[x] * w[k];
        for (int x = 0; x < n; x++)
            out[x] = round_off(sum[x]);
    }
    free(sum);
}

static void
resize_width(struct image *to, const struct image *from, int w)
{
    struct taps t;

    taps_init(&t, from->w, w);
    image_init(to, w, from->h, from->c);
    resize_rows(to, from, &t);
    taps_release(&t);
}

static void
resize_height(struct image *to, const struct image *from, int h)
{
    struct taps t;

    taps_init(&t, from->h, h);
    image_init(to, from->w, h, from->c);
    resize_columns(to, from, &t);
    taps_release(&t);
}

void
image_resize(struct image *to, const struct image *from, int w, int h)
{
    int shorter = from->h - h, narrower = from->w - w;
    struct image half;

    if (shorter > 0 && shorter > 2 * narrower) {
        resize_height(&half, from, h);
        resize_width(to, &half, w);
    } else {
        resize_width(&half, from, w);
        resize_height(to, &half, h);
    }
    image_release(&half);
}
