#include "backend/cpu_dnnl.h"

#include "base/mem.h"

#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    void *scratch;          /* of primitives and of packed gradients */
    size_t nscratch;
};

enum arg { SRC, DST, BIAS, DBIAS, W_FORWARD, W_DATA, DW, WIDE, NARGS };

struct dn_conv {
    struct dn *d;
    struct dn_conf c;
    int ic, oc;             /* rounded up */
    bool depthwise;
    bool padded;            /* weights go through `wide` */
    dnnl_primitive_t pass[DN_PASSES];
    dnnl_primitive_t pack[2], unpack;   /* weights in, gradient out */
    char name[DN_PASSES][48];
    size_t scratch[DN_PASSES];
    dnnl_memory_desc_t md[NARGS];
    dnnl_memory_t mem[NARGS];
    void *own[NARGS];       /* memory of ours behind mem */
};

/* ---------------------------------------------------------------- machine */

void
dn_cpu(struct dn_cpu *cpu)
{
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    const dnnl_version_t *v = dnnl_version();

    memset(cpu, 0, sizeof *cpu);
    cpu->avx2 = (isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2;
    cpu->avx512 = (isa & dnnl_cpu_isa_avx512_core) ==
                  dnnl_cpu_isa_avx512_core;
    cpu->bf16 = cpu->avx512;    /* emulated before AVX512_BF16 */
    cpu->fast_bf16 = (isa & dnnl_cpu_isa_avx512_core_bf16) ==
                     dnnl_cpu_isa_avx512_core_bf16;
    cpu->amx = (isa & dnnl_cpu_isa_avx512_core_amx) ==
               dnnl_cpu_isa_avx512_core_amx;
    snprintf(cpu->about, sizeof cpu->about, "oneDNN %d.%d.%d, %s", v->major,
             v->minor, v->patch, cpu->amx ? "AMX"
             : cpu->avx512 ? "AVX-512" : cpu->avx2 ? "AVX2" : "SSE4.1");
}

struct dn *
dn_open(struct err *e)
{
    struct dn *d = mem_array(1, sizeof *d);

    if (dnnl_engine_create(&d->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&d->stream, d->engine,
                           dnnl_stream_default_flags) != dnnl_success) {
        err_set(e, EXIT_IO, "oneDNN cannot open the CPU");
        dn_close(d);
        return NULL;
    }
    return d;
}

void
dn_close(struct dn *d)
{
    if (d == NULL)
        return;
    dnnl_stream_destroy(d->stream);
    dnnl_engine_destroy(d->engine);
    free(d->scratch);
    free(d);
}

void *
dn_scratch(struct dn *d, size_t nbytes)
{
    return d->scratch = mem_scratch(d->scratch, nbytes, &d->nscratch, 1);
}

void
dn_gemm(bool ta, bool tb, int m, int n, int k, const float *a, const float *b,
        float beta, float *c)
{
    dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, 1, a, ta ? m : k, b,
               tb ? k : n, beta, c, n);
}

/* --------------------------------------------------------------- planning */

static int
round_up(int n, int to)
{
    return (n + to - 1) / to * to;
}

static int
fail(const struct dn_conv *v, dnnl_status_t s, const char *what,
     struct err *e)
{
    return err_set(e, EXIT_IO, "oneDNN cannot plan '%s' (%s, status %d)",
                   v->c.op->name, what, (int)s);
}

