#include "learn/resident.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

struct job {
    struct resident_set *s;
    const size_t *rows;
    const struct look *look;
    uint32_t *place;            /* of a dataset's row among rows; mixup alone */
};

static size_t
row_nbytes(const struct dataset *d)
{
    return (size_t)d->h * (size_t)d->w * (size_t)d->c;
}

static int
read_one(void *ctx, size_t i, int thread, struct err *e)
{
    const struct resident_set *s = ctx;
    const struct dataset *d = s->l->data;

    (void)thread;
    return dataset_row(d, i, s->pixels + i * row_nbytes(d), e);
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
    s->pixels = mem_array(l->data->n, row_nbytes(l->data));
    if (pool_try(l->threads, l->data->n, read_one, s, e) != 0)
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
    free(s->mixes);
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
    s->mixes = mem_grow(s->mixes, n, sizeof *s->mixes);
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
    double share;

    (void)thread;
    augment_draw(&a, j->look->augment, l->seed, j->look->epoch, (uint32_t)row,
                 d->h, d->w, l->size);
    augment_prepare(&a, &d->recipe, s->pixels + row * row_nbytes(d), d->h,
                    d->w, d->c, l->size, &s->maps[i]);
    s->rows[i] = (uint32_t)row;
    s->labels[i] = (int32_t)d->labels[row];
    if (j->place != NULL) {
        row = loader_partner(l, j->look, row, &share);
        s->mixes[i] = (struct augment_mix){ j->place[row], (float)share,
                                            (float)(1 - share) };
    }
}

/* Pictures that are mixed are all of the epoch: changed as they are there. */
static uint32_t *
places(const struct resident_set *s, const size_t *rows, size_t n)
{
    uint32_t *place = mem_array(s->l->data->n, sizeof *place);

    for (size_t i = 0; i < n; i++)
        place[rows[i]] = (uint32_t)i;
    return place;
}

int
resident_epoch(struct resident_set *s, const size_t *rows, size_t n,
               size_t batch, size_t first, const struct look *look,
               const struct update *updates, struct err *e)
{
    const struct loader *l = s->l;
    size_t k = (size_t)l->classes;
    struct job j = { s, rows, look, NULL };
    struct epoch x;

    make_room(s, n);
    if (look->mixup > 0)
        j.place = places(s, rows, n);
    pool_run(l->threads, n, prepare_one, &j);
    free(j.place);
    for (size_t i = 0; i < n; i += batch) {
        size_t m = n - i < batch ? n - i : batch;
        double norm = updates != NULL ? loader_norm(l, rows + i, m) : 1;

        for (size_t r = i; r < i + m; r++)
            loader_target(l, look, rows[r], norm, s->targets + r * k);
    }
    x = (struct epoch){ n, batch, first, l->classes, s->rows, s->maps,
                        look->mixup > 0 ? s->mixes : NULL,
                        s->targets, s->labels, updates, l->seed,
                        look->epoch };
    return s->backend->class->epoch(s->backend, &x, e);
}
