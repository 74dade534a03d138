#include "data/augment.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Half-widths and limits of what is drawn, by kind. */
struct ranges {
    double angle;               /* degrees, to either side */
    double scale_lo, scale_hi;
    double gamma_lo, gamma_hi;
    double tone;                /* contrast and brightness, 1 +- tone */
    double gain;                /* depth gain, factor e^+-gain at each end */
    double speckle;             /* largest deviation */
    double cut;                 /* how often a rectangle is masked out */
    bool shift;                 /* does the window move */
};

static const struct ranges RANGES[] = {
    [AUGMENT_NONE] = { 0, 1, 1, 1, 1, 0, 0, 0, 0, false },
    [AUGMENT_FLIP] = { 0, 1, 1, 1, 1, 0, 0, 0, 0, false },
    [AUGMENT_STANDARD] = { 8, 0.85, 1.15, 0.8, 1.25, 0.2, 0, 0, 0, true },
    [AUGMENT_STRONG] = { 12, 0.75, 1.3, 0.65, 1.5, 0.35, 0.3, 0.15, 0.5,
                         true },
};

enum {
    CUT_LEAST = 10, CUT_MOST = 35   /* sides of the rectangle, percent */
};

void
augment_none(struct augment *a)
{
    memset(a, 0, sizeof *a);
    a->scale = a->gamma = a->contrast = a->brightness = 1;
    a->gain_top = a->gain_bottom = 1;
}

static float
draw(struct rng *r, double lo, double hi)
{
    return (float)rng_range(r, lo, hi);
}

/* A factor: as often halved as doubled. */
static float
draw_factor(struct rng *r, double lo, double hi)
{
    return (float)exp(rng_range(r, log(lo), log(hi)));
}

/* How far the window may move and still lie inside n source pixels. */
static double
margin(int n, int size, double scale)
{
    double m = (n - size / scale) / 2;

    return m > 0 ? m : 0;
}

/*
 * Every kind takes the same draws in the same order, so that one sample is
 * flipped alike under all of them.
 */
void
augment_draw(struct augment *a, enum augment_kind kind, uint64_t seed,
             uint32_t epoch, uint32_t sample, int h, int w, int size)
{
    const struct ranges *g = &RANGES[kind];
    double degree = 3.14159265358979323846 / 180, gain = exp(g->gain);
    double cut = 0.01 * CUT_LEAST, most = 0.01 * CUT_MOST;
    float u, v;
    struct rng r;

    augment_none(a);
    a->seed = seed;
    a->epoch = epoch;
    a->sample = sample;
    if (kind == AUGMENT_NONE)
        return;
    rng_init(&r, seed, RNG_AUGMENT, epoch, sample);
    a->flip = rng_real(&r) < 0.5;
    a->angle = draw(&r, -g->angle * degree, g->angle * degree);
    a->scale = draw_factor(&r, g->scale_lo, g->scale_hi);
    u = draw(&r, -1, 1);
    v = draw(&r, -1, 1);
    if (g->shift) {
        a->dx = u * (float)margin(w, size, a->scale);
        a->dy = v * (float)margin(h, size, a->scale);
    }
    a->gamma = draw_factor(&r, g->gamma_lo, g->gamma_hi);
    a->contrast = draw(&r, 1 - g->tone, 1 + g->tone);
    a->brightness = draw(&r, 1 - g->tone, 1 + g->tone);
    a->gain_top = draw_factor(&r, 1 / gain, gain);
    a->gain_bottom = draw_factor(&r, 1 / gain, gain);
    a->speckle = draw(&r, 0, g->speckle);
    if (rng_real(&r) >= g->cut)
        return;
    a->cut_w = draw(&r, cut, most);
    a->cut_h = draw(&r, cut, most);
    a->cut_x = draw(&r, 0, 1 - a->cut_w);
    a->cut_y = draw(&r, 0, 1 - a->cut_h);
}

/* ---------------------------------------------------------------- values */

