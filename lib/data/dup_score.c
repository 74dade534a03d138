/* dup: from candidates to scores. */
#include "data/dup.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOW = 4,           /* box radius of what counts as slow brightness */
    AROUND = 8,         /* box radius of the local deviation */
    LEAST_PIXELS = 300, /* of overlap */
    MOST_STEPS = 8,     /* of one length */
    SIDE_PER_SCALE = 120    /* a pixel's step matters as this part of scale */
};

#define LEAST_OVERLAP 0.15  /* of the smaller picture */
#define FLAT 4.0f           /* deviation, in levels, below which it is noise */
#define CLIP 2.5f           /* marks are bright: they count no more than this */
#define SAME_SCALE 0.015    /* of the logarithm */

/* A picture without slow changes, at the scale of its partner. */
struct relief {
    int w, h;
    float *v;
};

/* Mean over a box of radius r, cut off at the border; one axis. */
static void
box_line(const float *in, float *out, int n, ptrdiff_t step, int r)
{
    double sum = 0;

    for (int i = 0; i < r && i < n; i++)
        sum += in[i * step];
    for (int i = 0; i < n; i++) {
        int lo = i - r > 0 ? i - r : 0, hi = i + r < n ? i + r : n - 1;

        if (i + r < n)
            sum += in[(i + r) * step];
        if (i - r > 0)
            sum -= in[(i - r - 1) * step];
        out[i * step] = (float)(sum / (hi - lo + 1));
    }
}

static void
box(const float *in, float *out, float *tmp, int w, int h, int r)
{
    for (int y = 0; y < h; y++)
        box_line(in + (size_t)y * w, tmp + (size_t)y * w, w, 1, r);
    for (int x = 0; x < w; x++)
        box_line(tmp + x, out + x, h, w, r);
}

static void
relief_init(struct relief *f, const struct image *m)
{
    size_t n = (size_t)m->w * m->h;
    float *tmp = mem_array(n, sizeof *tmp), *mean = mem_array(n, sizeof *mean);

    f->w = m->w;
    f->h = m->h;
    f->v = mem_array(n, sizeof *f->v);
    for (size_t i = 0; i < n; i++)
        f->v[i] = m->px[i];
    box(f->v, mean, tmp, m->w, m->h, SLOW);
    for (size_t i = 0; i < n; i++) {
        f->v[i] -= mean[i];
        mean[i] = f->v[i] * f->v[i];
    }
    box(mean, mean, tmp, m->w, m->h, AROUND);
    for (size_t i = 0; i < n; i++) {
        float v = f->v[i] / sqrtf(mean[i] + FLAT * FLAT);

        f->v[i] = v < -CLIP ? -CLIP : v > CLIP ? CLIP : v;
    }
    free(tmp);
    free(mean);
}

static void
mirror_image(struct image *m)
{
    for (int y = 0; y < m->h; y++) {
        uint8_t *row = m->px + (size_t)y * m->w;

        for (int i = 0, j = m->w - 1; i < j; i++, j--) {
            uint8_t t = row[i];

            row[i] = row[j];
            row[j] = t;
        }
    }
}

/*
 * Where the middle of `from` lies in `to`, and how many pixels of `to` one
 * pixel of `from` is: near 1, since both have one scale.
 */
enum { X, Y, EX, EY, PLACE };

struct place {
    double at[PLACE];
};

/* Correlation over the overlap, of every stride-th pixel; -1: none to speak of */
static double
correlate(const struct relief *from, const struct relief *to,
          const struct place *p, int stride)
{
    double n = 0, a = 0, b = 0, aa = 0, ab = 0, bb = 0, part, least;

    for (int i = 0; i < from->h; i += stride) {
        double y = p->at[Y] + p->at[EY] * (i - (from->h - 1) * 0.5);
        int y0 = (int)floor(y);
        float fy = (float)(y - y0);

        if (y0 < 0 || y0 >= to->h - 1)
            continue;
        for (int j = 0; j < from->w; j += stride) {
            double x = p->at[X] + p->at[EX] * (j - (from->w - 1) * 0.5);
            int x0 = (int)floor(x);
            float fx = (float)(x - x0), u, v;
            const float *q = to->v + (size_t)y0 * to->w + x0;

            if (x0 < 0 || x0 >= to->w - 1)
                continue;
            u = from->v[(size_t)i * from->w + j];
            v = (q[0] * (1 - fx) + q[1] * fx) * (1 - fy)
                + (q[to->w] * (1 - fx) + q[to->w + 1] * fx) * fy;
            n++;
            a += u;
            b += v;
            aa += u * u;
            ab += u * v;
            bb += v * v;
        }
    }
    part = fmin((double)from->w * from->h, (double)to->w * to->h);
    least = fmax(LEAST_PIXELS, LEAST_OVERLAP * part) / (stride * stride);
    if (n < least)
        return -1;
    aa -= a * a / n;
    bb -= b * b / n;
    return aa > 0 && bb > 0 ? (ab - a * b / n) / sqrt(aa * bb) : 0;
}

