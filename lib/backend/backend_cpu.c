/* The backend "cpu": convolutions, own kernels around them. */
#include "backend/backend.h"
#include "backend/cpu_conv.h"
#include "backend/cpu_flat.h"
#include "backend/cpu_shards.h"
#include "backend/units.h"
#include "backend/update.h"
#include "base/mem.h"
#include "base/pool.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cpu {
    struct backend head;
    struct dn *dn;
    const struct cpu_kernels *k;
    struct unit_shape shape;
    bool bf16;
    bool sync_bn;           /* batch-norm in halves: RUN_SHARE */
    uint64_t version;       /* counts changes of any vector */
    char *arena;            /* activation memory of all plans */
    size_t narena;
    double *sums;           /* scratch of the kernels */
    size_t nsums;
    float *wide;            /* scratch of the stem's weight gradient */
    float *folded;          /* weights and bias of one convolution */
    size_t nwide, nfolded;
};

/* What a unit has of ours. */
struct cpu_unit {
    struct cpu_conv *conv;
    struct cpu_bn norm;     /* OP_BN; its vectors are own memory */
    float *memory;          /* behind norm */
    uint64_t version;       /* of the vectors that were packed, 0: none */
    bool half;              /* of a batch-norm, its sums are made */
};

static struct cpu *
cpu_of(const struct unit_plan *p)
{
    return (struct cpu *)p->head.backend;
}

static struct cpu_unit *
mine(const struct unit *u)
{
    return u->own;
}

/* ---------------------------------------------------------- open and close */

static const struct cpu_kernels *
kernels(const struct dn_cpu *m, bool bf16)
{
#ifndef CPU_PLAIN_ONLY
    if (m->avx512)
        return bf16 ? &cpu_avx512_bf16 : &cpu_avx512_f32;
    if (m->avx2)
        return &cpu_avx2_f32;
#endif
    (void)m;
    (void)bf16;         /* only with AVX-512: cpu_open() */
    return &cpu_plain_f32;
}

static void
cpu_close(struct backend *b)
{
    struct cpu *c = (struct cpu *)b;

    dn_close(c->dn);
    free(c->arena);
    free(c->sums);
    free(c->wide);
    free(c->folded);
    free(c);
}

/*
 * Is a batch to be cut among the threads, so that each computes all operations
 * for its part, or every operation?  Threads that share an operation wait for
 * each other many times in it, in oneDNN's weight gradients without ever
 * sleeping: beside other programs they come to a tenth of what they do alone.
 * So a batch is cut where that costs nothing.  Measured with two threads: level
 * in bf16 from 8 pictures each, and in f32 where a network is small; large ones
 * want 16 there, for Winograd's convolutions.  Each part has gradients and
 * packed weights of its own, so large networks on many threads are not cut.
 */
static int
shards_for(const struct backend_conf *c, int threads, bool bf16)
{
    enum { SMALL = 4 << 20, FLOATS_MOST = 1 << 25 };
    int fewest = bf16 || c->nparams < SMALL ? 4 : 16;

    if (threads < 2 || threads > SHARDS_MOST || c->batch < fewest * threads ||
        c->nparams * (size_t)threads > FLOATS_MOST)
        return 0;
    return threads;
}

extern const struct backend_class backend_cpu_class;

