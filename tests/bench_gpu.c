/*
 * bench_gpu: whole training steps on a GPU, pictures already there.
 *
 *     bench_gpu step MODEL BATCH DTYPE STEPS
 *     bench_gpu data FILE ROWS SIDE CHANNELS
 *
 * step, one line: model, device, dtype, batch, images/s, TFLOP/s of the
 * convolutions and products, the same of one large product (the peak), share,
 * seconds from the start to the first step's end, how steps are run.  All of a
 * step is in it: the batch's augmentation (standard), forward, backward, SGD.
 *
 * data: a dataset of random pictures, for busi-train.
 */
#include "backend/walk.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/version.h"
#include "data/augment.h"
#include "data/dataset.h"
#include "model/init.h"
#include "model/nets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libdeflate.h>

enum { PICTURES = 256, SIDE = 224, CHANNELS = 3, CLASSES = 3 };

/* A hash that looks random: what the pictures show does not matter. */
static void
fill(uint8_t *px, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t x = (uint32_t)i * 0x9E3779B9u + seed * 0x85EBCA6Bu;

        x = (x ^ x >> 16) * 0x7FEB352Du;
        px[i] = (uint8_t)((x ^ x >> 15) >> 7);
    }
}

/* --------------------------------------------------------------------- step */

struct bench {
    struct backend *b;
    struct graph g;
    struct vectors v;
    struct plan *plan;
    struct update update;
    int batch;
};

static float *
vector(struct bench *t, size_t n, const float *host, struct err *e)
{
    float *x = t->b->class->alloc(t->b, n + 1, e);

    if (x != NULL && host != NULL)
        t->b->class->put(t->b, x, host, n);
    return x;
}

static int
prepare(struct bench *t, struct err *e)
{
    const struct graph *g = &t->g;
    float *params = mem_array(g->nparams, sizeof *params);
    float *buffers = mem_array(g->nbuffers + 1, sizeof *buffers);
    uint8_t *px = mem_array((size_t)PICTURES * SIDE * SIDE, CHANNELS);
    struct resident held = { PICTURES, CHANNELS, SIDE, SIDE, px };
    int rc;

    init_params(g, 1, params, buffers);
    t->v.params = vector(t, g->nparams, params, e);
    t->v.buffers = vector(t, g->nbuffers, buffers, e);
    t->v.grads = vector(t, g->nparams, NULL, e);
    t->update = (struct update){
        .rule = UPDATE_SGD, .end = g->nparams, .lr = 1e-3f, .momentum = 0.9f,
        .params = t->v.params, .grads = t->v.grads,
        .m = vector(t, g->nparams, NULL, e)
    };
    free(params);
    free(buffers);
    fill(px, (size_t)PICTURES * SIDE * SIDE * CHANNELS, 1);
    rc = e->status != 0 ? -1 : t->b->class->hold(t->b, &held, e);
    free(px);
    if (rc == 0)
        t->plan = t->b->class->plan(t->b, g, t->batch, MODE_TRAIN, &t->v, e);
    return t->plan != NULL ? 0 : -1;
}

