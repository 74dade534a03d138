#include "data/phantom.h"

#include "base/mem.h"
#include "data/scene.h"
#include "data/speckle.h"

#include <math.h>
#include <stdlib.h>

enum { CELLS = SCENE_W * SCENE_H };

const char *
phantom_class_name(enum phantom_class c)
{
    static const char *const name[PHANTOM_CLASSES] = {
        "benign", "malignant", "normal"
    };

    return name[c];
}

static double
normal_within(struct rng *r, double mean, double deviation, double lo,
              double hi)
{
    return fmin(fmax(mean + deviation * rng_normal(r), lo), hi);
}

/*
 * From level and attenuation to the amplitude of the echo, in place.  What is
 * lost is summed down each line and spreads to its neighbours as the beam does.
 * The machine corrects for depth, but never exactly.
 */
static void
shade(struct rng *r, float *level, const float *loss, double depth)
{
    float lost[SCENE_W + 2] = { 0 }, next[SCENE_W + 2];
    float step = (float)(depth / SCENE_H);
    float tail = (float)normal_within(r, 0.3, 0.25, -0.1, 0.9);
    float knee = (float)rng_range(r, 0.3, 0.9) * SCENE_H;
    float floor = powf(10, (float)rng_range(r, -2.6, -1.9));

    for (int y = 0; y < SCENE_H; y++) {
        float deep = tail * step * fmaxf(0, (float)y - knee) +
                     0.25f * tail * step * (float)y;

        for (int x = 1; x <= SCENE_W; x++)
            lost[x] += loss[y * SCENE_W + x - 1] * step;
        lost[0] = lost[1];
        lost[SCENE_W + 1] = lost[SCENE_W];
        for (int x = 1; x <= SCENE_W; x++) {
            float *a = &level[y * SCENE_W + x - 1];

            next[x] = 0.5f * lost[x] + 0.25f * (lost[x - 1] + lost[x + 1]);
            /* Below the floor there is the noise of the amplifier. */
            *a = exp2f((*a - lost[x] - deep) * 0.16609640f) + floor;
        }
        for (int x = 1; x <= SCENE_W; x++)
            lost[x] = next[x];
    }
}

/*
 * Machines average views from several angles: the mean of a little
 * neighbourhood of intensities, binomial 1 4 6 4 1 across and 1 2 1 down.
 * Returns decibels in place; `tmp` has room for as much.
 */
static void
compound(float *v, float *tmp)
{
    for (int i = 0; i < CELLS; i++)
        v[i] *= v[i];
    for (int y = 0; y < SCENE_H; y++) {
        const float *a = v + (y > 0 ? y - 1 : 0) * SCENE_W;
        const float *b = v + y * SCENE_W;
        const float *c = v + (y < SCENE_H - 1 ? y + 1 : y) * SCENE_W;
        float *o = tmp + y * SCENE_W;

        for (int x = 0; x < SCENE_W; x++)
            o[x] = a[x] + 2 * b[x] + c[x];
    }
    for (int y = 0; y < SCENE_H; y++) {
        const float *a = tmp + y * SCENE_W;

        for (int x = 0; x < SCENE_W; x++) {
            int l = x > 0 ? x - 1 : 0, ll = x > 1 ? x - 2 : 0;
            int g = x < SCENE_W - 1 ? x + 1 : x;
            int gg = x < SCENE_W - 2 ? x + 2 : SCENE_W - 1;
            float sum = 6 * a[x] + 4 * (a[l] + a[g]) + a[ll] + a[gg];

            v[y * SCENE_W + x] = 3.0103f * log2f(sum / 64 + 1e-9f);
        }
    }
}

/*
 * Decibels to gray in place, by the map that gives the gray levels a Weibull
 * distribution whose mean and deviation are drawn: alike for every class, so
 * that no histogram tells one, nor the size of the file.
 */
static void
expose(struct rng *r, float *v)
{
    enum { BINS = 4096 };
    double mean = normal_within(r, 82, 19, 45, 125);
    double k = pow(normal_within(r, 0.6, 0.08, 0.4, 0.8), -1.086);
    double scale = mean / tgamma(1 + 1 / k);
    int *below = mem_array(BINS, sizeof *below);
    float *gray = mem_array(BINS, sizeof *gray);
    float lo = v[0], hi = v[0], step;
    int sum = 0;

    for (int i = 0; i < CELLS; i++) {
        lo = fminf(lo, v[i]);
        hi = fmaxf(hi, v[i]);
    }
    step = (BINS - 1) / (hi - lo + 1e-3f);
    for (int i = 0; i < CELLS; i++)
        below[(int)((v[i] - lo) * step)]++;
    for (int b = 0; b < BINS; b++) {
        double p = (sum + 0.5 * below[b]) / CELLS;

        sum += below[b];
        gray[b] = (float)fmin(scale * pow(-log1p(-p), 1 / k), 255);
    }
    for (int i = 0; i < CELLS; i++)
        v[i] = gray[(int)((v[i] - lo) * step)];
    free(below);
    free(gray);
}