static struct backend *
cpu_open(const struct backend_conf *conf, struct err *e)
{
    int threads = conf->threads > 0 ? conf->threads : pool_cores();
    struct backend_conf parts = *conf;
    struct cpu *c;
    struct dn_cpu m;
    bool bf16;

    if (conf->dtype == DTYPE_TF32) {
        err_set(e, EXIT_USAGE, "tf32 is for GPUs; take --dtype f32");
        return NULL;
    }
    dn_cpu(&m);
    if (conf->dtype == DTYPE_BF16 && !m.bf16) {
        err_set(e, EXIT_IO, "bf16 on the CPU needs AVX-512, which this one "
                "lacks; take --dtype f32");
        return NULL;
    }
    bf16 = conf->dtype == DTYPE_BF16 ||
           (conf->dtype == DTYPE_AUTO && m.fast_bf16);
    if (conf->shards == 0)
        parts.shards = shards_for(conf, threads, bf16);
    if (parts.shards > 0)
        return cpu_shards_open(&backend_cpu_class, &parts, e);
    c = mem_array(1, sizeof *c);
    c->bf16 = bf16;
    c->k = kernels(&m, c->bf16);
    /* Measured: all is fastest in blocks but bf16 with AMX, in nhwc. */
    c->shape = (struct unit_shape){ c->k->lanes, c->k->lanes, c->k->size,
                                   conf->keep, conf->recompute, true };
    if (c->bf16 && m.amx)
        c->shape.block = 0;
    c->sync_bn = conf->sync_bn;
    c->head.class = &backend_cpu_class;
    c->head.dtype = c->bf16 ? "bf16" : "f32";
    snprintf(c->head.about, sizeof c->head.about, "%s", m.about);
    c->version = 1;
    omp_set_num_threads(threads);
    if (pool_check(threads, e) == 0)
        c->dn = dn_open(e);
    if (c->dn == NULL) {
        cpu_close(&c->head);
        return NULL;
    }
    return &c->head;
}

/* ----------------------------------------------------------------- vectors */

static float *
cpu_alloc(struct backend *b, size_t n, struct err *e)
{
    (void)b;
    (void)e;
    return mem_huge(n, sizeof(float));
}

static void
cpu_release(struct backend *b, float *p)
{
    (void)b;
    free(p);
}

static void
cpu_put(struct backend *b, float *to, const float *host, size_t n)
{
    ((struct cpu *)b)->version++;
    memcpy(to, host, n * sizeof *to);
}

static void
cpu_get(struct backend *b, float *host, const float *from, size_t n)
{
    (void)b;
    memcpy(host, from, n * sizeof *host);
}

static void
cpu_update(struct backend *b, const struct update *u)
{
    enum { CHUNK = 1 << 16 };

    ((struct cpu *)b)->version++;
#pragma omp parallel for
    for (size_t i = u->begin; i < u->end; i += CHUNK) {
        struct update part = *u;

        part.begin = i;
        part.end = i + CHUNK < u->end ? i + CHUNK : u->end;
        update_host(&part);
    }
}

static void
cpu_sync(struct backend *b)
{
    (void)b;
}

/* ---------------------------------------------------------------- planning */

static struct dn_conf
conv_conf(const struct unit_plan *p, const struct unit *u)
{
    const struct graph *g = p->head.graph;
    const struct cpu *c = cpu_of(p);
    const struct op *o = &g->op[u->op], *x = &g->op[o->in[0]];
    bool plain = p->layout[o->in[0]].plain;

    return (struct dn_conf){
        .op = o, .n = p->head.n, .c = x->c, .h = x->h, .w = x->w,
        .lanes = c->shape.lanes, .block = c->shape.block, .bf16 = c->bf16,
        .train = p->head.mode == MODE_TRAIN, .plain = plain,
        .own_weights = plain && !c->bf16, .act = u->act,
        .sum = u->z != NONE, .bias = o->bias || u->bn != NONE
    };
}

static void
bn_setup(struct unit_plan *p, struct unit *u)
{
    struct cpu_bn *b = &mine(u)->norm;
    const struct op *o = &p->head.graph->op[u->op];
    const struct vectors *v = &p->head.v;
    int c;

    b->s = p->layout[u->op].s;
    c = b->s.c;
    b->channels = o->c;
    b->act = u->act;
    b->gamma = v->params + o->param;
    b->beta = b->gamma + o->c;
    b->run_mean = v->buffers + o->buffer;
    b->run_var = b->run_mean + o->c;
    mine(u)->memory = mem_aligned(4 * (size_t)c, sizeof *mine(u)->memory);
    b->mean = mine(u)->memory;
    b->invstd = mine(u)->memory + c;
    b->scale = mine(u)->memory + 2 * c;
    b->shift = mine(u)->memory + 3 * c;
    b->sums = mem_aligned(cpu_of(p)->k->bn_sums(b), sizeof *b->sums);
    b->shared = mem_array(1 + 2 * (size_t)o->c, sizeof *b->shared);
}

