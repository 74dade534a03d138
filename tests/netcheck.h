/*
 * netcheck: one network and one batch on any backend, and what differs.
 *
 * The numbers are hashes of (what, which, element), so that a test's expected
 * values can be made by any other program.
 */
#ifndef BUSI_TESTS_NETCHECK_H
#define BUSI_TESTS_NETCHECK_H

#include "backend/backend.h"
#include "backend/walk.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SALT_IMAGES = 1000, SALT_TARGETS = 1001, SALT_PROJECT = 2000 };

/* In [-1, 1): Wellons' lowbias32 of a mixed index. */
static inline double
net_number(uint32_t salt, size_t i)
{
    uint32_t x = (uint32_t)i * 0x9E3779B9u + salt * 0x85EBCA6Bu;

    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return (x ^ x >> 16) * 0x1p-31 - 1;
}

/* A graph with parameters, running statistics and a batch in host memory. */
struct net {
    struct graph g;
    float *params;      /* [nparams] */
    float *buffers;     /* [nbuffers] */
    float *images;      /* [N,C,H,W] */
    float *targets;     /* [N,K], soft */
    uint32_t *samples;  /* [N] */
    struct feed feed;   /* all of them */
};

/* Fill a finished graph: weights of deviation sqrt(2 / fan-in). */
static inline void
net_fill(struct net *t, int n)
{
    const struct graph *g = &t->g;
    size_t pixels = op_floats(graph_input(g)) * n;
    size_t ntargets = (size_t)graph_classes(g) * n;

    t->params = mem_array(g->nparams + 1, sizeof(float));
    t->buffers = mem_array(g->nbuffers + 1, sizeof(float));
    t->images = mem_array(pixels, sizeof(float));
    t->targets = mem_array(ntargets, sizeof(float));
    t->samples = mem_array(n, sizeof(uint32_t));
    for (int k = 0; k < g->nentries; k++) {
        const struct param *p = &g->param[k];
        float *to = (p->buffer ? t->buffers : t->params) + p->offset;
        double middle = 0, width = 0.2;

        if (p->ndims > 1)
            width = sqrt(6.0 * (double)p->dims[0] / (double)p->n);
        else if (str_ends(p->name, ".weight") || str_ends(p->name, "_var"))
            middle = 1;
        for (size_t i = 0; i < p->n; i++)
            to[i] = (float)(middle + width * net_number((uint32_t)k, i));
    }
    for (size_t i = 0; i < pixels; i++)
        t->images[i] = (float)(2 * net_number(SALT_IMAGES, i));
    for (size_t i = 0; i < ntargets; i++)
        t->targets[i] = (float)((1 + net_number(SALT_TARGETS, i)) / n);
    for (int i = 0; i < n; i++)
        t->samples[i] = 7 + 3 * (uint32_t)i;
    t->feed = (struct feed){ .n = n, .images = t->images,
                             .targets = t->targets, .samples = t->samples,
                             .seed = 5, .epoch = 2 };
}

static inline void
net_parse(struct net *t, const char *text, int n)
{
    struct err e = { 0 };

    ck_assert_msg(graph_parse(&t->g, "test", text, &e) == 0, "%s in\n%s",
                  e.text, text);
    net_fill(t, n);
}

static inline void
net_release(struct net *t)
{
    graph_release(&t->g);
    free(t->params);
    free(t->buffers);
    free(t->images);
    free(t->targets);
    free(t->samples);
}

/* Nearest bfloat16, ties to even. */
static inline void
net_round(float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &v[i], 4);
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
        memcpy(&v[i], &bits, 4);
    }
}

/* ------------------------------------------------------- on one backend */

struct side {
    struct backend *b;
    const struct net *net;
    struct vectors v;
    struct plan *plan;
};

/* Vectors loaded from the net, and a plan. */
static inline void
side_open(struct side *s, struct backend *b, const struct net *net,
          enum mode mode)
{
    const struct backend_class *c = b->class;
    size_t nparams = net->g.nparams, nbuffers = net->g.nbuffers;
    struct err e = { 0 };

    s->b = b;
    s->net = net;
    s->v.params = c->alloc(b, nparams + 1, &e);
    s->v.grads = c->alloc(b, nparams + 1, &e);
    s->v.buffers = c->alloc(b, nbuffers + 1, &e);
    ck_assert_msg(e.status == 0, "%s", e.text);
    c->put(b, s->v.params, net->params, nparams);
    c->put(b, s->v.buffers, net->buffers, nbuffers);
    s->plan = c->plan(b, &net->g, net->feed.n, mode, &s->v, &e);
    ck_assert_msg(s->plan != NULL, "%s", e.text);
}

static inline void
side_close(struct side *s)
{
    const struct backend_class *c = s->b->class;

    c->unplan(s->plan);
    c->release(s->b, s->v.params);
    c->release(s->b, s->v.grads);
    c->release(s->b, s->v.buffers);
}

/* Another plan over the same vectors. */
static inline void
side_replan(struct side *s, enum mode mode)
{
    struct err e = { 0 };

    s->b->class->unplan(s->plan);
    s->plan = s->b->class->plan(s->b, &s->net->g, s->net->feed.n, mode,
                                &s->v, &e);
    ck_assert_msg(s->plan != NULL, "%s", e.text);
}