/* One step either way in each of the four; true if the score rose. */
static bool
climb_once(const struct relief *from, const struct relief *to, double step,
           struct place *p, double *best)
{
    bool better = false;

    for (int k = 0; k < 2 * PLACE; k++) {
        struct place q = *p;
        int axis = k / 2;
        double by = axis < EX ? step : step / SIDE_PER_SCALE, score;

        q.at[axis] += k % 2 == 0 ? by : -by;
        score = correlate(from, to, &q, 2);
        if (score > *best + 1e-4) {
            *best = score;
            *p = q;
            better = true;
        }
    }
    return better;
}

/* Uphill in place and scale, by smaller and smaller steps. */
static double
climb(const struct relief *from, const struct relief *to, struct place *p)
{
    double best = correlate(from, to, p, 2);

    for (double step = 1.5; step > 0.15; step /= 2)
        for (int k = 0; k < MOST_STEPS; k++)
            if (!climb_once(from, to, step, p, &best))
                break;
    return correlate(from, to, p, 1);
}

/* ------------------------------------------------- pictures to one scale */

static void
fit_invert(struct dup_fit *f, int wa, int wb)
{
    double sx = 1 / f->sx, sy = 1 / f->sy;

    f->tx = f->mirror ? wa - 1 - (wb - 1 - f->tx) * sx : -f->tx * sx;
    f->ty = -f->ty * sy;
    f->sx = sx;
    f->sy = sy;
}

/* Pixels of a scan's small picture, and of that resized to w, per pixel. */
static double
small_x(const struct dup_scan *s, int w)
{
    return (double)w / s->w;
}

static double
small_y(const struct dup_scan *s, int h)
{
    return (double)h / s->h;
}

static int
side(double v)
{
    return v < 8 ? 8 : v > 2048 ? 2048 : (int)lrint(v);
}

/*
 * Score a laid over b, where b is the finer one: it is brought to the scale
 * of a.  Pixel i spans i..i+1 in here, so that a change of scale needs no
 * half pixels; the fit and the place have it at i.
 */
static double
lay_over(const struct dup_scan *a, const struct dup_scan *b,
         struct dup_fit *f)
{
    double ux = small_x(a, a->small.w), uy = small_y(a, a->small.h), vx, vy;
    double x = f->tx + 0.5 - 0.5 * f->sx, y = f->ty + 0.5 - 0.5 * f->sy;
    struct image m;
    struct relief from, to;
    struct place p;
    double score;

    image_resize(&m, &b->small, side(b->w * ux / f->sx),
                 side(b->h * uy / f->sy));
    if (f->mirror)
        mirror_image(&m);
    vx = small_x(b, m.w);
    vy = small_y(b, m.h);
    relief_init(&from, &a->small);
    relief_init(&to, &m);
    p.at[EX] = f->sx * vx / ux;
    p.at[EY] = f->sy * vy / uy;
    p.at[X] = x * vx + p.at[EX] * from.w / 2 - 0.5;
    p.at[Y] = y * vy + p.at[EY] * from.h / 2 - 0.5;
    score = climb(&from, &to, &p);
    f->sx = p.at[EX] * ux / vx;
    f->sy = p.at[EY] * uy / vy;
    x = (p.at[X] + 0.5 - p.at[EX] * from.w / 2) / vx;
    y = (p.at[Y] + 0.5 - p.at[EY] * from.h / 2) / vy;
    f->tx = x - 0.5 + 0.5 * f->sx;
    f->ty = y - 0.5 + 0.5 * f->sy;
    free(from.v);
    free(to.v);
    image_release(&m);
    return score;
}

static enum dup_kind
kind_of(const struct dup_scan *a, const struct dup_scan *b,
        const struct dup_fit *f)
{
    if (f->mirror)
        return DUP_MIRRORED;
    if (fabs(log(f->sx)) > SAME_SCALE || fabs(log(f->sy)) > SAME_SCALE)
        return DUP_SCALED;
    return a->w == b->w && a->h == b->h ? DUP_SHIFTED : DUP_CROPPED;
}

void
dup_score(const struct dup_scan *scan, struct dup_pair *p)
{
    const struct dup_scan *a = &scan[p->a], *b = &scan[p->b];

    if (strcmp(a->pixels, b->pixels) == 0) {
        p->score = 1;
        p->kind = DUP_EXACT;
        return;
    }
    /* Small pixels of b per small pixel of a. */
    if (p->fit.sx * small_x(b, b->small.w) >= small_x(a, a->small.w)) {
        p->score = lay_over(a, b, &p->fit);
    } else {
        fit_invert(&p->fit, a->w, b->w);
        p->score = lay_over(b, a, &p->fit);
        fit_invert(&p->fit, b->w, a->w);
    }
    p->kind = kind_of(a, b, &p->fit);
}