static struct cpu_stem
stem_of(const struct unit_plan *p, const struct unit *u)
{
    const struct op *o = &p->head.graph->op[u->op];
    const struct op *x = &p->head.graph->op[o->in[0]];

    return (struct cpu_stem){ p->head.n, x->c, x->h, x->w,
                              p->layout[u->last].s, o->kernel, o->stride,
                              o->pad };
}

static struct cpu_wino
wino_of(const struct unit_plan *p, const struct unit *u)
{
    const struct op *o = &p->head.graph->op[u->op];

    return (struct cpu_wino){ p->layout[o->in[0]].s, p->layout[u->last].s,
                              p->head.graph->op[o->in[0]].c, o->out,
                              o->pad };
}

static int
unit_setup(struct unit_plan *p, struct unit *u, bool fast, struct err *e)
{
    struct cpu *c = cpu_of(p);
    const struct op *o = &p->head.graph->op[u->op];
    struct dn_conf conf;
    struct cpu_wino wino;
    struct cpu_stem s;

    u->own = mem_array(1, sizeof(struct cpu_unit));
    if (u->kind == OP_BN)
        bn_setup(p, u);
    if (u->kind != OP_CONV)
        return 0;
    conf = conv_conf(p, u);
    wino = wino_of(p, u);
    mine(u)->conv = cpu_conv_new(c->dn, c->k, &conf, &wino, fast, e);
    if (mine(u)->conv == NULL)
        return -1;
    if (u->bn != NONE)
        c->folded = mem_scratch(c->folded, o->nweights + (size_t)o->out,
                                &c->nfolded, sizeof *c->folded);
    if (conf.train && conf.own_weights) {
        s = stem_of(p, u);
        c->sums = mem_scratch(c->sums, c->k->stem_sums(&s), &c->nsums,
                              sizeof *c->sums);
        c->wide = mem_scratch(c->wide, (size_t)s.out.c * (o->nweights /
                              (size_t)o->out), &c->nwide, sizeof *c->wide);
    }
    return 0;
}

/* May the input stay as it comes?  Only for one convolution that reads it. */
static bool
plain_input(const struct graph *g)
{
    for (int i = 1; i < g->nops; i++)
        if (g->op[i].in[0] == 0)
            return g->op[0].uses == 1 && g->op[i].kind == OP_CONV &&
                   g->op[i].groups == 1 && g->op[0].c <= 3;
    return false;
}

static void
free_plan(struct unit_plan *p)
{
    for (int i = 0; i < p->nunits; i++) {
        struct cpu_unit *m = mine(&p->unit[i]);

        if (m == NULL)
            continue;
        cpu_conv_free(m->conv);
        free(m->memory);
        free(m->norm.sums);
        free(m->norm.shared);
        free(m);
    }
    units_release(p);
}

static struct unit_plan *
try_plan(struct cpu *c, const struct graph *g, int n, enum mode mode,
         const struct vectors *v, bool plain, bool fast, struct err *e)
{
    struct unit_plan *p = mem_array(1, sizeof *p);
    size_t nbytes, k = (size_t)graph_classes(g);

    p->head = (struct plan){ .backend = &c->head, .graph = g, .mode = mode,
                             .n = n, .v = *v };
    p->layout = mem_array((size_t)g->nops, sizeof *p->layout);
    p->layout[0].plain = plain;
    nbytes = units_make(p, &c->shape);
    p->head.nbytes = nbytes;
    p->targets = mem_array((size_t)n * k, sizeof *p->targets);
    p->samples = mem_array((size_t)n, sizeof *p->samples);
    for (int i = 0; i < p->nunits; i++)
        if (unit_setup(p, &p->unit[i], fast, e) != 0) {
            free_plan(p);
            return NULL;
        }
    if (nbytes > c->narena) {
        free(c->arena);
        c->arena = mem_huge(nbytes, 1);
        c->narena = nbytes;
    }
    return p;
}

