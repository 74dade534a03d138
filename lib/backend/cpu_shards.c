#include "backend/cpu_shards.h"

#include "base/halves.h"
#include "base/mem.h"
#include "base/pool.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shards {
    struct backend head;
    int n, threads;                 /* parts; at a time, at most */
    struct pool_room room;
    struct backend *inner[SHARDS_MOST];
    float *grads[SHARDS_MOST];      /* of all but the first */
    float *buffers[SHARDS_MOST];    /* likewise: scratch */
    size_t ngrads, nbuffers;
};

struct shards_plan {
    struct plan head;
    struct plan *inner[SHARDS_MOST];
    float *grads[SHARDS_MOST];      /* the first is the whole's */
    bool shared;                    /* the last run() was RUN_SHARE */
};

extern const struct backend_class cpu_shards_class;

/* ---------------------------------------------------------- open and close */

static void
shards_close(struct backend *b)
{
    struct shards *s = (struct shards *)b;

    for (int i = 0; i < s->n; i++) {
        backend_close(s->inner[i]);
        free(s->grads[i]);
        free(s->buffers[i]);
    }
    free(s);
}

struct backend *
cpu_shards_open(const struct backend_class *inner,
                const struct backend_conf *conf, struct err *e)
{
    struct shards *s = mem_array(1, sizeof *s);
    struct backend_conf one = *conf;

    one.threads = 1;
    one.shards = 0;
    one.sync_bn = true;
    s->head.class = &cpu_shards_class;
    s->n = conf->shards;
    s->threads = conf->threads > 0 ? conf->threads : pool_cores();
    for (int i = 0; i < s->n; i++) {
        s->inner[i] = inner->open(&one, e);
        if (s->inner[i] == NULL) {
            shards_close(&s->head);
            return NULL;
        }
    }
    s->head.dtype = s->inner[0]->dtype;
    snprintf(s->head.about, sizeof s->head.about, "%s", s->inner[0]->about);
    omp_set_num_threads(s->threads);
    return &s->head;
}

/* ----------------------------------------------------------------- vectors */

static float *
shards_alloc(struct backend *b, size_t n, struct err *e)
{
    struct shards *s = (struct shards *)b;

    return s->inner[0]->class->alloc(s->inner[0], n, e);
}

static void
shards_release(struct backend *b, float *p)
{
    struct shards *s = (struct shards *)b;

    s->inner[0]->class->release(s->inner[0], p);
}

/* The others learn that something changed, and pack it anew. */
static void
tell(struct shards *s, float *p)
{
    for (int i = 1; i < s->n; i++)
        s->inner[i]->class->put(s->inner[i], p, p, 0);
}

static void
shards_put(struct backend *b, float *to, const float *host, size_t n)
{
    struct shards *s = (struct shards *)b;

    s->inner[0]->class->put(s->inner[0], to, host, n);
    tell(s, to);
}

static void
shards_get(struct backend *b, float *host, const float *from, size_t n)
{
    struct shards *s = (struct shards *)b;

    s->inner[0]->class->get(s->inner[0], host, from, n);
}

static void
shards_update(struct backend *b, const struct update *u)
{
    struct shards *s = (struct shards *)b;

    s->inner[0]->class->update(s->inner[0], u);
    tell(s, u->params);
}

static void
shards_sync(struct backend *b)
{
    (void)b;
}

/* ---------------------------------------------------------------- planning */

static void
need(float **p, size_t *have, size_t want, int n)
{
    if (want <= *have)
        return;
    for (int i = 1; i < n; i++) {
        free(p[i]);
        p[i] = mem_aligned(want, sizeof(float));
    }
    *have = want;
}

static void
shards_unplan(struct plan *head)
{
    struct shards_plan *p = (struct shards_plan *)head;
    struct shards *s;

    if (p == NULL)
        return;
    s = (struct shards *)head->backend;
    for (int i = 0; i < s->n; i++)
        s->inner[i]->class->unplan(p->inner[i]);
    free(p);
}

static struct plan *
shards_plan(struct backend *b, const struct graph *g, int n, enum mode mode,
            const struct vectors *v, struct err *e)
{
    struct shards *s = (struct shards *)b;
    struct shards_plan *p = mem_array(1, sizeof *p);
    bool train = mode == MODE_TRAIN;

    p->head = (struct plan){ .backend = b, .graph = g, .mode = mode, .n = n,
                             .v = *v };
    if (train) {
        need(s->grads, &s->ngrads, g->nparams, s->n);
        need(s->buffers, &s->nbuffers, g->nbuffers, s->n);
    }
    omp_set_num_threads(1);     /* oneDNN plans for so many */
    for (int i = 0; i < s->n && e->status == 0; i++) {
        struct vectors mine = *v;
        size_t from, to;

        /* All come to the same running statistics; the first keeps them. */
        if (train && i > 0) {
            mine.grads = s->grads[i];
            mine.buffers = s->buffers[i];
        }
        p->grads[i] = mine.grads;
        halves_cut((size_t)n, i, s->n, &from, &to);
        p->inner[i] = s->inner[i]->class->plan(
            s->inner[i], g, to > from ? (int)(to - from) : 1, mode, &mine, e);
        if (p->inner[i] != NULL)
            p->head.nbytes += p->inner[i]->nbytes;
    }
    omp_set_num_threads(s->threads);
    if (p->inner[s->n - 1] != NULL)
        return &p->head;
    shards_unplan(&p->head);
    return NULL;
}

