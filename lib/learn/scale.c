#include "learn/scale.h"

#include "backend/walk.h"
#include "base/log.h"
#include "base/mem.h"
#include "learn/exchange.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 4 };           /* the first does not count */

static double
ring(int n, double nbytes, double rate, double latency)
{
    return 2 * (n - 1.0) / n * nbytes / rate + 2 * (n - 1.0) * latency;
}

void
scale_step(const struct graph *g, double *const seconds[2], double update,
           int n, double rate, double latency, size_t bucket,
           struct scale_step *out)
{
    double now = 0, free_at = 0;
    size_t waiting = 0;

    *out = (struct scale_step){ 0 };
    for (int i = 0; i < g->nops; i++)
        now += seconds[PASS_FORWARD][i];
    for (int i = g->nops - 1; i >= 0; i--) {
        const struct op *o = &g->op[i];
        double took;

        now += seconds[PASS_BACKWARD][i];
        waiting += o->nparams;
        if (n == 1 || waiting == 0 || (waiting < bucket && o->param > 0))
            continue;
        took = ring(n, (double)waiting * sizeof(float), rate, latency);
        free_at = fmax(free_at, now) + took;
        out->exchange += took;
        waiting = 0;
    }
    out->exposed = fmax(0, free_at - now);
    out->compute = now + update;
    out->step = out->compute + out->exposed;
}

/* ---------------------------------------------------------------- measuring */

static void
state_seconds(const struct graph *g, size_t n, double gflops,
              double *const seconds[2])
{
    for (int i = 0; i < g->nops; i++) {
        double one = 2e-9 * graph_op_macs(g, i) * (double)n / gflops;

        seconds[PASS_FORWARD][i] = one;
        seconds[PASS_BACKWARD][i] = one * (g->op[i].in[0] == 0 ? 1 : 2);
    }
}

static int
time_steps(struct plan *p, const struct feed *f, const struct update *u,
           double *update, struct err *e)
{
    const struct backend_class *k = p->backend->class;
    size_t nops = (size_t)p->graph->nops;

    *update = 0;
    for (int i = 0; i < REPEATS; i++) {
        double start;

        k->feed(p, f);
        if (walk_forward(p, e) != 0 || walk_backward(p, NULL, NULL, e) != 0)
            return -1;
        start = clock_seconds();
        k->update(p->backend, u);
        k->sync(p->backend);
        *update += clock_seconds() - start;
        if (i == 0) {
            memset(p->spent[0], 0, nops * sizeof(double));
            memset(p->spent[1], 0, nops * sizeof(double));
            *update = 0;
        }
    }
    for (int k2 = 0; k2 < 2; k2++)
        for (size_t i = 0; i < nops; i++)
            p->spent[k2][i] /= REPEATS - 1;
    *update /= REPEATS - 1;
    return 0;
}

/* The seconds of n pictures on this device. */
static int
measure(struct backend *b, const struct graph *g, const float *params,
        size_t n, double *const seconds[2], double *update, struct err *e)
{
    const struct backend_class *k = b->class;
    size_t pixels = n * op_floats(graph_input(g));
    size_t classes = (size_t)graph_classes(g);
    float *images = mem_aligned(pixels + 64, sizeof *images);
    float *targets = mem_array(n * classes, sizeof *targets);
    uint32_t *samples = mem_array(n, sizeof *samples);
    struct feed f = { (int)n, images, targets, samples, 1, 0 };
    struct vectors v = { k->alloc(b, g->nparams, e),
                         k->alloc(b, g->nbuffers + 1, e),
                         k->alloc(b, g->nparams, e) };
    float *m = k->alloc(b, g->nparams, e);
    struct update u = { .rule = UPDATE_SGD, .end = g->nparams, .step = 1,
                        .lr = 0, .params = v.params, .grads = v.grads,
                        .m = m };
    struct plan *p = NULL;
    int rc = -1;

    for (size_t i = 0; i < pixels; i++)
        images[i] = (float)(i % 7) - 3;
    for (size_t i = 0; i < n; i++)
        targets[i * classes] = 1 / (float)n;
    if (e->status == 0) {
        k->put(b, v.params, params, g->nparams);
        p = k->plan(b, g, (int)n, MODE_TRAIN, &v, e);
    }
    if (p != NULL) {
        p->spent[0] = seconds[0];
        p->spent[1] = seconds[1];
        rc = time_steps(p, &f, &u, update, e);
    }
    k->unplan(p);
    k->release(b, v.params);
    k->release(b, v.buffers);
    k->release(b, v.grads);
    k->release(b, m);
    free(images);
    free(targets);
    free(samples);
    return rc;
}