static void
describe(struct dn_conv *v)
{
    const struct dn_conf *c = &v->c;
    const struct op *o = c->op;
    dnnl_data_type_t type = c->bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_format_tag_t tag = c->block == 16 ? dnnl_nChw16c
                            : c->block == 8 ? dnnl_nChw8c : dnnl_nhwc;
    dnnl_dims_t src = { c->n, v->ic, c->h, c->w };
    dnnl_dims_t dst = { c->n, v->oc, o->h, o->w };
    dnnl_dims_t w = { v->oc, v->ic, o->kernel, o->kernel };
    dnnl_dims_t dw = { v->oc, 1, 1, o->kernel, o->kernel };
    dnnl_dims_t bias = { v->oc };
    int nd = v->depthwise ? 5 : 4;
    const int64_t *wd = v->depthwise ? dw : w;

    dnnl_memory_desc_init_by_tag(&v->md[SRC], 4, src, type,
                                 c->plain ? dnnl_nchw : tag);
    dnnl_memory_desc_init_by_tag(&v->md[DST], 4, dst, type, tag);
    dnnl_memory_desc_init_by_tag(&v->md[BIAS], 1, bias, dnnl_f32, dnnl_x);
    v->md[DBIAS] = v->md[BIAS];
    dnnl_memory_desc_init_by_tag(&v->md[W_FORWARD], nd, wd, type,
                                 dnnl_format_tag_any);
    v->md[W_DATA] = v->md[W_FORWARD];
    dnnl_memory_desc_init_by_tag(&v->md[DW], nd, wd, dnnl_f32,
                                 dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&v->md[WIDE], nd, wd, dnnl_f32,
                                 nd == 5 ? dnnl_goihw : dnnl_oihw);
}

/* Post-operations and user scratch memory. */
static dnnl_status_t
attributes(const struct dn_conf *c, dnnl_primitive_attr_t *attr)
{
    dnnl_post_ops_t ops;
    dnnl_status_t s = dnnl_primitive_attr_create(attr);

    if (s != dnnl_success)
        return s;
    dnnl_primitive_attr_set_scratchpad_mode(*attr,
                                            dnnl_scratchpad_mode_user);
    s = dnnl_post_ops_create(&ops);
    if (s != dnnl_success)
        return s;
    if (c->sum)
        s = dnnl_post_ops_append_sum(ops, 1);
    if (s == dnnl_success && c->act == ACT_RELU)
        s = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
    if (s == dnnl_success && c->act == ACT_RELU6)
        s = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_clip, 0, 6);
    if (s == dnnl_success)
        s = dnnl_primitive_attr_set_post_ops(*attr, ops);
    dnnl_post_ops_destroy(ops);
    return s;
}

/*
 * In f32 as for training, whose Winograd convolutions transform the weights for
 * each batch: 4 % of ResNet-18's time with 16 pictures.  For inference oneDNN
 * does it once, but so slowly that it pays from a thousand scans on, and keeps
 * four times the weights.
 */
static dnnl_status_t
descriptor(struct dn_conv *v, enum dn_pass pass, dnnl_convolution_desc_t *cd)
{
    const struct op *o = v->c.op;
    dnnl_dims_t stride = { o->stride, o->stride }, pad = { o->pad, o->pad };
    dnnl_memory_desc_t *m = v->md, *bias = v->c.bias ? &m[BIAS] : NULL;

    switch (pass) {
    case DN_FORWARD:
        return dnnl_convolution_forward_desc_init(
            cd, !v->c.bf16 || v->c.train ? dnnl_forward_training
                                         : dnnl_forward_inference,
            dnnl_convolution_auto, &m[SRC], &m[W_FORWARD], bias, &m[DST],
            stride, pad, pad);
    case DN_DATA:
        return dnnl_convolution_backward_data_desc_init(
            cd, dnnl_convolution_auto, &m[SRC], &m[W_DATA], &m[DST], stride,
            pad, pad);
    default:
        return dnnl_convolution_backward_weights_desc_init(
            cd, dnnl_convolution_auto, &m[SRC], &m[DW], bias, &m[DST],
            stride, pad, pad);
    }
}

/* Plan one pass; `hint` is the forward one.  The weights' layout is fixed. */
static int
plan_pass(struct dn_conv *v, enum dn_pass pass, bool fast,
          const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *pd,
          struct err *e)
{
    static const enum arg weights[] = { W_FORWARD, W_DATA, DW };
    static const dnnl_query_t query[] = { dnnl_query_weights_md,
                                          dnnl_query_weights_md,
                                          dnnl_query_diff_weights_md };
    dnnl_primitive_attr_t attr = NULL;
    dnnl_convolution_desc_t cd;
    struct dn_conf plain = v->c;
    const char *name = "";
    dnnl_status_t s;