/* An epoch of so many steps; waits for its end.  Seconds without preparing. */
static int
run(struct bench *t, int steps, double *seconds, struct err *e)
{
    size_t n = (size_t)steps * (size_t)t->batch;
    struct epoch x = { .n = n, .batch = (size_t)t->batch,
                       .classes = CLASSES, .seed = 1 };
    uint32_t *rows = mem_array(n, sizeof *rows);
    struct augment_map *maps = mem_array(n, sizeof *maps);
    float *targets = mem_array(n * CLASSES, sizeof *targets);
    int32_t *labels = mem_array(n, sizeof *labels);
    struct update *u = mem_array((size_t)steps * UPDATES, sizeof *u);
    struct recipe recipe = { .mean = { 0.5f, 0.5f, 0.5f },
                             .std = { 0.5f, 0.5f, 0.5f } };
    static const uint8_t gray[SIDE * SIDE * CHANNELS];
    double loss, correct, start;
    struct augment a;
    int rc;

    for (size_t i = 0; i < n; i++) {
        rows[i] = (uint32_t)(i % PICTURES);
        labels[i] = (int32_t)(i % CLASSES);
        targets[i * CLASSES + i % CLASSES] = 1.0f / (float)t->batch;
        augment_draw(&a, AUGMENT_STANDARD, 1, 0, (uint32_t)i, SIDE, SIDE,
                     SIDE);
        a.contrast = 1;     /* then the picture's mean is not asked for */
        augment_prepare(&a, &recipe, gray, SIDE, SIDE, CHANNELS, SIDE,
                        &maps[i]);
    }
    for (int i = 0; i < steps; i++) {
        u[i * UPDATES] = u[i * UPDATES + 1] = t->update;
        u[i * UPDATES].end = 0;
        u[i * UPDATES].step = u[i * UPDATES + 1].step = ++t->update.step;
    }
    x.rows = rows;
    x.maps = maps;
    x.targets = targets;
    x.labels = labels;
    x.updates = u;
    rc = t->b->class->epoch(t->b, &x, e);
    t->b->class->sync(t->b);
    start = clock_seconds();
    for (int i = 0; i < steps && rc == 0; i++)
        rc = t->b->class->step(t->plan, e);
    if (rc == 0)
        rc = t->b->class->sums(t->b, &loss, &correct, e);
    *seconds = clock_seconds() - start;
    free(rows);
    free(maps);
    free(targets);
    free(labels);
    free(u);
    return rc;
}

/* Seconds of `steps` steps, the least of three runs. */
static int
time_steps(struct bench *t, int steps, double *seconds, struct err *e)
{
    double one;

    *seconds = 1e30;
    for (int i = 0; i < 3; i++) {
        if (run(t, steps, &one, e) != 0)
            return -1;
        if (one < *seconds)
            *seconds = one;
    }
    return 0;
}

/* TFLOP/s of one product of [200704, 1024] and [1024, 1024]. */
static int
peak(struct backend *b, double *tflops, struct err *e)
{
    enum { N = 64, C = 1024, S = 56, OP = 2, REPEATS = 20 };
    static const char text[] =
        "input x channels=8 size=56\nconv a x out=1024 kernel=1\n"
        "conv b a out=1024 kernel=1\navgpool p b size=1\nlinear fc p out=2";
    const struct backend_class *k = b->class;
    float *images = mem_array((size_t)N * 8 * S * S, sizeof *images);
    struct feed f = { .n = N, .images = images };
    struct vectors v = { NULL, NULL, NULL };
    struct plan *p;
    struct graph g;
    double start;
    int rc;

    if (graph_parse(&g, "peak", text, e) != 0)
        return -1;
    v.params = k->alloc(b, g.nparams, e);
    v.buffers = k->alloc(b, 1, e);
    for (size_t i = 0; i < (size_t)N * 8 * S * S; i++)
        images[i] = (float)(i * 2654435761u % 1000) / 500 - 1;
    if (v.params != NULL) {
        float *w = mem_array(g.nparams, sizeof *w);

        for (size_t i = 0; i < g.nparams; i++)
            w[i] = (float)(i * 2246822519u % 1000) / 5000 - 0.1f;
        k->put(b, v.params, w, g.nparams);
        free(w);
    }
    p = k->plan(b, &g, N, MODE_EVAL, &v, e);
    if (p == NULL)
        return -1;
    k->feed(p, &f);
    rc = walk_forward(p, e);
    k->sync(b);
    start = clock_seconds();
    for (int i = 0; i < REPEATS && rc == 0; i++)
        rc = k->run(p, OP, PASS_FORWARD, e);
    k->sync(b);
    *tflops = 2e-12 * N * graph_op_macs(&g, OP) * REPEATS /
              (clock_seconds() - start);
    k->unplan(p);
    k->release(b, v.params);
    k->release(b, v.buffers);
    graph_release(&g);
    free(images);
    return rc;
}