/* ------------------------------------------------------------------ the table */

struct link {
    double rate, latency;       /* bytes per second, seconds */
};

static int
read_link(const char *text, struct link *l, struct err *e)
{
    char *end;
    double x = strtod(text, &end), us = 20;

    l->rate = strncmp(end, "GB/s", 4) == 0 ? 1e9 * x
              : strncmp(end, "MB/s", 4) == 0 ? 1e6 * x : 0;
    end = l->rate > 0 ? end + 4 : "?";
    if (*end == ',') {
        us = strtod(end + 1, &end);
        end = strcmp(end, "us") == 0 ? end + 2 : "?";
    }
    l->latency = 1e-6 * us;
    if (*end == '\0' && isfinite(l->rate) && us >= 0 && isfinite(us))
        return 0;
    return err_set(e, EXIT_USAGE, "--link wants a rate like 10GB/s or "
                   "900MB/s,20us, not '%s'", text);
}

static int
say_line(const struct scale_conf *c, struct backend *b, const struct graph *g,
         const float *params, size_t batch, size_t rows, int n,
         const struct link *l, double *one, FILE *out, struct err *e)
{
    size_t share = (batch + (size_t)n - 1) / (size_t)n, bucket;
    double *seconds[2] = { mem_array((size_t)g->nops, sizeof(double)),
                           mem_array((size_t)g->nops, sizeof(double)) };
    double update = 0, steps;
    struct scale_step s;
    int rc = 0;

    bucket = exchange_bucket(c->bucket_mb, l->latency, l->rate);
    if (c->gflops > 0)
        state_seconds(g, share, c->gflops, seconds);
    else
        rc = measure(b, g, params, share, seconds, &update, e);
    scale_step(g, seconds, update, n, l->rate, l->latency, bucket, &s);
    free(seconds[0]);
    free(seconds[1]);
    if (rc != 0)
        return -1;
    if (n == 1)
        *one = s.step;
    steps = ceil((double)rows / (double)batch);
    fprintf(out, "%d\t%zu\t%.3f\t%.3f\t%.3f\t%.3f\t%.1f\t%.2f\t%.2f\t%.3f\n",
            n, share, 1e3 * s.compute, 1e3 * s.exchange, 1e3 * s.exposed,
            1e3 * s.step, (double)batch / s.step, *one / s.step,
            *one / s.step / n, steps * s.step);
    return 0;
}

/* The next number of a list like 2,4,8, or -1. */
static int
take_number(const char **list)
{
    char *end;
    long n = strtol(*list, &end, 10);

    if (end == *list || n < 1 || n > 4096 || (*end != ',' && *end != '\0'))
        return -1;
    *list = *end == ',' ? end + 1 : end;
    return (int)n;
}

int
scale_say(const struct scale_conf *c, struct backend *b,
          const struct graph *g, const float *params, size_t batch,
          size_t rows, FILE *out, struct err *e)
{
    const char *list = c->gpus;
    struct link l;
    double one = 0;

    while (*list != '\0')
        if (take_number(&list) < 0)
            return err_set(e, EXIT_USAGE, "--gpus wants numbers like 2,4,8, "
                           "not '%s'", c->gpus);
    if (read_link(c->link, &l, e) != 0)
        return -1;
    fputs("gpus\tbatch_each\tcompute_ms\texchange_ms\texposed_ms\tstep_ms\t"
          "images_per_second\tspeedup\tefficiency\tepoch_seconds\n", out);
    if (say_line(c, b, g, params, batch, rows, 1, &l, &one, out, e) != 0)
        return -1;
    for (list = c->gpus; *list != '\0';) {
        int n = take_number(&list);

        if (n > 1 && say_line(c, b, g, params, batch, rows, n, &l, &one, out,
                              e) != 0)
            return -1;
    }
    return 0;
}
