#include "data/keypoint.h"

#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 288,         /* side of the square whose area pictures get */
    LEAST_SIDE = 16,    /* smaller pictures have no keypoints */
    OCTAVES = 4,
    STEPS = 3,          /* sizes per octave */
    LEVELS = STEPS + 3,
    PATCH = 16,         /* samples along a side of the neighbourhood */
    FREQUENCIES = 8
};

#define SIGMA 1.6           /* of the first level */
#define REACH 8.0           /* half a neighbourhood, in sizes */
#define LEAST_CONTRAST 0.8  /* of a blob, in levels of 255 */
#define MOST_EDGE 10.0      /* ratio of its curvatures */

/* How many are kept of each octave: fine ones abound and are less stable. */
static const size_t KEEP[OCTAVES] = { 160, 120, 80, 40 };

struct plane {
    int w, h;
    float *v;
};

struct blob {
    int level;
    float x, y, size;       /* in pixels of the octave */
    float contrast;
};

static void
plane_init(struct plane *p, int w, int h)
{
    p->w = w;
    p->h = h;
    p->v = mem_array((size_t)w * h, sizeof *p->v);
}

/* One line of a separable filter; the line's ends are repeated outwards. */
static void
filter_line(const float *in, float *out, int n, const float *kernel, int r,
            float *pad)
{
    for (int i = 0; i < r; i++) {
        pad[i] = in[0];
        pad[r + n + i] = in[n - 1];
    }
    memcpy(pad + r, in, (size_t)n * sizeof *pad);
    for (int i = 0; i < n; i++)
        out[i] = 0;
    for (int k = 0; k <= 2 * r; k++)
        for (int i = 0; i < n; i++)
            out[i] += kernel[k] * pad[i + k];
}

enum { MOST_RADIUS = 32 };

static void
blur(const struct plane *in, struct plane *out, double sigma)
{
    int r = (int)ceil(3 * sigma), w = in->w, h = in->h;
    float kernel[2 * MOST_RADIUS + 1] = { 0 }, sum = 0;
    float *pad, *rows = mem_array((size_t)w * h, sizeof *rows);

    r = r < MOST_RADIUS ? r : MOST_RADIUS;
    pad = mem_array((size_t)w + 2 * r, sizeof *pad);
    for (int k = -r; k <= r; k++)
        sum += kernel[k + r] = (float)exp(-k * k / (2 * sigma * sigma));
    for (int k = 0; k <= 2 * r; k++)
        kernel[k] /= sum;
    for (int y = 0; y < h; y++)
        filter_line(in->v + (size_t)y * w, rows + (size_t)y * w, w, kernel, r,
                    pad);
    for (int y = 0; y < h; y++) {
        float *to = out->v + (size_t)y * w;

        memset(to, 0, (size_t)w * sizeof *to);
        for (int k = -r; k <= r; k++) {
            int from = y + k < 0 ? 0 : y + k >= h ? h - 1 : y + k;
            const float *line = rows + (size_t)from * w;

            for (int x = 0; x < w; x++)
                to[x] += kernel[k + r] * line[x];
        }
    }
    free(rows);
    free(pad);
}

/* --------------------------------------------------------------- pyramid */

struct pyramid {
    struct plane level[OCTAVES][LEVELS];
    struct plane diff[OCTAVES][LEVELS - 1];
    int octaves;
};

static double
level_sigma(double level)
{
    return SIGMA * exp2(level / STEPS);
}

static void
octave_fill(struct pyramid *p, int o)
{
    struct plane *g = p->level[o], *d = p->diff[o];
    size_t n = (size_t)g[0].w * g[0].h;

    for (int l = 1; l < LEVELS; l++) {
        double a = level_sigma(l - 1), b = level_sigma(l);

        plane_init(&g[l], g[0].w, g[0].h);
        plane_init(&d[l - 1], g[0].w, g[0].h);
        blur(&g[l - 1], &g[l], sqrt(b * b - a * a));
        for (size_t i = 0; i < n; i++)
            d[l - 1].v[i] = g[l].v[i] - g[l - 1].v[i];
    }
}

