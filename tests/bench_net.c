/*
 * bench_net: images per second of a network on a backend, pictures already in
 * memory.
 *
 *     bench_net train|infer MODEL BATCH DTYPE THREADS STEPS [profile]
 *
 * One line: mode, model, device, dtype, batch, threads, images/s (median step),
 * peak MB.  With `profile`, then a line per operation: name, kind, forward and
 * backward ms (median), share of the step, GFLOP/s, and what computed it.
 */
#include "backend/walk.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "model/init.h"
#include "model/nets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct bench {
    struct backend *backend;
    struct graph graph;
    struct plan *plan;
    struct feed feed;
    struct update update;
    bool train;
    int steps;
    double *seconds;        /* [steps] of whole steps */
    double *op[2];          /* [nops * steps] forward, backward */
};

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double
median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static float *
vector(struct bench *b, size_t n, const float *host, struct err *e)
{
    float *x = b->backend->class->alloc(b->backend, n + 1, e);

    if (x != NULL && host != NULL)
        b->backend->class->put(b->backend, x, host, n);
    return x;
}

/* Parameters as training starts with them, a random batch, a plan. */
static int
prepare(struct bench *b, int batch, struct err *e)
{
    const struct graph *g = &b->graph;
    size_t n = (size_t)batch * op_floats(graph_input(g));
    int k = graph_classes(g);
    float *params = mem_array(g->nparams, sizeof *params);
    float *buffers = mem_array(g->nbuffers + 1, sizeof *buffers);
    float *images = mem_array(n, sizeof *images);
    float *targets = mem_array((size_t)batch * k, sizeof *targets);
    struct vectors v;
    struct rng r;

    init_params(g, 1, params, buffers);
    rng_init(&r, 1, RNG_AUGMENT, 0, 0);
    for (size_t i = 0; i < n; i++)
        images[i] = (float)rng_range(&r, -1, 1);
    for (int i = 0; i < batch; i++)
        targets[i * k + i % k] = 1.0f / (float)batch;
    v.params = vector(b, g->nparams, params, e);
    v.buffers = vector(b, g->nbuffers, buffers, e);
    v.grads = vector(b, g->nparams, NULL, e);
    b->update = (struct update){
        .rule = UPDATE_SGD, .end = g->nparams, .lr = 1e-3f, .momentum = 0.9f,
        .params = v.params, .grads = v.grads,
        .m = vector(b, g->nparams, NULL, e)
    };
    b->feed = (struct feed){ batch, images, targets,
                             mem_array((size_t)batch, sizeof(uint32_t)), 1,
                             0 };
    b->plan = b->backend->class->plan(b->backend, g, batch,
                                      b->train ? MODE_TRAIN : MODE_EVAL, &v,
                                      e);
    return b->plan != NULL ? 0 : -1;
}

static int
run_op(struct bench *b, int op, enum pass pass, int step, struct err *e)
{
    double start = clock_seconds();
    int rc;

    while ((rc = b->backend->class->run(b->plan, op, pass, e)) == RUN_SHARE)
        ;

    if (step >= 0)
        b->op[pass][op * b->steps + step] = clock_seconds() - start;
    return rc;
}

static int
run_step(struct bench *b, int step, struct err *e)
{
    const struct backend_class *k = b->backend->class;
    double start = clock_seconds();

    k->feed(b->plan, &b->feed);
    for (int i = 0; i < b->graph.nops; i++)
        if (run_op(b, i, PASS_FORWARD, step, e) != 0)
            return -1;
    for (int i = b->graph.nops - 1; b->train && i >= 0; i--)
        if (run_op(b, i, PASS_BACKWARD, step, e) != 0)
            return -1;
    b->update.step++;
    if (b->train)
        k->update(b->backend, &b->update);
    k->result(b->plan, NULL, NULL);
    k->sync(b->backend);
    if (step >= 0)
        b->seconds[step] = clock_seconds() - start;
    return 0;
}

static void
profile(struct bench *b, double total)
{
    const struct graph *g = &b->graph;

    printf("op\tkind\tforward_ms\tbackward_ms\tshare\tgflops\tby\n");
    for (int i = 0; i < g->nops; i++) {
        double f = median(b->op[0] + i * b->steps, b->steps);
        double r = b->train ? median(b->op[1] + i * b->steps, b->steps) : 0;
        double work = 2 * graph_op_macs(g, i) * b->feed.n;
        char by[128] = "";

        if (b->backend->class->explain != NULL)
            b->backend->class->explain(b->plan, i, by);
        /* Backward is two products, but for the first layer. */
        work *= !b->train ? 1 : g->op[i].in[0] == 0 ? 2 : 3;
        printf("%s\t%s\t%.3f\t%.3f\t%.2f%%\t%.1f\t%s\n", g->op[i].name,
               op_kind_name(g->op[i].kind), f * 1e3, r * 1e3,
               100 * (f + r) / total, work / (f + r) * 1e-9, by);
    }
}

static int
bench(struct bench *b, char **arg, struct err *e)
{
    enum { MODE, MODEL, BATCH, DTYPE, THREADS, STEPS, PROFILE };
    struct net_conf net = { 3, 224, 3, -1 };
    struct backend_conf conf = { 0 };
    struct rusage usage;
    double second;
    int batch = (int)strtol(arg[BATCH], NULL, 10);

    conf.dtype = strcmp(arg[DTYPE], "bf16") == 0 ? DTYPE_BF16 : DTYPE_F32;
    conf.threads = (int)strtol(arg[THREADS], NULL, 10);
    b->steps = (int)strtol(arg[STEPS], NULL, 10);
    b->train = strcmp(arg[MODE], "train") == 0;
    if (b->steps < 1 || batch < 1)
        return err_set(e, EXIT_USAGE, "no batch or no steps");
    if (net_build(&b->graph, arg[MODEL], &net, e) != 0)
        return -1;
    conf.nparams = b->graph.nparams;
    conf.batch = b->train ? batch : 0;
    b->backend = backend_open("cpu", &conf, e);
    if (b->backend == NULL)
        return -1;
    b->seconds = mem_array((size_t)b->steps, sizeof *b->seconds);
    for (int i = 0; i < 2; i++)
        b->op[i] = mem_array((size_t)b->steps * b->graph.nops,
                             sizeof *b->op[i]);
    if (prepare(b, batch, e) != 0)
        return -1;
    for (int i = -2; i < b->steps; i++)     /* two steps to warm up */
        if (run_step(b, i, e) != 0)
            return -1;
    second = median(b->seconds, b->steps);
    getrusage(RUSAGE_SELF, &usage);
    printf("%s\t%s\tcpu\t%s\t%d\t%d\t%.2f\t%.0f\n", arg[MODE], arg[MODEL],
           b->backend->dtype, batch, conf.threads, batch / second,
           (double)usage.ru_maxrss / 1024);
    if (arg[PROFILE] != NULL)
        profile(b, second);
    return 0;
}

int
main(int argc, char **argv)
{
    struct bench b = { 0 };
    struct err e = { 0 };

    log_open("bench_net");
    if (argc < 7) {
        log_error("usage: bench_net train|infer MODEL BATCH DTYPE THREADS "
                  "STEPS [profile]");
        return EXIT_USAGE;
    }
    if (bench(&b, argv + 1, &e) != 0) {
        log_error("%s", e.text);
        return e.status;
    }
    return 0;
}