static int
bench_step(char **arg, double begun, struct err *e)
{
    struct net_conf net = { CHANNELS, SIDE, CLASSES, -1 };
    struct backend_conf conf = { .device = -1 };
    struct bench t = { .batch = (int)strtol(arg[1], NULL, 10) };
    int steps = (int)strtol(arg[3], NULL, 10);
    double first, seconds, tflops, top;

    conf.dtype = strcmp(arg[2], "bf16") == 0 ? DTYPE_BF16 : DTYPE_F32;
    if (steps < 1 || t.batch < 1)
        return err_set(e, EXIT_USAGE, "no batch or no steps");
    t.b = backend_open("cuda", &conf, e);
    if (t.b == NULL || net_build(&t.g, arg[0], &net, e) != 0 ||
        prepare(&t, e) != 0 || run(&t, 1, &seconds, e) != 0)
        return -1;
    first = clock_seconds() - begun;
    if (run(&t, 3, &seconds, e) != 0 || time_steps(&t, steps, &seconds, e) != 0)
        return -1;
    /* Backward is two products, but one for the first layer. */
    tflops = 2e-12 * t.batch * steps / seconds *
             (3 * graph_macs(&t.g) - graph_op_macs(&t.g, 1));
    if (peak(t.b, &top, e) != 0)
        return -1;
    printf("%s\t%s\t%s\t%d\t%.1f\t%.1f\t%.1f\t%.3f\t%.2f\t%s\n", arg[0],
           t.b->class->name, t.b->dtype, t.batch, t.batch * steps / seconds,
           tflops, top, tflops / top, first, t.b->about);
    t.b->class->unplan(t.plan);
    backend_close(t.b);         /* and so the choices are kept */
    return 0;
}

/* --------------------------------------------------------------------- data */

static int
make_data(char **arg, struct err *e)
{
    int64_t n = strtol(arg[1], NULL, 10), side = strtol(arg[2], NULL, 10);
    int64_t c = strtol(arg[3], NULL, 10), nids;
    int64_t dims[4] = { n, side, side, c }, sha_dims[2] = { n, 32 };
    size_t one = (size_t)(side * side * c);
    char *recipe = str_format("resize=%lldx%lld crop=%lld channels=%lld "
                              "mean=0.5 std=0.5", (long long)side,
                              (long long)side, (long long)side,
                              (long long)c);
    uint8_t *px = mem_array((size_t)n, one), *sha = mem_array((size_t)n, 32);
    int64_t *labels = mem_array((size_t)n, sizeof *labels);
    uint32_t *crc = mem_array((size_t)n, sizeof *crc);
    struct str ids = { 0 };
    struct dataset_parts parts;
    char digest[DIGEST_HEX];
    struct safet_out o;

    for (int64_t i = 0; i < n; i++) {
        fill(px + (size_t)i * one, one, (uint32_t)i);
        labels[i] = i % CLASSES;
        crc[i] = libdeflate_crc32(0, px + (size_t)i * one, one);
        memset(sha + i * 32, 1 + (int)(i % 200), 32);
        str_addf(&ids, "picture-%05lld", (long long)i);
        str_add_bytes(&ids, "", 1);
    }
    nids = (int64_t)ids.n;
    parts = (struct dataset_parts){ (size_t)n, labels, crc, ids.text, ids.n,
                                    "a\tb\tc", recipe };
    dataset_digest(&parts, digest);
    if (safet_create(&o, arg[0], 4000, e) != 0)
        return -1;
    safet_put(&o, "images", DT_U8, 4, dims, px);
    safet_put(&o, "labels", DT_I64, 1, dims, labels);
    safet_put(&o, "row_crc", DT_U32, 1, dims, crc);
    safet_put(&o, "sha256", DT_U8, 2, sha_dims, sha);
    safet_put(&o, "ids", DT_U8, 1, &nids, ids.text);
    safet_set(&o, "format", BUSI_FORMAT);
    safet_set(&o, "kind", "dataset");
    safet_set(&o, "classes", "a\tb\tc");
    safet_set(&o, "recipe", recipe);
    safet_set(&o, "content", digest);
    return safet_commit(&o, e);
}

int
main(int argc, char **argv)
{
    double begun = clock_seconds();
    struct err e = { 0 };

    log_open("bench_gpu");
    if (argc == 6 && strcmp(argv[1], "step") == 0) {
        if (bench_step(argv + 2, begun, &e) == 0)
            return 0;
    } else if (argc == 6 && strcmp(argv[1], "data") == 0) {
        if (make_data(argv + 2, &e) == 0)
            return 0;
    } else {
        err_set(&e, EXIT_USAGE, "usage: bench_gpu step MODEL BATCH DTYPE "
                "STEPS | data FILE ROWS SIDE CHANNELS");
    }
    log_error("%s", e.text);
    return e.status;
}