    if (pass != DN_FORWARD) {
        plain.sum = false;
        plain.act = ACT_NONE;
    }
    s = attributes(&plain, &attr);
    if (s == dnnl_success)
        s = descriptor(v, pass, &cd);
    if (s == dnnl_success)
        s = dnnl_primitive_desc_create(pd, &cd, attr, v->d->engine, hint);
    dnnl_primitive_attr_destroy(attr);
    if (s != dnnl_success)
        return fail(v, s, "descriptor", e);
    dnnl_primitive_desc_query(*pd, dnnl_query_impl_info_str, 0,
                              (void *)&name);
    snprintf(v->name[pass], sizeof v->name[pass], "%s", name);
    if (fast && strncmp(name, "ref", 3) == 0)
        return fail(v, dnnl_unimplemented, "only by reference", e);
    v->md[weights[pass]] = *dnnl_primitive_desc_query_md(*pd, query[pass], 0);
    v->scratch[pass] = dnnl_memory_desc_get_size(
        dnnl_primitive_desc_query_md(*pd, dnnl_query_scratchpad_md, 0));
    s = dnnl_primitive_create(&v->pass[pass], *pd);
    return s == dnnl_success ? 0 : fail(v, s, "primitive", e);
}

static int
plan_passes(struct dn_conv *v, bool fast, struct err *e)
{
    dnnl_primitive_desc_t pd[DN_PASSES] = { NULL };
    int rc = 0;

    for (int p = DN_FORWARD; p < DN_PASSES && rc == 0; p++) {
        if (p != DN_FORWARD &&
            (!v->c.train || (v->c.plain && (p == DN_DATA ||
                                            v->c.own_weights))))
            continue;
        rc = plan_pass(v, p, fast, pd[DN_FORWARD], &pd[p], e);
    }
    for (int p = 0; p < DN_PASSES; p++)
        if (pd[p] != NULL)
            dnnl_primitive_desc_destroy(pd[p]);
    return rc;
}

static int
plan_reorder(struct dn_conv *v, enum arg from, enum arg to,
             dnnl_primitive_t *p, struct err *e)
{
    dnnl_engine_t g = v->d->engine;
    dnnl_primitive_desc_t pd;
    dnnl_status_t s = dnnl_reorder_primitive_desc_create(
        &pd, &v->md[from], g, &v->md[to], g, NULL);

    if (s == dnnl_success) {
        s = dnnl_primitive_create(p, pd);
        dnnl_primitive_desc_destroy(pd);
    }
    return s == dnnl_success ? 0 : fail(v, s, "reorder", e);
}

static size_t
md_nbytes(const struct dn_conv *v, enum arg a)
{
    return dnnl_memory_desc_get_size(&v->md[a]);
}

/* Memory objects; those that hold something between calls own it. */
static int
make_memory(struct dn_conv *v, struct err *e)
{
    bool used[NARGS] = {
        [SRC] = true, [DST] = true, [BIAS] = v->c.bias,
        [DBIAS] = v->c.bias && v->pass[DN_WEIGHTS] != NULL,
        [W_FORWARD] = true, [W_DATA] = v->pass[DN_DATA] != NULL,
        [DW] = v->pass[DN_WEIGHTS] != NULL, [WIDE] = true
    };

    for (int a = 0; a < NARGS; a++) {
        bool mine = a == BIAS || a == DBIAS || a == W_FORWARD ||
                    a == W_DATA || (a == WIDE && v->padded);
        dnnl_status_t s;

        if (!used[a])
            continue;
        if (mine)       /* a program that trains lives long: see mem_huge() */
            v->own[a] = (v->c.train ? mem_huge : mem_aligned)
                            (md_nbytes(v, a), 1);
        s = dnnl_memory_create(&v->mem[a], &v->md[a], v->d->engine,
                               mine ? v->own[a] : DNNL_MEMORY_NONE);
        if (s != dnnl_success)
            return fail(v, s, "memory", e);
    }
    return 0;
}