static float
clamp01(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

static float
picture_mean(const uint8_t *px, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += px[i];
    return n > 0 ? (float)((double)sum / (double)n / 255) : 0;
}

static bool
tone_changes(const struct augment *a)
{
    return a->gamma != 1 || a->contrast != 1 || a->brightness != 1;
}

/* Noise and gain come after the curve: then it may not normalise yet. */
static bool
row_changes(const struct augment *a)
{
    return a->gain_top != 1 || a->gain_bottom != 1 || a->speckle > 0;
}

/* Gamma, contrast about the picture's mean, brightness; on 0..1. */
static void
tone_curve(const struct augment *a, float mean, float *at)
{
    float pivot = powf(mean, a->gamma);

    for (int i = 0; i < 256; i++) {
        float v = powf((float)i / 255, a->gamma);

        v = (v - pivot) * a->contrast + pivot;
        at[i] = clamp01(v * a->brightness);
    }
}

/* From a byte of one channel to the output, or to 0..1 if rows change. */
static void
channel_curve(const struct augment *a, const struct recipe *r, int channel,
              const float *tone, float *at)
{
    memcpy(at, tone, 256 * sizeof *at);
    if (!row_changes(a) && !tone_changes(a))
        recipe_levels(r, channel, at);
    else if (!row_changes(a))
        for (int i = 0; i < 256; i++)
            at[i] = (at[i] - r->mean[channel]) / r->std[channel];
    at[256] = at[255];
}

/*
 * 1 + speckle * noise for a row.  The noise is the sum of two random bytes,
 * scaled to deviation 1: bell enough for the purpose, two values a draw.
 */
static void
speckle_row(float unit, struct rng *r, float *factor, int n)
{
    for (int j = 0; j < n; j += 2) {
        uint32_t u = rng_u32(r);
        int one = (int)((u & 255) + (u >> 8 & 255));
        int two = (int)((u >> 16 & 255) + (u >> 24));

        factor[j] = 1 + unit * (float)(one - 255);
        if (j + 1 < n)
            factor[j + 1] = 1 + unit * (float)(two - 255);
    }
}

static void
finish_row(const struct augment_map *m, int channel, float depth,
           const float *factor, float *out, int n)
{
    float gain = m->gain_top + (m->gain_bottom - m->gain_top) * depth;
    float mean = m->mean[channel], std = m->std[channel];

    for (int j = 0; j < n; j++)
        out[j] = (clamp01(out[j] * gain * factor[j]) - mean) / std;
}

/* -------------------------------------------------------------- geometry */

enum {
    UNIT_BITS = AUGMENT_UNIT_BITS, UNIT = AUGMENT_UNIT,
    WEIGHT_BITS = AUGMENT_WEIGHT_BITS, WEIGHT = AUGMENT_WEIGHT
};

struct source {
    const uint8_t *px;  /* [h,w,c] */
    int h, w, c;
};

/* First row or column of the centre crop, as recipe_apply() cuts it. */
static int
centre(int n, int size)
{
    return (n - size) / 2;
}

static int64_t
fixed(double v)
{
    return llrint(v * UNIT);
}

static void
affine_make(const struct augment *a, int h, int w, int size,
            struct augment_map *m)
{
    double cosine = cos(a->angle) / a->scale, sine = sin(a->angle) / a->scale;
    double mirror = a->flip ? -1 : 1, half = (size - 1) / 2.0;
    double right_x = mirror * cosine, right_y = mirror * sine;
    double down_x = -sine, down_y = cosine;

    m->right_x = fixed(right_x);
    m->right_y = fixed(right_y);
    m->down_x = fixed(down_x);
    m->down_y = fixed(down_y);
    m->x = fixed(centre(w, size) + half + a->dx
                 - half * right_x - half * down_x);
    m->y = fixed(centre(h, size) + half + a->dy
                 - half * right_y - half * down_y);
}

/* Do output pixels fall on source pixels, all of them inside, row on row? */
static bool
affine_whole(const struct augment_map *m, int h, int w, int size)
{
    int64_t end = m->x + (size - 1) * m->right_x;

    return m->right_y == 0 && m->down_x == 0 && m->down_y == UNIT
        && (m->right_x == UNIT || m->right_x == -UNIT)
        && m->x % UNIT == 0 && m->y % UNIT == 0
        && m->x >= 0 && m->x < (int64_t)w * UNIT
        && end >= 0 && end < (int64_t)w * UNIT
        && m->y >= 0 && m->y + (size - 1) * m->down_y < (int64_t)h * UNIT;
}

static void
copy_row(const struct source *s, int channel, const struct augment_map *m, int i,
         float *out, int size)
{
    size_t row = (size_t)(m->y / UNIT + i) * (size_t)s->w;
    const uint8_t *p = s->px + (row + (size_t)(m->x / UNIT)) * s->c + channel;
    ptrdiff_t step = m->right_x > 0 ? s->c : -s->c;

    for (int j = 0; j < size; j++)
        out[j] = m->curve[channel][p[j * step]];
}

/* Bilinear at (x, y) of a channel in integers, then through the curve. */
static inline float
bend(const uint8_t *p, ptrdiff_t right, ptrdiff_t down, int fx, int fy,
     const float *at)
{
    int top = p[0] * (WEIGHT - fx) + p[right] * fx;
    int bottom = p[down] * (WEIGHT - fx) + p[down + right] * fx;
    int v = top * (WEIGHT - fy) + bottom * fy;
    int k = v >> 2 * WEIGHT_BITS;
    float part = (float)(v & (WEIGHT * WEIGHT - 1))
        * (1.0f / (WEIGHT * WEIGHT));

    return at[k] + part * (at[k + 1] - at[k]);
}

static bool
inside(int64_t v, int64_t most)
{
    return v >= 0 && v < most;
}

static int64_t
clamp_to(int64_t v, int64_t most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

static int
weight(int64_t v)
{
    return (int)(v & (UNIT - 1)) >> (UNIT_BITS - WEIGHT_BITS);
}

/* Positions outside are moved to the border. */
static void
bend_row(const struct source *s, int channel, const struct augment_map *m, int i,
         float *out, int size)
{
    int64_t x = m->x + i * m->down_x, y = m->y + i * m->down_y;
    int64_t end_x = x + (size - 1) * m->right_x;
    int64_t end_y = y + (size - 1) * m->right_y;
    int64_t most_x = (int64_t)(s->w - 1) * UNIT;
    int64_t most_y = (int64_t)(s->h - 1) * UNIT;
    ptrdiff_t c = s->c, stride = (ptrdiff_t)s->w * s->c;
    const uint8_t *px = s->px + channel;

    /* Both ends inside: so is all of the row, and most rows are. */
    if (inside(x, most_x) && inside(end_x, most_x)
        && inside(y, most_y) && inside(end_y, most_y)) {
        for (int j = 0; j < size; j++, x += m->right_x, y += m->right_y)
            out[j] = bend(px + (y >> UNIT_BITS) * stride
                          + (x >> UNIT_BITS) * c, c, stride,
                          weight(x), weight(y),
                          m->curve[channel]);
        return;
    }
    for (int j = 0; j < size; j++, x += m->right_x, y += m->right_y) {
        int64_t xx = clamp_to(x, most_x), yy = clamp_to(y, most_y);

        out[j] = bend(px + (yy >> UNIT_BITS) * stride
                      + (xx >> UNIT_BITS) * c,
                      xx < most_x ? c : 0, yy < most_y ? stride : 0,
                      weight(xx), weight(yy), m->curve[channel]);
    }
}

/* The rectangle becomes the value that is 0 to the network. */
static void
cut_out(const struct augment_map *m, float *out, int size)
{
    for (int i = m->cut_y; i < m->cut_y + m->cut_h && i < size; i++)
        for (int j = m->cut_x; j < m->cut_x + m->cut_w && j < size; j++)
            out[(size_t)i * size + j] = 0;
}

void
augment_prepare(const struct augment *a, const struct recipe *r,
                const uint8_t *px, int h, int w, int c, int size,
                struct augment_map *m)
{
    float tone[256];

    memset(m, 0, sizeof *m);
    tone_curve(a, a->contrast == 1 ? 0 : picture_mean(px, (size_t)h * w * c),
               tone);
    for (int k = 0; k < c; k++) {
        channel_curve(a, r, k, tone, m->curve[k]);
        m->mean[k] = r->mean[k];
        m->std[k] = r->std[k];
    }
    affine_make(a, h, w, size, m);
    m->whole = affine_whole(m, h, w, size);
    m->rows = row_changes(a);
    m->gain_top = a->gain_top;
    m->gain_bottom = a->gain_bottom;
    m->unit = a->speckle / sqrtf((256.0f * 256 - 1) / 6);
    if (a->cut_w > 0) {
        m->cut_x = (int)(a->cut_x * (float)size);
        m->cut_w = (int)(a->cut_w * (float)size);
        m->cut_y = (int)(a->cut_y * (float)size);
        m->cut_h = (int)(a->cut_h * (float)size);
    }
    m->seed = a->seed;
    m->epoch = a->epoch;
    m->sample = a->sample;
}

void
augment_apply(const struct augment *a, const struct recipe *r,
              const uint8_t *px, int h, int w, int c, int size, float *out)
{
    const struct source s = { px, h, w, c };
    size_t plane = (size_t)size * size;
    float *factor = mem_array((size_t)size, sizeof *factor);
    struct augment_map m;
    struct rng noise;

    augment_prepare(a, r, px, h, w, c, size, &m);
    rng_init(&noise, m.seed, RNG_AUGMENT, m.epoch, m.sample);
    noise.counter[0] = AUGMENT_SPECKLE_BLOCK;
    for (int i = 0; i < size; i++) {
        if (m.rows)
            speckle_row(m.unit, &noise, factor, size);
        for (int k = 0; k < c; k++) {
            float *row = out + k * plane + (size_t)i * size;

            (m.whole ? copy_row : bend_row)(&s, k, &m, i, row, size);
            if (m.rows)
                finish_row(&m, k, ((float)i + 0.5f) / (float)size, factor,
                           row, size);
        }
    }
    for (int k = 0; k < c; k++)
        cut_out(&m, out + k * plane, size);
    free(factor);
}