static struct plan *
cpu_plan(struct backend *b, const struct graph *g, int n, enum mode mode,
         const struct vectors *v, struct err *e)
{
    struct cpu *c = (struct cpu *)b;
    struct unit_plan *p = NULL;
    struct err why = { 0 };

    if (plain_input(g))
        p = try_plan(c, g, n, mode, v, true, true, &why);
    if (p == NULL)
        p = try_plan(c, g, n, mode, v, false, true, &why);
    /* Odd shapes (3x3 on one pixel, say) are done, if slowly. */
    if (p == NULL)
        p = try_plan(c, g, n, mode, v, false, false, e);
    return p != NULL ? &p->head : NULL;
}

static void
cpu_unplan(struct plan *p)
{
    if (p != NULL)
        free_plan((struct unit_plan *)p);
}

/* ----------------------------------------------------------------- running */

static void *
memory(const struct unit_plan *p, int slot)
{
    return cpu_of(p)->arena + p->arena.slot[slot].offset;
}

static void *
value(const struct unit_plan *p, int v)
{
    return memory(p, p->value[v]);
}

static void
cpu_feed(struct plan *head, const struct feed *f)
{
    struct unit_plan *p = (struct unit_plan *)head;
    struct cpu *c = cpu_of(p);
    const struct op *in = graph_input(head->graph);
    size_t one = op_floats(in), n = units_floats(p, 0);
    size_t k = (size_t)graph_classes(head->graph);
    const float *images = f->images;
    float *padded = NULL;

    if (f->n < head->n || (p->layout[0].plain && n % (size_t)c->k->lanes)) {
        padded = mem_aligned(n + 64, sizeof *padded);
        memcpy(padded, images, (size_t)f->n * one * sizeof *images);
        images = padded;
    }
    if (p->layout[0].plain)
        c->k->narrow(images, value(p, 0), n);
    else
        c->k->pack(&p->layout[0].s, in->c, images, value(p, 0));
    free(padded);
    memset(p->targets, 0, (size_t)head->n * k * sizeof *p->targets);
    p->has_targets = f->targets != NULL;
    if (f->targets != NULL)
        memcpy(p->targets, f->targets, (size_t)f->n * k * sizeof *f->targets);
    if (f->samples != NULL)
        memcpy(p->samples, f->samples, (size_t)f->n * sizeof *f->samples);
    p->seed = f->seed;
    p->epoch = f->epoch;
    head->fed = f->n;
    if (head->mode == MODE_TRAIN)
        c->version++;       /* running statistics are about to move */
}

/*
 * Fold a batch-norm into weights and bias: w' = w s, b' = (b - mean) s + beta
 * with s = gamma / sqrt(var + eps).  The packed weights are all that is kept.
 */
static const float *
fold(const struct unit_plan *p, const struct unit *u)
{
    const struct op *o = &p->head.graph->op[u->op];
    const struct op *bn = &p->head.graph->op[u->bn];
    const struct vectors *v = &p->head.v;
    const float *w = v->params + o->param, *gamma = v->params + bn->param;
    const float *mean = v->buffers + bn->buffer;
    size_t n = o->nweights / (size_t)o->out;
    float *own = cpu_of(p)->folded, *bias = own + o->nweights;

    #pragma omp parallel for
    for (int k = 0; k < o->out; k++) {
        float s = gamma[k] / sqrtf(mean[bn->c + k] + BN_EPS);
        float b = o->bias ? w[o->nweights + (size_t)k] : 0;

        #pragma omp simd
        for (size_t i = 0; i < n; i++)
            own[(size_t)k * n + i] = w[(size_t)k * n + i] * s;
        bias[k] = gamma[bn->c + k] + (b - mean[k]) * s;
    }
    return own;
}

static int
conv_forward(struct unit_plan *p, struct unit *u)
{
    const struct op *o = &p->head.graph->op[u->op];
    struct cpu *c = cpu_of(p);
    const float *w = p->head.v.params + o->param;
    int rc = 0;

    if (mine(u)->version != c->version) {
        if (u->bn != NONE)
            w = fold(p, u);
        rc = cpu_conv_pack(mine(u)->conv, w, w + o->nweights);
        mine(u)->version = c->version;
    }
    if (u->z != NONE && p->value[u->z] != p->value[u->last])
        memcpy(value(p, u->last), value(p, u->z), p->layout[u->last].nbytes);
    if (rc == 0)
        rc = cpu_conv_forward(mine(u)->conv, value(p, o->in[0]),
                             value(p, u->last));
    return rc;
}

