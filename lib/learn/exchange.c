#include "learn/exchange.h"

#include "base/log.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Seconds of a sum of nothing much, bytes per second of a large one: the same
 * numbers on every rank.
 */
static int
measure(struct exchange *x, double *latency, double *rate, struct err *e)
{
    enum { SMALL = 10, LARGE = 1 << 20 };
    const struct backend_class *b = x->backend->class;
    float *numbers = x->comm->device ? b->alloc(x->backend, LARGE, e)
                                     : mem_array(LARGE, sizeof *numbers);
    double t[3], took[2];
    int rc = numbers != NULL ? 0 : -1;

    if (rc == 0)
        rc = comm_sum_now(x->comm, numbers, LARGE, e);  /* pages, connections */
    if (rc == 0)
        rc = x->comm->class->hsum(x->comm, NULL, 0, e);
    t[0] = clock_seconds();
    for (int i = 0; i < SMALL && rc == 0; i++)
        rc = comm_sum_now(x->comm, numbers, 1, e);
    t[1] = clock_seconds();
    if (rc == 0)
        rc = comm_sum_now(x->comm, numbers, LARGE, e);
    t[2] = clock_seconds();
    if (x->comm->device)
        b->release(x->backend, numbers);
    else
        free(numbers);
    took[0] = (t[1] - t[0]) / SMALL / x->comm->size;
    took[1] = (t[2] - t[1]) / x->comm->size;
    if (rc != 0 || x->comm->class->hsum(x->comm, took, 2, e) != 0)
        return -1;
    *latency = took[0];
    *rate = LARGE * sizeof *numbers / (took[1] + 1e-9);
    return 0;
}

size_t
exchange_bucket(double mb, double latency, double rate)
{
    if (mb <= 0)
        mb = fmin(fmax(20 * latency * rate / 1e6, 1), 32);
    return (size_t)(mb * 1e6 / sizeof(float)) + 1;
}

int
exchange_open(struct exchange *x, double mb, struct err *e)
{
    size_t n = x->graph->nparams;
    double latency, rate;

    x->bucket = n;
    if (comm_alone(x->comm))
        return 0;
    if (measure(x, &latency, &rate, e) != 0)
        return -1;
    x->bucket = exchange_bucket(mb, latency, rate);
    x->bucket = x->bucket < n ? x->bucket : n;
    if (x->comm->rank == 0)
        log_note("%d ranks: %.0f us and %.2f GB/s, gradients in %zu parts",
                 x->comm->size, 1e6 * latency, rate / 1e9,
                 (n + x->bucket - 1) / x->bucket);
    return 0;
}

int
exchange_ready(void *ctx, size_t begin, size_t end, struct err *e)
{
    struct exchange *x = ctx;
    size_t n;

    if (end == x->graph->nparams)
        x->sent = end;          /* a step begins */
    if (x->idle)                /* with --sync-bn, which is for the CPU */
        memset(x->grads + begin, 0, (end - begin) * sizeof *x->grads);
    n = x->sent - begin;
    if (comm_alone(x->comm) || (n < x->bucket && begin > 0) || n == 0)
        return 0;
    x->sent = begin;
    return x->comm->class->sum(x->comm, x->grads + begin, n, e);
}

int
exchange_nothing(struct exchange *x, struct err *e)
{
    const struct graph *g = x->graph;
    float *zeros;

    if (comm_alone(x->comm))
        return 0;
    zeros = mem_array(g->nparams, sizeof *zeros);
    x->backend->class->put(x->backend, x->grads, zeros, g->nparams);
    free(zeros);
    for (int i = g->nops - 1; i >= 0; i--)
        if (g->op[i].nparams > 0 &&
            exchange_ready(x, g->op[i].param,
                           g->op[i].param + g->op[i].nparams, e) != 0)
            return -1;
    return 0;
}

int
exchange_end(void *ctx, struct err *e)
{
    struct exchange *x = ctx;

    return comm_alone(x->comm) ? 0 : x->comm->class->wait(x->comm, e);
}