static void
pyramid_init(struct pyramid *p, const struct image *m)
{
    struct plane in;

    memset(p, 0, sizeof *p);
    plane_init(&in, m->w, m->h);
    for (size_t i = 0; i < (size_t)m->w * m->h; i++)
        in.v[i] = m->px[i];
    plane_init(&p->level[0][0], m->w, m->h);
    blur(&in, &p->level[0][0], sqrt(SIGMA * SIGMA - 0.25));
    free(in.v);
    octave_fill(p, 0);
    for (int o = 1; o < OCTAVES; o++) {
        const struct plane *from = &p->level[o - 1][STEPS];
        struct plane *to = &p->level[o][0];

        if (from->w / 2 < LEAST_SIDE || from->h / 2 < LEAST_SIDE)
            break;
        plane_init(to, from->w / 2, from->h / 2);
        for (int y = 0; y < to->h; y++)
            for (int x = 0; x < to->w; x++)
                to->v[(size_t)y * to->w + x] =
                    from->v[(size_t)2 * y * from->w + 2 * x];
        octave_fill(p, o);
        p->octaves = o;
    }
    p->octaves++;
}

static void
pyramid_release(struct pyramid *p)
{
    for (int o = 0; o < OCTAVES; o++) {
        for (int l = 0; l < LEVELS; l++)
            free(p->level[o][l].v);
        for (int l = 0; l < LEVELS - 1; l++)
            free(p->diff[o][l].v);
    }
}

/* ----------------------------------------------------------------- blobs */

/* Is the middle above (sign 1) or below (-1) its 26 neighbours? */
static bool
is_extremum(const struct plane *d, size_t at, int w, float sign)
{
    float v = d[1].v[at] * sign;

    for (int l = 0; l < 3; l++)
        for (int y = -1; y <= 1; y++)
            for (int x = -1; x <= 1; x++) {
                const float *q = d[l].v + at + (ptrdiff_t)y * w + x;

                if ((l != 1 || x != 0 || y != 0) && *q * sign >= v)
                    return false;
            }
    return true;
}

/* Long edges are badly placed along themselves (Lowe, 4.1). */
static bool
is_edge(const float *v, int w)
{
    float xx = v[1] + v[-1] - 2 * v[0], yy = v[w] + v[-w] - 2 * v[0];
    float xy = (v[w + 1] - v[w - 1] - v[-w + 1] + v[-w - 1]) / 4;
    float trace = xx + yy, det = xx * yy - xy * xy;

    return det <= 0 || trace * trace * MOST_EDGE
        >= (MOST_EDGE + 1) * (MOST_EDGE + 1) * det;
}

/* Where the parabola through three values has its peak, -0.5..0.5. */
static float
peak(float before, float at, float after)
{
    float bend = before + after - 2 * at;
    float p = bend != 0 ? (before - after) / (2 * bend) : 0;

    return p < -0.5f ? -0.5f : p > 0.5f ? 0.5f : p;
}

struct blobs {
    struct blob *item;
    size_t n, room;
};

static void
blob_add(struct blobs *b, const struct plane *d, int level, int x, int y)
{
    int w = d[1].w;
    size_t at = (size_t)y * w + x;
    const float *v = d[1].v + at;
    float step = peak(d[0].v[at], *v, d[2].v[at]);

    b->item = mem_room(b->item, b->n, &b->room, sizeof *b->item);
    b->item[b->n++] = (struct blob){
        .level = level, .contrast = fabsf(*v),
        .x = (float)x + peak(v[-1], *v, v[1]),
        .y = (float)y + peak(v[-w], *v, v[w]),
        .size = (float)level_sigma(level + (double)step),
    };
}

static int
by_contrast(const void *a, const void *b)
{
    const struct blob *p = a, *q = b;

    if (p->contrast != q->contrast)
        return p->contrast < q->contrast ? 1 : -1;
    if (p->y != q->y)
        return p->y < q->y ? -1 : 1;
    return (p->x > q->x) - (p->x < q->x);
}

/* All blobs of an octave, the clearest first, cut to what is kept of it. */
static void
octave_blobs(const struct pyramid *p, int o, struct blobs *b)
{
    int w = p->level[o][0].w, h = p->level[o][0].h;

    b->n = 0;
    for (int l = 1; l <= STEPS; l++) {
        const struct plane *d = &p->diff[o][l - 1];

        for (int y = 1; y < h - 1; y++)
            for (int x = 1; x < w - 1; x++) {
                size_t at = (size_t)y * w + x;
                float v = d[1].v[at];

                if (fabsf(v) >= LEAST_CONTRAST
                    && is_extremum(d, at, w, v < 0 ? -1 : 1)
                    && !is_edge(d[1].v + at, w))
                    blob_add(b, d, l, x, y);
            }
    }
    if (b->n > 1)
        qsort(b->item, b->n, sizeof *b->item, by_contrast);
    if (b->n > KEEP[o])
        b->n = KEEP[o];
}