/* Half of a batch-norm is done: hand its sums out. */
static int
share_sums(struct unit_plan *p, struct unit *u)
{
    const struct cpu_bn *b = &mine(u)->norm;

    p->head.sums = b->shared;
    p->head.nsums = 1 + 2 * (size_t)b->channels;
    if (p->head.fed == 0)
        memset(b->shared, 0, p->head.nsums * sizeof *b->shared);
    mine(u)->half = true;
    return RUN_SHARE;
}

static int
bn_forward(struct unit_plan *p, struct unit *u)
{
    const struct cpu_kernels *k = cpu_of(p)->k;
    struct cpu_bn *b = &mine(u)->norm;
    const void *x = value(p, p->head.graph->op[u->op].in[0]);
    const void *z = u->z != NONE ? value(p, u->z) : NULL;

    if (p->head.mode == MODE_TRAIN && cpu_of(p)->sync_bn) {
        if (!mine(u)->half) {
            k->bn_train_sums(b, x);
            return share_sums(p, u);
        }
        k->bn_train_rest(b, x, z, value(p, u->last));
        mine(u)->half = false;
        return 0;
    }
    if (p->head.mode == MODE_TRAIN) {
        k->bn_train(b, x, z, value(p, u->last));
        return 0;
    }
    for (int c = 0; c < b->channels; c++) {
        b->scale[c] = b->gamma[c] / sqrtf(b->run_var[c] + BN_EPS);
        b->shift[c] = b->beta[c] - b->run_mean[c] * b->scale[c];
    }
    k->bn_apply(b, x, z, value(p, u->last));
    return 0;
}

/* Where the numbers of a unit of flat values lie. */
static struct cpu_flat
flat_of(const struct unit_plan *p, const struct unit *u)
{
    int dy = p->grad[0][u->last];

    return (struct cpu_flat){
        .x = value(p, p->head.graph->op[u->op].in[0]),
        .y = value(p, u->last),
        .dy = dy != NONE ? memory(p, dy) : NULL,
        .dx = u->dx[0] != NONE ? memory(p, u->dx[0]) : NULL
    };
}

static struct cpu_pool
pool_of(const struct unit_plan *p, const struct unit *u)
{
    const struct op *o = &p->head.graph->op[u->op];

    return (struct cpu_pool){ p->layout[o->in[0]].s, p->layout[u->last].s,
                              o->kernel, o->stride, o->pad };
}

static int
forward(struct unit_plan *p, struct unit *u)
{
    const struct cpu_kernels *k = cpu_of(p)->k;
    const struct graph *g = p->head.graph;
    const struct op *o = &g->op[u->op];
    void *y = value(p, u->last);
    const void *x = o->in[0] != NONE ? value(p, o->in[0]) : y;
    struct cpu_pool pool;
    struct cpu_flat flat;

    if (o->flat && u->kind != OP_AVGPOOL) {
        flat = flat_of(p, u);
        cpu_flat_forward(p, u, &flat);
        return 0;
    }
    switch (u->kind) {
    case OP_INPUT:
        break;
    case OP_CONV:
        return conv_forward(p, u);
    case OP_BN:
        return bn_forward(p, u);
    case OP_ADD:
        k->add(&p->layout[u->last].s, u->act, x, value(p, u->z), y);
        break;
    case OP_RELU:
    case OP_RELU6:
        k->add(&p->layout[u->last].s, u->act, x, NULL, y);
        break;
    case OP_MAXPOOL:
        pool = pool_of(p, u);
        k->maxpool(&pool, x, y, memory(p, u->at));
        break;
    case OP_AVGPOOL:
        k->avgpool(&p->layout[o->in[0]].s, g->op[o->in[0]].c, o->size, x, y);
        break;
    default:
        break;
    }
    return 0;
}