/* Where pixel i of n lies between the cells: the first of two, and a share. */
static int
between(int i, int n, int cells, float *share)
{
    float at = ((float)i + 0.5f) * (float)cells / (float)n - 0.5f;

    if (at < 0)
        at = 0;
    if (at > (float)(cells - 1) - 1e-3f)
        at = (float)(cells - 1) - 1e-3f;
    *share = at - floorf(at);
    return (int)at;
}

/*
 * Scan conversion, bilinear, to R = G = B.  The noise of the last steps, a few
 * levels wide, keeps dark places from being packed better than others: the size
 * of a file would tell of large lesions.
 */
static void
convert(struct rng *r, struct image *m, const float *gray)
{
    float noise = (float)rng_range(r, 2, 12) / 256;
    int *column = mem_array((size_t)m->w, sizeof *column);
    float *share = mem_array((size_t)m->w, sizeof *share);
    float line[SCENE_W];
    uint8_t *to = m->px;
    uint32_t word = 0;

    for (int x = 0; x < m->w; x++)
        column[x] = between(x, m->w, SCENE_W, &share[x]);
    for (int y = 0; y < m->h; y++) {
        float t;
        const float *a = gray + between(y, m->h, SCENE_H, &t) * SCENE_W;

        for (int x = 0; x < SCENE_W; x++)
            line[x] = a[x] + t * (a[x + SCENE_W] - a[x]);
        for (int x = 0; x < m->w; x++, to += 3) {
            const float *b = &line[column[x]];
            float g = b[0] + share[x] * (b[1] - b[0]) + 0.5f;

            if (x % 4 == 0)
                word = rng_u32(r);
            g += noise * ((float)(word & 255) - 127.5f);
            word >>= 8;
            to[0] = to[1] = to[2] = (uint8_t)(g < 0 ? 0 : g > 255 ? 255 : g);
        }
    }
    free(column);
    free(share);
}

static void
draw_mask(struct image *m, const struct scene *s, int lesion)
{
    for (int y = 0; y < m->h; y++)
        for (int x = 0; x < m->w; x++)
            if (scene_inside(s, lesion,
                             ((float)x + 0.5f) * s->width / (float)m->w,
                             ((float)y + 0.5f) * s->depth / (float)m->h))
                m->px[(size_t)y * m->w + x] = 255;
}

void
phantom_draw(struct phantom *p, uint64_t seed, enum phantom_class c,
             uint32_t number)
{
    struct scene *s = mem_alloc(sizeof *s);
    float *level = mem_array(CELLS, sizeof *level);
    float *loss = mem_array(CELLS, sizeof *loss);
    struct psf psf;
    struct rng r;
    int w, h;

    rng_init(&r, seed, RNG_PHANTOM, (uint32_t)c, number);
    w = (int)normal_within(&r, 610, 110, PHANTOM_MIN_SIDE, PHANTOM_MAX_SIDE);
    h = (int)(w / normal_within(&r, 1.22, 0.13, 1, 1.6));
    h = h < PHANTOM_MIN_SIDE ? PHANTOM_MIN_SIDE : h;
    scene_draw(s, &r, c, (double)h / w);
    scene_paint(s, &r, level, loss);
    shade(&r, level, loss, s->depth);
    psf.axial = rng_range(&r, 0.55, 1.5);
    psf.lateral_top = rng_range(&r, 0.6, 1.8);
    psf.lateral_bottom = psf.lateral_top * rng_range(&r, 1.3, 2.2);
    speckle_envelope(&r, &psf, SCENE_W, SCENE_H, level, loss);
    compound(loss, level);
    expose(&r, loss);
    image_init(&p->scan, w, h, 3);
    convert(&r, &p->scan, loss);
    p->nmasks = s->nlesions > 1 ? s->nlesions : 1;
    for (int k = 0; k < p->nmasks; k++) {
        image_init(&p->mask[k], w, h, 1);
        if (k < s->nlesions)
            draw_mask(&p->mask[k], s, k);
    }
    free(s);
    free(level);
    free(loss);
}

void
phantom_release(struct phantom *p)
{
    image_release(&p->scan);
    for (int k = 0; k < p->nmasks; k++)
        image_release(&p->mask[k]);
    p->nmasks = 0;
}
