#include "learn/loader.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void
loader_open(struct loader *l, int room)
{
    size_t one = (size_t)l->data->c * l->size * l->size;

    if (l->threads <= 0)
        l->threads = pool_cores();
    l->images = mem_aligned((size_t)room * one, sizeof *l->images);
    l->targets = mem_array((size_t)room * l->classes, sizeof *l->targets);
    l->samples = mem_array((size_t)room, sizeof *l->samples);
    l->pixels = mem_array((size_t)l->threads * l->data->h * l->data->w *
                              l->data->c, 1);
    l->other = mem_array((size_t)l->threads * one, sizeof *l->other);
}

void
loader_close(struct loader *l)
{
    free(l->images);
    free(l->targets);
    free(l->samples);
    free(l->pixels);
    free(l->other);
}

static double
weight(const struct loader *l, int64_t label)
{
    return l->weight != NULL ? l->weight[label] : 1;
}

double
loader_norm(const struct loader *l, const size_t *rows, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += weight(l, l->data->labels[rows[i]]);
    return sum;
}

/* Add a row's target, times share over norm. */
static void
add_target(const struct loader *l, size_t row, double share, double norm,
           float *target)
{
    int64_t label = l->data->labels[row];

    for (int k = 0; k < l->classes; k++) {
        double p = l->smoothing / l->classes;

        if (k == label)
            p += 1 - l->smoothing;
        target[k] += (float)(share * p * weight(l, k) / norm);
    }
}

struct job {
    struct loader *l;
    const size_t *rows;
    const struct look *look;
    double norm;
};

/* The picture of one row. */
static int
take(const struct job *j, size_t row, float *image, int thread, struct err *e)
{
    const struct loader *l = j->l;
    const struct dataset *d = l->data;
    uint8_t *px = l->pixels + (size_t)thread * d->h * d->w * d->c;
    struct augment a;

    if (dataset_row(d, row, px, e) != 0)
        return -1;
    augment_draw(&a, j->look->augment, l->seed, j->look->epoch, (uint32_t)row,
                 d->h, d->w, l->size);
    augment_apply(&a, &d->recipe, px, d->h, d->w, d->c, l->size, image);
    return 0;
}

/*
 * The larger side of a Beta(a, a) draw.  Up to a = 1 by Joehnk's method:
 * u^(1/a) against v^(1/a) where their sum is at most 1, which half of the draws
 * or more are; where both are too small for a double one is all there is.
 * Above by Ulrich's: 1/2 + cos(2 pi v) sqrt(1 - u^(2 / (2a - 1))) / 2
 * (Applied Statistics 33, 1984; both in Devroye, Non-Uniform Random Variate
 * Generation, 1986, chapter IX).
 */
static double
draw_share(struct rng *r, double a)
{
    double u, v;

    if (a > 1) {
        u = pow(rng_real(r), 2 / (2 * a - 1));
        v = cos(2 * M_PI * rng_real(r));
        return 0.5 + 0.5 * fabs(v) * sqrt(1 - u);
    }
    do {
        u = pow(rng_real(r), 1 / a);
        v = pow(rng_real(r), 1 / a);
    } while (u + v > 1);
    return u + v > 0 ? fmax(u, v) / (u + v) : 1;
}

size_t
loader_partner(const struct loader *l, const struct look *look, size_t row,
               double *share)
{
    struct rng r;

    *share = 1;
    if (look->mixup <= 0)
        return row;
    rng_init(&r, l->seed, RNG_MIXUP, look->epoch, (uint32_t)row);
    *share = draw_share(&r, look->mixup);
    return *share == 1 ? row
                       : l->partners[rng_below(&r, (uint32_t)l->npartners)];
}

void
loader_target(const struct loader *l, const struct look *look, size_t row,
              double norm, float *target)
{
    double share;
    size_t partner = loader_partner(l, look, row, &share);

    memset(target, 0, (size_t)l->classes * sizeof *target);
    add_target(l, row, share, norm, target);
    if (share < 1)
        add_target(l, partner, 1 - share, norm, target);
}

static int
fill_one(void *ctx, size_t i, int thread, struct err *e)
{
    const struct job *j = ctx;
    struct loader *l = j->l;
    size_t row = j->rows[i], one = (size_t)l->data->c * l->size * l->size;
    float *image = l->images + i * one, *other = l->other + thread * one;
    double share;
    size_t partner = loader_partner(l, j->look, row, &share);

    l->samples[i] = (uint32_t)row;
    loader_target(l, j->look, row, j->norm,
                  l->targets + i * (size_t)l->classes);
    if (take(j, row, image, thread, e) != 0)
        return -1;
    if (share == 1)
        return 0;
    if (take(j, partner, other, thread, e) != 0)
        return -1;
    for (size_t k = 0; k < one; k++)
        image[k] = (float)share * image[k] + (float)(1 - share) * other[k];
    return 0;
}

int
loader_fill(struct loader *l, const size_t *rows, int n,
            const struct look *look, double norm, struct feed *f,
            struct err *e)
{
    struct job j = { l, rows, look, norm };

    *f = (struct feed){ n, l->images, l->targets, l->samples, l->seed,
                        look->epoch };
    return pool_try(l->threads, (size_t)n, fill_one, &j, e);
}
