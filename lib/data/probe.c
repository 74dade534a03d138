#include "data/probe.h"

#include "base/mem.h"
#include "base/pool.h"
#include "data/dataset.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 64, PIXELS = SIDE * SIDE };

/* Box average of [h,w,c] bytes, channels and all. */
static void
shrink(const uint8_t *px, size_t h, size_t w, size_t c, float *out)
{
    size_t s = SIDE;

    for (size_t i = 0; i < s; i++)
        for (size_t j = 0; j < s; j++) {
            size_t top = i * h / s, bottom = ((i + 1) * h + s - 1) / s;
            size_t left = j * w / s, right = ((j + 1) * w + s - 1) / s;
            unsigned sum = 0;

            for (size_t y = top; y < bottom; y++)
                for (size_t x = left * c; x < right * c; x++)
                    sum += px[y * w * c + x];
            out[i * s + j] = (float)sum /
                             (float)((bottom - top) * (right - left) * c);
        }
}

static void
normalise(float *v)
{
    double mean = 0, square = 0;

    for (size_t i = 0; i < PIXELS; i++)
        mean += v[i] / PIXELS;
    for (size_t i = 0; i < PIXELS; i++) {
        v[i] -= (float)mean;
        square += (double)v[i] * v[i];
    }
    for (size_t i = 0; i < PIXELS; i++)
        v[i] = square > 0 ? (float)(v[i] / sqrt(square)) : 0;
}

/* Of every row, [n,PIXELS], mean 0 and length 1 (or all 0). */
static float *
read_pixels(const struct fold_set *s, const char *dataset, struct err *e)
{
    long sha256 = table_find(s->table, "sha256");
    float *pixels = NULL;
    struct dataset d;
    uint8_t *px;
    int rc = 0;

    if (dataset_open(&d, dataset, e) != 0)
        return NULL;
    px = mem_array((size_t)d.h * (size_t)d.w, (size_t)d.c);
    pixels = mem_array(s->n, PIXELS * sizeof *pixels);
    for (size_t i = 0; i < s->n && rc == 0; i++) {
        char **cells = s->table->row[i];
        float *v = pixels + i * PIXELS;
        long at = dataset_find(&d, cells[s->id]);

        if (at < 0) {
            rc = err_set(e, EXIT_INVALID, "'%s' has no scan '%s'", dataset,
                         cells[s->id]);
        } else if (sha256 >= 0 && dataset_differs(&d, (size_t)at,
                                                  cells[sha256], NULL)) {
            rc = err_set(e, EXIT_INVALID, "'%s' was made from another '%s' "
                         "than '%s' lists", dataset, cells[s->id],
                         s->table->path);
        } else if ((rc = dataset_row(&d, (size_t)at, px, e)) == 0) {
            shrink(px, (size_t)d.h, (size_t)d.w, (size_t)d.c, v);
            normalise(v);
        }
    }
    free(px);
    dataset_close(&d);
    if (rc != 0) {
        free(pixels);
        return NULL;
    }
    return pixels;
}

/* Sixteen sums, which vector registers can hold. */
static float
dot(const float *a, const float *b)
{
    float sum[16] = { 0 }, all = 0;

    for (size_t i = 0; i < PIXELS; i += 16)
        for (size_t j = 0; j < 16; j++)
            sum[j] += a[i + j] * b[i + j];
    for (size_t j = 0; j < 16; j++)
        all += sum[j];
    return all;
}

struct search {
    const struct fold_set *set;
    const float *pixels;
    const int *fold;
    bool *right;                /* [n] */
};

static void
search_one(void *ctx, size_t i, int thread)
{
    const struct search *q = ctx;
    const struct fold_set *s = q->set;
    long found = -1;
    float most = 0;

    (void)thread;
    for (size_t k = 0; k < s->n; k++) {
        size_t j = s->order[k];     /* so that ties do not know the rows */
        float like;

        if (q->fold[j] == q->fold[i] || s->class[j] < 0)
            continue;
        like = dot(q->pixels + i * PIXELS, q->pixels + j * PIXELS);
        if (found < 0 || like > most) {
            most = like;
            found = s->class[j];
        }
    }
    q->right[i] = found >= 0 && found == s->class[i];
}

/* Share of the labelled rows whose neighbour has their label. */
static double
accuracy(const struct fold_set *s, const float *pixels, const int *fold)
{
    bool *right = mem_array(s->n, sizeof *right);
    struct search q = { s, pixels, fold, right };
    size_t hits = 0;

    pool_run(0, s->n, search_one, &q);
    for (size_t i = 0; i < s->n; i++)
        hits += right[i];
    free(right);
    return (double)hits / (double)s->n;
}

static void
add_score(struct table *t, const char *split, double score, size_t n)
{
    char value[32], count[32];
    const char *cells[] = { split, value, count };

    snprintf(value, sizeof value, "%.6f", score);
    snprintf(count, sizeof count, "%zu", n);
    table_add(t, cells);
}

int
probe_scores(struct fold_set *s, const int *fold, int k, uint64_t seed,
             const char *dataset, struct table *t, struct err *e)
{
    static const char *const columns[] = { "split", "accuracy", "n", NULL };
    int *random, rc = -1;
    size_t most = 0;
    float *pixels;

    random = mem_array(s->n, sizeof *random);
    pixels = read_pixels(s, dataset, e);
    if (pixels == NULL)
        goto done;
    fold_ungroup(s);
    if (fold_assign(s, k, seed, 0, random, e) != 0)
        goto done;
    for (size_t c = 0; c < s->classes.n; c++)
        most = fold_units(s, c) > most ? fold_units(s, c) : most;
    table_init(t, columns);
    add_score(t, "majority", (double)most / (double)s->n, s->n);
    add_score(t, "folds", accuracy(s, pixels, fold), s->n);
    add_score(t, "random", accuracy(s, pixels, random), s->n);
    rc = 0;
done:
    free(pixels);
    free(random);
    return rc;
}