/* ------------------------------------------------------------------ bits */

/* Bit of a frequency: spread so that any run of bits holds all frequencies. */
static int
bit_of(int fx, int fy)
{
    return (fy * FREQUENCIES + fx) * 23 % KEYPOINT_BITS;
}

uint64_t
keypoint_mirror(void)
{
    uint64_t mask = 0;

    for (int i = 1; i < FREQUENCIES * FREQUENCIES; i++)
        if (i % 2 == 1)
            mask |= 1ull << bit_of(i % FREQUENCIES, i / FREQUENCIES);
    return mask;
}

static float
sample(const struct plane *p, float x, float y)
{
    int x0, y0;
    float fx, fy;
    const float *v;

    x = x < 0 ? 0 : x > (float)(p->w - 2) ? (float)(p->w - 2) : x;
    y = y < 0 ? 0 : y > (float)(p->h - 2) ? (float)(p->h - 2) : y;
    x0 = (int)x;
    y0 = (int)y;
    fx = x - (float)x0;
    fy = y - (float)y0;
    v = p->v + (size_t)y0 * p->w + x0;
    return (v[0] * (1 - fx) + v[1] * fx) * (1 - fy)
        + (v[p->w] * (1 - fx) + v[p->w + 1] * fx) * fy;
}

struct cosines {
    float at[FREQUENCIES][PATCH];
};

static void
cosines_fill(struct cosines *c)
{
    for (int f = 0; f < FREQUENCIES; f++)
        for (int i = 0; i < PATCH; i++)
            c->at[f][i] = (float)cos(M_PI * f * (i + 0.5) / PATCH);
}

static uint64_t
bits_around(const struct plane *g, const struct blob *b,
            const struct cosines *c)
{
    float rows[PATCH][FREQUENCIES] = { { 0 } };
    float step = (float)(2 * REACH / PATCH) * b->size;
    uint64_t bits = 0;

    for (int i = 0; i < PATCH; i++)
        for (int j = 0; j < PATCH; j++) {
            float v = sample(g, b->x + step * ((float)j - (PATCH - 1) * 0.5f),
                             b->y + step * ((float)i - (PATCH - 1) * 0.5f));

            for (int f = 0; f < FREQUENCIES; f++)
                rows[i][f] += v * c->at[f][j];
        }
    for (int k = 1; k < FREQUENCIES * FREQUENCIES; k++) {
        int fx = k % FREQUENCIES, fy = k / FREQUENCIES;
        float sum = 0;

        for (int i = 0; i < PATCH; i++)
            sum += rows[i][fx] * c->at[fy][i];
        if (sum > 0)
            bits |= 1ull << bit_of(fx, fy);
    }
    return bits;
}

/* --------------------------------------------------------------- finding */

static void
bring_to_area(struct image *to, const struct image *from)
{
    double f = SIDE / sqrt((double)from->w * from->h);
    int w = (int)lrint(from->w * f), h = (int)lrint(from->h * f);

    image_resize(to, from, w < LEAST_SIDE ? LEAST_SIDE : w,
                 h < LEAST_SIDE ? LEAST_SIDE : h);
}

size_t
keypoint_find(const struct image *gray, struct keypoint out[KEYPOINT_MOST])
{
    struct blobs blobs = { 0 };
    struct pyramid p;
    struct cosines c;
    struct image m;
    size_t n = 0;
    float fx, fy;

    if (gray->w < LEAST_SIDE || gray->h < LEAST_SIDE)
        return 0;
    bring_to_area(&m, gray);
    fx = (float)gray->w / (float)m.w;
    fy = (float)gray->h / (float)m.h;
    pyramid_init(&p, &m);
    cosines_fill(&c);
    for (int o = 0; o < p.octaves; o++) {
        float unit = (float)(1 << o);

        octave_blobs(&p, o, &blobs);
        for (size_t i = 0; i < blobs.n; i++) {
            const struct blob *b = &blobs.item[i];

            out[n++] = (struct keypoint){
                .x = (b->x * unit + 0.5f) * fx - 0.5f,
                .y = (b->y * unit + 0.5f) * fy - 0.5f,
                .size = b->size * unit * sqrtf(fx * fy),
                .bits = bits_around(&p.level[o][b->level], b, &c),
            };
        }
    }
    free(blobs.item);
    pyramid_release(&p);
    image_release(&m);
    return n;
}