/* The input of a convolution on its way back: as it was, or made again. */
static const void *
conv_input(struct unit_plan *p, const struct unit *u)
{
    int x = p->head.graph->op[u->op].in[0];
    struct unit *maker = &p->unit[p->unit_at[x]];

    if (u->again == NONE)
        return value(p, x);
    cpu_of(p)->k->bn_apply(&mine(maker)->norm,
                           value(p, p->head.graph->op[maker->op].in[0]), NULL,
                           memory(p, u->again));
    return memory(p, u->again);
}

static int
conv_backward(struct unit_plan *p, struct unit *u, void *dy)
{
    const struct cpu_kernels *k = cpu_of(p)->k;
    const struct op *o = &p->head.graph->op[u->op];
    struct cpu *c = cpu_of(p);
    const void *x = conv_input(p, u);
    float *dw = p->head.v.grads + o->param, *db = dw + o->nweights;
    struct cpu_stem s;

    if (u->act != ACT_NONE)
        k->act_back(&p->layout[u->last].s, u->act, value(p, u->last), dy, dy);
    if (p->layout[o->in[0]].plain && !c->bf16) {
        s = stem_of(p, u);
        k->stem_back(&s, x, dy, c->wide, c->sums);
        memcpy(dw, c->wide, o->nweights * sizeof *dw);
        if (o->bias)
            k->channel_sums(&s.out, o->out, dy, db);
    } else if (cpu_conv_weights(mine(u)->conv, x, dy, dw,
                               o->bias ? db : NULL) != 0) {
        return -1;
    }
    return u->dx[0] == NONE
               ? 0 : cpu_conv_data(mine(u)->conv, dy, memory(p, u->dx[0]));
}

static int
bn_backward(struct unit_plan *p, struct unit *u, void *dy)
{
    const struct cpu_kernels *k = cpu_of(p)->k;
    const struct cpu_bn *b = &mine(u)->norm;
    const struct op *o = &p->head.graph->op[u->op];
    int dy2 = p->grad[1][u->last];
    struct cpu_bn_back g = {
        .x = value(p, o->in[0]),
        .y = u->z != NONE ? value(p, u->last) : NULL,
        .dy = dy,
        .dy2 = dy2 != NONE ? memory(p, dy2) : NULL,
        .z = u->z != NONE,
        .dz = u->dx_add[1] ? memory(p, u->dx[1]) : NULL,
        .dx = memory(p, u->dx[0]),
        .dgamma = p->head.v.grads + o->param,
        .dbeta = p->head.v.grads + o->param + o->c,
    };

    if (!cpu_of(p)->sync_bn) {
        k->bn_back(b, &g);
    } else if (!mine(u)->half) {
        k->bn_back_sums(b, &g);
        return share_sums(p, u);
    } else {
        k->bn_back_rest(b, &g);
        mine(u)->half = false;
    }
    return 0;
}

static int
backward(struct unit_plan *p, struct unit *u)
{
    const struct cpu_kernels *k = cpu_of(p)->k;
    const struct graph *g = p->head.graph;
    const struct op *o = &g->op[u->op];
    const struct pix *s = &p->layout[u->last].s;
    void *dy = p->grad[0][u->last] != NONE
                   ? memory(p, p->grad[0][u->last]) : NULL;
    void *dx = u->dx[0] != NONE ? memory(p, u->dx[0]) : NULL;
    struct cpu_pool pool;
    struct cpu_flat flat;

    if (o->flat && u->kind != OP_AVGPOOL) {
        flat = flat_of(p, u);
        cpu_flat_backward(p, u, &flat);
        return 0;
    }
    switch (u->kind) {
    case OP_INPUT:
        break;
    case OP_CONV:
        return conv_backward(p, u, dy);
    case OP_BN:
        return bn_backward(p, u, dy);
    case OP_ADD:
        k->act_back(s, u->act, value(p, u->last), dy, dx);
        k->act_back(s, u->act, value(p, u->last), dy, memory(p, u->dx[1]));
        break;
    case OP_RELU:
    case OP_RELU6:
        k->act_back(s, u->act, value(p, u->last), dy, dx);
        break;
    case OP_MAXPOOL:
        pool = pool_of(p, u);
        k->maxpool_back(&pool, memory(p, u->at), dy, dx);
        break;
    case OP_AVGPOOL:
        k->avgpool_back(&p->layout[o->in[0]].s, g->op[o->in[0]].c, o->size,
                        dy, dx);
        break;
    default:
        break;
    }
    return 0;
}

