#include "learn/resident.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

struct job {
    struct resident_set *s;
    const size_t *rows;
    size_t batch;
    const struct look *look;
    struct err *errors;         /* [threads] */
};

static size_t
row_nbytes(const struct dataset *d)
{
    return (size_t)d->h * (size_t)d->w * (size_t)d->c;
}

static void
read_one(void *ctx, size_t i, int thread)
{
    const struct job *j = ctx;
    const struct dataset *d = j->s->l->data;

    dataset_row(d, i, j->s->pixels + i * row_nbytes(d), &j->errors[thread]);
}

static int
read_all(struct resident_set *s, struct err *e)
{
    const struct loader *l = s->l;
    struct job j = { .s = s };
    int rc = 0;

    s->pixels = mem_array(l->data->n, row_nbytes(l->data));
    j.errors = mem_array((size_t)l->threads, sizeof *j.errors);
    pool_run(l->threads, l->data->n, read_one, &j);
    for (int t = 0; t < l->threads && rc == 0; t++)
        if (j.errors[t].status != 0)
            rc = err_set(e, j.errors[t].status, "%s", j.errors[t].text);
    free(j.errors);
    return rc;
}

int
resident_open(struct resident_set *s, struct backend *b,
              const struct loader *l, struct err *e)
{
    struct err why = { 0 };
    struct resident r;

    memset(s, 0, sizeof *s);
    s->backend = b;
    s->l = l;
    if (b->class->hold == NULL)
        return 0;
    if (read_all(s, e) != 0)
        return -1;
    r = (struct resident){ l->data->n, l->data->c, l->data->h, l->data->w,
                           s->pixels };
    s->held = b->class->hold(b, &r, &why) == 0;
    if (!s->held)
        log_note("pictures are sent batch by batch: %s", why.text);
    return 0;
}

void
resident_close(struct resident_set *s)
{
    free(s->pixels);
    free(s->rows);
    free(s->maps);
    free(s->targets);
    free(s->labels);
    memset(s, 0, sizeof *s);
}

static void
make_room(struct resident_set *s, size_t n)
{
    if (n <= s->room)
        return;
    s->rows = mem_grow(s->rows, n, sizeof *s->rows);
    s->maps = mem_grow(s->maps, n, sizeof *s->maps);
    s->labels = mem_grow(s->labels, n, sizeof *s->labels);
    s->targets = mem_grow(s->targets, n * (size_t)s->l->classes,
                          sizeof *s->targets);
    s->room = n;
}

static void
prepare_one(void *ctx, size_t i, int thread)
{
    const struct job *j = ctx;
    struct resident_set *s = j->s;
    const struct loader *l = s->l;
    const struct dataset *d = l->data;
    size_t row = j->rows[i];
    struct augment a;

    (void)thread;
    augment_none(&a);
    if (j->look->augment != AUGMENT_NONE)
        augment_draw(&a, j->look->augment, l->seed, j->look->epoch,
                     (uint32_t)row, d->h, d->w, l->size);
    augment_prepare(&a, &d->recipe, s->pixels + row * row_nbytes(d), d->h,
                    d->w, d->c, l->size, &s->maps[i]);
    s->rows[i] = (uint32_t)row;
    s->labels[i] = (int32_t)d->labels[row];
}

int
resident_epoch(struct resident_set *s, const size_t *rows, size_t n,
               size_t batch, size_t first, const struct look *look,
               const struct update *updates, struct err *e)
{
    const struct loader *l = s->l;
    size_t k = (size_t)l->classes;
    struct job j = { s, rows, batch, look, NULL };
    struct epoch x;

    make_room(s, n);
    pool_run(l->threads, n, prepare_one, &j);
    memset(s->targets, 0, n * k * sizeof *s->targets);
    for (size_t i = 0; i < n; i += batch) {
        size_t m = n - i < batch ? n - i : batch;
        double norm = updates != NULL ? loader_norm(l, rows + i, m) : 1;

        for (size_t r = i; r < i + m; r++)
            loader_target(l, rows[r], 1, norm, s->targets + r * k);
    }
    x = (struct epoch){ n, batch, first, l->classes, s->rows, s->maps,
                        s->targets, s->labels, updates, l->seed,
                        look->epoch };
    return s->backend->class->epoch(s->backend, &x, e);
}
