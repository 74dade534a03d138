#include "learn/loader.h"

#include "base/mem.h"
#include "base/pool.h"

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
}

void
loader_close(struct loader *l)
{
    free(l->images);
    free(l->targets);
    free(l->samples);
    free(l->pixels);
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

struct job {
    struct loader *l;
    const size_t *rows;
    enum augment_kind kind;
    uint32_t epoch;
    double norm;
    struct err *errors;     /* [threads] */
};

static void
fill_one(void *ctx, size_t i, int thread)
{
    const struct job *j = ctx;
    struct loader *l = j->l;
    const struct dataset *d = l->data;
    size_t row = j->rows[i], one = (size_t)d->c * l->size * l->size;
    uint8_t *px = l->pixels + (size_t)thread * d->h * d->w * d->c;
    float *target = l->targets + i * (size_t)l->classes;
    struct augment a;

    l->samples[i] = (uint32_t)row;
    if (dataset_row(d, row, px, &j->errors[thread]) != 0)
        return;
    augment_none(&a);
    if (j->kind != AUGMENT_NONE)
        augment_draw(&a, j->kind, l->seed, j->epoch, (uint32_t)row, d->h,
                     d->w, l->size);
    augment_apply(&a, &d->recipe, px, d->h, d->w, d->c, l->size,
                  l->images + i * one);
    for (int k = 0; k < l->classes; k++) {
        double share = l->smoothing / l->classes;

        if (k == d->labels[row])
            share += 1 - l->smoothing;
        target[k] = (float)(share * weight(l, k) / j->norm);
    }
}

int
loader_fill(struct loader *l, const size_t *rows, int n,
            enum augment_kind kind, uint32_t epoch, double norm,
            struct feed *f, struct err *e)
{
    struct job j = { l, rows, kind, epoch, norm, NULL };
    int rc = 0;

    j.errors = mem_array((size_t)l->threads, sizeof *j.errors);
    pool_run(l->threads, (size_t)n, fill_one, &j);
    for (int t = 0; t < l->threads && rc == 0; t++)
        if (j.errors[t].status != 0)
            rc = err_set(e, j.errors[t].status, "%s", j.errors[t].text);
    free(j.errors);
    *f = (struct feed){ n, l->images, l->targets, l->samples, l->seed,
                        epoch };
    return rc;
}