struct dn_conv *
dn_conv_new(struct dn *d, const struct dn_conf *c, bool fast, struct err *e)
{
    struct dn_conv *v = mem_array(1, sizeof *v);
    const struct op *o = c->op;
    int rc;

    v->d = d;
    v->c = *c;
    v->depthwise = o->groups > 1 && o->groups == c->c && o->out == c->c;
    v->ic = c->plain ? c->c : round_up(c->c, c->lanes);
    v->oc = round_up(o->out, c->lanes);
    v->padded = v->ic != c->c || v->oc != o->out ||
                (o->groups > 1 && !v->depthwise);
    describe(v);
    rc = plan_passes(v, fast, e);
    if (rc == 0)
        rc = plan_reorder(v, WIDE, W_FORWARD, &v->pack[0], e);
    if (rc == 0 && v->pass[DN_DATA] != NULL)
        rc = plan_reorder(v, WIDE, W_DATA, &v->pack[1], e);
    if (rc == 0 && v->pass[DN_WEIGHTS] != NULL)
        rc = plan_reorder(v, DW, WIDE, &v->unpack, e);
    if (rc == 0)
        rc = make_memory(v, e);
    if (rc != 0) {
        dn_conv_free(v);
        return NULL;
    }
    for (int p = 0; p < DN_PASSES; p++)
        dn_scratch(d, v->scratch[p] + 64 +
                            (p == DN_WEIGHTS && v->pass[p] != NULL
                                 ? md_nbytes(v, DW) : 0));
    return v;
}

void
dn_conv_free(struct dn_conv *v)
{
    if (v == NULL)
        return;
    for (int p = 0; p < DN_PASSES; p++)
        if (v->pass[p] != NULL)
            dnnl_primitive_destroy(v->pass[p]);
    for (int p = 0; p < 2; p++)
        if (v->pack[p] != NULL)
            dnnl_primitive_destroy(v->pack[p]);
    if (v->unpack != NULL)
        dnnl_primitive_destroy(v->unpack);
    for (int a = 0; a < NARGS; a++) {
        if (v->mem[a] != NULL)
            dnnl_memory_destroy(v->mem[a]);
        free(v->own[a]);
    }
    free(v);
}

const char *
dn_conv_name(const struct dn_conv *v, enum dn_pass pass)
{
    return v->name[pass];
}

/* ---------------------------------------------------------------- running */

static int
reorder(struct dn_conv *v, dnnl_primitive_t p, enum arg from, enum arg to)
{
    const dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, v->mem[from] },
                                     { DNNL_ARG_TO, v->mem[to] } };

    return dnnl_primitive_execute(p, v->d->stream, 2, args) == dnnl_success
               ? 0 : -1;
}

/*
 * Copy between compact weights [K,C/groups,R,S] and the wide dense ones, in
 * the direction asked for.  Depthwise ones only have more channels.
 */
static void
widen(const struct dn_conv *v, float *compact, bool out)
{
    const struct op *o = v->c.op;
    int per = v->c.c / o->groups, kper = o->out / o->groups;
    size_t taps = (size_t)o->kernel * o->kernel;
    float *wide = v->own[WIDE];

    for (int k = 0; k < o->out; k++) {
        int first = v->depthwise ? 0 : k / kper * per;
        float *w = wide + ((size_t)k * (v->depthwise ? 1 : v->ic) + first) *
                              taps;
        float *c = compact + (size_t)k * per * taps;

        memcpy(out ? c : w, out ? w : c, (size_t)per * taps * sizeof *c);
    }
}