/* ----------------------------------------------------------------- running */

static void
shards_feed(struct plan *head, const struct feed *f)
{
    struct shards_plan *p = (struct shards_plan *)head;
    struct shards *s = (struct shards *)head->backend;
    size_t one = op_floats(graph_input(head->graph)), n = (size_t)f->n;
    size_t k = (size_t)graph_classes(head->graph);

    head->fed = f->n;
    p->shared = false;
    omp_set_num_threads(pool_room(&s->room, s->threads));
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < s->n; i++) {
        struct feed part = *f;
        size_t from, to;

        omp_set_num_threads(1);
        halves_cut((size_t)head->n, i, s->n, &from, &to);
        from = from < n ? from : n;
        to = to < n ? to : n;
        part.n = (int)(to - from);
        part.images += from * one;
        if (f->targets != NULL)
            part.targets += from * k;
        if (f->samples != NULL)
            part.samples += from;
        s->inner[i]->class->feed(p->inner[i], &part);
    }
}

/* Neighbours first, as the ranks do afterwards (halves.h). */
static void
add_sums(struct shards_plan *p, int n)
{
    HALVES_EACH (i, step, n)
        halves_add_doubles(p->inner[i]->sums, p->inner[i + step]->sums,
                           p->inner[0]->nsums);
    p->head.sums = p->inner[0]->sums;
    p->head.nsums = p->inner[0]->nsums;
}

static void
add_grads(struct shards_plan *p, int n, size_t begin, size_t end)
{
    enum { CHUNK = 1 << 14 };

    /* A rank without pictures adds zeros, and so does a shard. */
    for (int i = 0; i < n; i++)
        if (p->inner[i]->fed == 0)
            memset(p->grads[i] + begin, 0, (end - begin) * sizeof(float));
#pragma omp parallel for
    for (size_t at = begin; at < end; at += CHUNK) {
        size_t m = end - at < CHUNK ? end - at : CHUNK;

        HALVES_EACH (i, step, n)
            halves_add_floats(p->grads[i] + at, p->grads[i + step] + at, m);
    }
}

static int
shards_run(struct plan *head, int op, enum pass pass, struct err *e)
{
    struct shards_plan *p = (struct shards_plan *)head;
    struct shards *s = (struct shards *)head->backend;
    const struct op *o = &head->graph->op[op];
    struct err errors[SHARDS_MOST] = { 0 };
    int rc[SHARDS_MOST] = { 0 };

    for (int i = 1; i < s->n && p->shared; i++)
        memcpy(p->inner[i]->sums, head->sums, head->nsums * sizeof(double));
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < s->n; i++) {
        omp_set_num_threads(1);
        rc[i] = head->mode == MODE_EVAL && p->inner[i]->fed == 0 ? 0 :
                s->inner[i]->class->run(p->inner[i], op, pass, &errors[i]);
    }
    for (int i = 0; i < s->n; i++)
        if (rc[i] < 0)
            return err_copy(e, &errors[i]);
    p->shared = rc[0] == RUN_SHARE;
    if (p->shared)
        add_sums(p, s->n);
    else if (pass == PASS_BACKWARD && o->nparams > 0)
        add_grads(p, s->n, o->param, o->param + o->nparams);
    return rc[0];
}

static void
shards_result(struct plan *head, float *probs, double *loss)
{
    struct shards_plan *p = (struct shards_plan *)head;
    struct shards *s = (struct shards *)head->backend;
    size_t k = (size_t)graph_classes(head->graph);
    double sum[SHARDS_MOST] = { 0 };

    for (int i = 0; i < s->n; i++) {
        s->inner[i]->class->result(p->inner[i], probs,
                                   loss != NULL ? &sum[i] : NULL);
        if (probs != NULL)
            probs += (size_t)p->inner[i]->fed * k;
    }
    HALVES_EACH (i, step, s->n)
        sum[i] += sum[i + step];
    if (loss != NULL)
        *loss = sum[0];
}

static void
shards_explain(struct plan *head, int op, char text[128])
{
    struct shards_plan *p = (struct shards_plan *)head;
    struct shards *s = (struct shards *)head->backend;

    s->inner[0]->class->explain(p->inner[0], op, text);
}

const struct backend_class cpu_shards_class = {
    .name = "cpu", .host = true, .open = NULL, .close = shards_close,
    .alloc = shards_alloc, .release = shards_release, .put = shards_put,
    .get = shards_get, .plan = shards_plan, .unplan = shards_unplan,
    .feed = shards_feed, .run = shards_run, .result = shards_result,
    .update = shards_update, .sync = shards_sync, .explain = shards_explain
};