/* Is what result() gives after any pass still a softmax? */
static inline void
side_result(struct side *s, double *loss)
{
    size_t k = graph_classes(&s->net->g), n = s->plan->fed;
    float *probs = mem_array(n * k, sizeof *probs);

    s->b->class->result(s->plan, probs, loss);
    for (size_t i = 0; i < n && isfinite(*loss); i++) {
        double sum = 0;

        for (size_t j = 0; j < k; j++) {
            ck_assert(probs[i * k + j] >= 0);
            sum += probs[i * k + j];
        }
        ck_assert_double_eq_tol(sum, 1, 1e-5);
    }
    free(probs);
}

/* Forward, in a train plan backward too; the loss. */
static inline double
side_run(struct side *s, const struct feed *f)
{
    struct err e = { 0 };
    double loss;

    s->b->class->feed(s->plan, f);
    walk_forward(s->plan, &e);
    if (s->plan->mode == MODE_TRAIN)
        walk_backward(s->plan, NULL, NULL, &e);
    ck_assert_msg(e.status == 0, "%s", e.text);
    s->b->class->sync(s->b);
    side_result(s, &loss);
    return loss;
}

/* A value or gradient in new memory, NULL if it is not kept. */
static inline float *
side_peek(struct side *s, int op, bool gradient, size_t *n)
{
    float *host;

    *n = op_floats(&s->net->g.op[op]) * s->plan->fed;
    host = mem_array(*n, sizeof *host);
    if (s->b->class->peek(s->plan, op, gradient, host) == 0)
        return host;
    free(host);
    return NULL;
}

static inline float *
side_get(struct side *s, const float *from, size_t n)
{
    float *host = mem_array(n + 1, sizeof *host);

    s->b->class->get(s->b, host, from, n);
    return host;
}

/* ------------------------------------------------------------ comparing */

/* How far b is from a: by the largest element, and by Euclidean norm. */
struct gap {
    double most, norm;
    char where[2 * GRAPH_NAME];     /* of the most */
};

/*
 * floor is the size below which numbers count as noise (sums that cancel);
 * NaN counts as infinitely far.
 */
static inline void
gap_add(struct gap *gap, const char *what, const char *name, const float *a,
        const float *b, size_t n, double floor)
{
    double top = floor, diff = 0, sum = floor * floor, sum_diff = 0;
    double most, norm;

    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);

        d = isnan(d) ? INFINITY : d;
        top = fmax(top, fabs(a[i]));
        diff = fmax(diff, d);
        sum += (double)a[i] * a[i];
        sum_diff += d * d;
    }
    most = diff > 0 ? diff / top : 0;
    norm = sum_diff > 0 ? sqrt(sum_diff / sum) : 0;
    gap->norm = fmax(gap->norm, norm);
    if (most > gap->most) {
        gap->most = most;
        snprintf(gap->where, sizeof gap->where, "%s of %s", what, name);
    }
}

static inline void
gap_values(struct gap *gap, const char *what, struct side *a, struct side *b,
           bool gradients)
{
    for (int i = 0; i < a->net->g.nops; i++) {
        size_t n;
        float *x = side_peek(a, i, gradients, &n);
        float *y = side_peek(b, i, gradients, &n);

        if (x != NULL && y != NULL)
            gap_add(gap, what, a->net->g.op[i].name, x, y, n, 1e-6);
        free(x);
        free(y);
    }
}

/* Gradients of parameters, or running statistics. */
static inline void
gap_entries(struct gap *gap, struct side *a, struct side *b, bool buffers)
{
    const struct graph *g = &a->net->g;
    size_t n = buffers ? g->nbuffers : g->nparams;
    float *x = side_get(a, buffers ? a->v.buffers : a->v.grads, n);
    float *y = side_get(b, buffers ? b->v.buffers : b->v.grads, n);
    double top = 0;

    for (size_t i = 0; i < n; i++)
        top = fmax(top, fabs(x[i]));
    for (int k = 0; k < g->nentries; k++) {
        const struct param *p = &g->param[k];

        if (p->buffer == buffers)
            gap_add(gap, buffers ? "statistics" : "gradient", p->name,
                    x + p->offset, y + p->offset, p->n, 1e-3 * top);
    }
    free(x);
    free(y);
}

static inline void
gap_loss(struct gap *gap, const char *what, double a, double b)
{
    float x = (float)a, y = (float)b;

    gap_add(gap, what, "net", &x, &y, 1, 1e-3);
}

/*
 * Train forward and backward, then eval with all pictures and with fewer, on
 * both; b against a.  Statistics count as values.
 */
static inline void
net_compare(const struct net *net, struct backend *a, struct backend *b,
            struct gap *values, struct gap *gradients)
{
    struct side s, t;
    struct feed f = net->feed;

    side_open(&s, a, net, MODE_TRAIN);
    side_open(&t, b, net, MODE_TRAIN);
    gap_loss(values, "loss", side_run(&s, &f), side_run(&t, &f));
    gap_values(values, "value", &s, &t, false);
    gap_values(gradients, "gradient", &s, &t, true);
    gap_entries(values, &s, &t, true);
    gap_entries(gradients, &s, &t, false);
    side_replan(&s, MODE_EVAL);
    side_replan(&t, MODE_EVAL);
    for (f.n = net->feed.n; f.n > 0; f.n -= 2) {
        gap_loss(values, "eval loss", side_run(&s, &f), side_run(&t, &f));
        gap_values(values, "eval value", &s, &t, false);
    }
    side_close(&s);
    side_close(&t);
}

#endif