int
dn_conv_pack(struct dn_conv *v, const float *w, const float *bias)
{
    int rc;

    if (v->padded) {
        /* A gradient may have been left there, also where weights are none. */
        memset(v->own[WIDE], 0, md_nbytes(v, WIDE));
        widen(v, (float *)w, false);
    } else {
        dnnl_memory_set_data_handle(v->mem[WIDE], (void *)w);
    }
    if (v->c.bias)
        memcpy(v->own[BIAS], bias, (size_t)v->c.op->out * sizeof *bias);
    rc = reorder(v, v->pack[0], WIDE, W_FORWARD);
    if (v->pack[1] != NULL)
        rc |= reorder(v, v->pack[1], WIDE, W_DATA);
    return rc;
}

/* Run a pass on its arguments; scratch memory comes as one more. */
static int
run(struct dn_conv *v, enum dn_pass pass, int n, dnnl_exec_arg_t *args)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t size = { (int64_t)v->scratch[pass] };
    dnnl_memory_t scratch = NULL;
    dnnl_status_t s;

    if (size[0] > 0) {
        dnnl_memory_desc_init_by_tag(&md, 1, size, dnnl_u8, dnnl_a);
        dnnl_memory_create(&scratch, &md, v->d->engine, v->d->scratch);
        args[n++] = (dnnl_exec_arg_t){ DNNL_ARG_SCRATCHPAD, scratch };
    }
    s = dnnl_primitive_execute(v->pass[pass], v->d->stream, n, args);
    if (scratch != NULL)
        dnnl_memory_destroy(scratch);
    return s == dnnl_success ? 0 : -1;
}

static dnnl_memory_t
handle(struct dn_conv *v, enum arg a, const void *p)
{
    dnnl_memory_set_data_handle(v->mem[a], (void *)p);
    return v->mem[a];
}

int
dn_conv_forward(struct dn_conv *v, const void *x, void *y)
{
    dnnl_exec_arg_t args[8] = {
        { DNNL_ARG_SRC, handle(v, SRC, x) },
        { DNNL_ARG_DST, handle(v, DST, y) },
        { DNNL_ARG_WEIGHTS, v->mem[W_FORWARD] },
        { DNNL_ARG_BIAS, v->mem[BIAS] },
    };

    return run(v, DN_FORWARD, v->c.bias ? 4 : 3, args);
}

int
dn_conv_data(struct dn_conv *v, const void *dy, void *dx)
{
    dnnl_exec_arg_t args[8] = {
        { DNNL_ARG_DIFF_DST, handle(v, DST, dy) },
        { DNNL_ARG_DIFF_SRC, handle(v, SRC, dx) },
        { DNNL_ARG_WEIGHTS, v->mem[W_DATA] },
    };

    return run(v, DN_DATA, 3, args);
}

int
dn_conv_weights(struct dn_conv *v, const void *x, const void *dy, float *dw,
                float *db)
{
    /* The packed gradient lies behind the primitive's scratch memory. */
    size_t behind = (v->scratch[DN_WEIGHTS] + 63) / 64 * 64;
    dnnl_exec_arg_t args[8] = {
        { DNNL_ARG_SRC, handle(v, SRC, x) },
        { DNNL_ARG_DIFF_DST, handle(v, DST, dy) },
        { DNNL_ARG_DIFF_WEIGHTS,
          handle(v, DW, (char *)v->d->scratch + behind) },
        { DNNL_ARG_DIFF_BIAS, v->mem[DBIAS] },
    };

    if (run(v, DN_WEIGHTS, v->c.bias ? 4 : 3, args) != 0)
        return -1;
    if (!v->padded)
        dnnl_memory_set_data_handle(v->mem[WIDE], dw);
    if (reorder(v, v->unpack, DW, WIDE) != 0)
        return -1;
    if (v->padded)
        widen(v, dw, true);
    if (db != NULL)
        memcpy(db, v->own[DBIAS], (size_t)v->c.op->out * sizeof *db);
    return 0;
}