/* Add what a unit wrote to a slot of its own to the gradient it belongs to. */
static void
gather(struct unit_plan *p, struct unit *u)
{
    const struct op *o = &p->head.graph->op[u->op];

    for (int i = 0; i < 2; i++) {
        int v = i == 0 ? o->in[0] : u->z;
        float *to, *from;
        size_t n;

        if (u->dx_into[i] == NONE)
            continue;
        n = units_floats(p, v);
        to = memory(p, u->dx_into[i]);
        from = memory(p, u->dx[i]);
        if (p->head.graph->op[v].flat)
            for (size_t j = 0; j < n; j++)
                to[j] += from[j];
        else
            cpu_of(p)->k->add(&p->layout[v].s, ACT_NONE, to, from, to);
    }
}

static int
cpu_run(struct plan *head, int op, enum pass pass, struct err *e)
{
    struct unit_plan *p = (struct unit_plan *)head;
    struct unit *u = units_begin(p, op, pass);
    int rc;

    if (u == NULL)
        return 0;
    rc = pass == PASS_FORWARD ? forward(p, u) : backward(p, u);
    if (rc == RUN_SHARE)
        return rc;
    if (pass == PASS_BACKWARD)
        gather(p, u);
    return rc == 0 ? 0 : err_set(e, EXIT_IO, "oneDNN failed in '%s'",
                                 head->graph->op[u->op].name);
}

/* oneDNN's name of what computes a convolution's three passes. */
static void
cpu_explain(struct plan *head, int op, char text[128])
{
    struct unit_plan *p = (struct unit_plan *)head;

    text[0] = '\0';
    for (int i = 0; i < p->nunits; i++) {
        const struct cpu_conv *conv = mine(&p->unit[i])->conv;

        if (p->unit[i].op == op && conv != NULL)
            snprintf(text, 128, "%s %s %s", cpu_conv_name(conv, DN_FORWARD),
                     cpu_conv_name(conv, DN_DATA),
                     cpu_conv_name(conv, DN_WEIGHTS));
    }
}

static void
cpu_result(struct plan *head, float *probs, double *loss)
{
    struct unit_plan *p = (struct unit_plan *)head;
    int last = head->graph->nops - 1;

    if (probs != NULL)
        memcpy(probs, value(p, last), (size_t)head->fed *
               (size_t)graph_classes(head->graph) * sizeof *probs);
    if (loss != NULL)
        *loss = p->has_targets ? p->loss : NAN;
}

/* To the host, what slot holds of value v's shape. */
static void
fetch(struct unit_plan *p, int v, int slot, float *host)
{
    const struct op *o = &p->head.graph->op[v];
    struct pix s = p->layout[v].s;

    s.n = p->head.fed;
    if (o->flat || p->layout[v].plain)
        memcpy(host, memory(p, slot),
               (size_t)p->head.fed * op_floats(o) * sizeof *host);
    else
        cpu_of(p)->k->unpack(&s, o->c, memory(p, slot), host);
}

static int
cpu_peek(struct plan *head, int v, bool gradient, float *host)
{
    struct unit_plan *p = (struct unit_plan *)head;

    if (p->layout[v].plain && cpu_of(p)->bf16)
        return -1;
    return units_peek(p, v, gradient, host, fetch);
}

const struct backend_class backend_cpu_class = {
    .name = "cpu", .host = true, .open = cpu_open, .close = cpu_close,
    .alloc = cpu_alloc, .release = cpu_release, .put = cpu_put, .get = cpu_get,
    .plan = cpu_plan,
    .unplan = cpu_unplan, .feed = cpu_feed, .run = cpu_run,
    .result = cpu_result, .update = cpu_update, .sync = cpu_sync,
    .peek = cpu_peek, .explain = cpu_explain
};

__attribute__((visibility("default")))
const struct backend_class *const busi_backend_class = &backend_cpu_class;
