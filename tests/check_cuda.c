/*
 * check_cuda: the CUDA backend against the reference.
 *
 * As check_cuda it opens the plugin and needs a GPU.  As check_cuda_host it
 * holds the backend itself, with its kernels compiled for this processor and
 * plain loops in cuDNN's place (tests/cuda_host.h, host_cuda.c, host_cudnn.c).
 */
#include "backend/update.h"
#include "data/augment.h"
#include "tests/opcheck.h"

#include <stdio.h>
#include <string.h>

/* There in check_cuda_host only. */
extern const struct backend_class backend_cuda_class __attribute__((weak));

extern unsigned long cuda_host_launches __attribute__((weak));

static const struct limits limits_f32 = { .values = 1e-4, .gradients = 1e-4 };
/* Beside bf16, linear layers in TF32 on a GPU: with as much noise there, values
 * are within 1.6e-2 and gradients of convolutions within 5e-2. */
static const struct limits limits_bf16 = { .by_norm = true, .values = 4e-2 };
/*
 * Kinks of ReLU6, see check_cpu; and sums of another order: 1e-6 of random noise
 * on each convolution moves values by 7e-5, gradients by 4e-2.
 */
static const struct limits limits_deep = { .by_norm = true, .values = 1e-3,
                                           .gradients = 2e-1 };

static struct backend *
open_cuda(const struct backend_conf *c, struct err *e)
{
    return &backend_cuda_class != NULL ? backend_cuda_class.open(c, e)
                                       : backend_open("cuda", c, e);
}

/* same: the same bits in every run; else what trainings use, by timing. */
static struct backend *
open_type(bool bf16, bool same)
{
    struct backend_conf conf = { .dtype = bf16 ? DTYPE_BF16 : DTYPE_F32,
                                 .device = -1, .deterministic = same };
    struct err e = { 0 };
    struct backend *b = open_cuda(&conf, &e);

    ck_assert_msg(b != NULL, "%s", e.text);
    return b;
}

static void
open_pair(struct pair *p, bool bf16)
{
    struct backend_conf plain = { .dtype = DTYPE_F32 };
    struct err e = { 0 };

    memset(p, 0, sizeof *p);
    p->other = open_type(bf16, false);
    p->ref = backend_open("ref", &plain, &e);
    p->limits = bf16 ? limits_bf16 : limits_f32;
    ck_assert_msg(strcmp(p->other->dtype, bf16 ? "bf16" : "f32") == 0, "%s",
                  p->other->dtype);
}

static void
close_pair(struct pair *p, const char *what)
{
    printf("%s, %s: values within %.1e, gradients within %.1e\n",
           p->other->dtype, what, p->worst_value, p->worst_gradient);
    backend_close(p->ref);
    backend_close(p->other);
}

static void
both_types(void (*check)(struct pair *p), const char *what,
           double bf16_gradients)
{
    struct pair p;

    for (int bf16 = 0; bf16 < 2; bf16++) {
        open_pair(&p, bf16);
        if (bf16)
            p.limits.gradients = bf16_gradients;
        check(&p);
        close_pair(&p, what);
    }
}

START_TEST(test_convs)
{
    both_types(pair_convs, "convolutions", 1e-1);
}
END_TEST

START_TEST(test_elements)
{
    both_types(pair_elements, "pictures", 2e-1);
}
END_TEST

START_TEST(test_flats)
{
    both_types(pair_flats, "flat values", 8e-2);
}
END_TEST

START_TEST(test_nets)
{
    struct pair p;

    open_pair(&p, false);
    p.limits = limits_deep;
    pair_nets(&p);
    close_pair(&p, "networks");
}
END_TEST

/* ------------------------------------------------------------- whole steps */

/* Every kind of operation, small enough for the reference. */
static const char small[] =
    "input x channels=1 size=32\n"
    "conv c1 x out=16 kernel=3 stride=2 pad=1\n"
    "bn b1 c1\nrelu6 r1 b1\n"
    "conv c2 r1 out=16 kernel=3 pad=1 groups=16\n"
    "bn b2 c2\nrelu6 r2 b2\n"
    "conv c3 r2 out=16 kernel=1\n"
    "bn b3 c3\nadd a b3 r1\nrelu r3 a\n"
    "maxpool m r3 kernel=3 stride=2 pad=1\n"
    "avgpool p m size=1\nlinear l p out=24\nrelu r4 l\n"
    "dropout d r4 p=0.2\nlinear fc d out=3";

static struct update
rule(enum update_rule r, const struct graph *g, const struct vectors *v,
     float *m[3])
{
    return (struct update){
        .rule = r, .end = g->nparams, .lr = 0.02f, .momentum = 0.9f,
        .decay = 0.01f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f,
        .ema_decay = 0.9f, .params = v->params, .grads = v->grads,
        .m = m[0], .v = r == UPDATE_ADAMW ? m[1] : NULL,
        .ema = r == UPDATE_ADAMW ? m[2] : NULL
    };
}

enum { STEPS = 20 };

/* Train for STEPS steps; losses, and the last parameters (caller frees). */
static float *
train(struct backend *b, const struct net *net, enum update_rule r,
      double loss[STEPS])
{
    const struct backend_class *c = b->class;
    struct feed f = net->feed;
    struct side s;
    struct update u;
    struct err e = { 0 };
    float *m[3], *params;

    for (int i = 0; i < 3; i++)
        m[i] = c->alloc(b, net->g.nparams, &e);
    side_open(&s, b, net, MODE_TRAIN);
    u = rule(r, &net->g, &s.v, m);
    for (int i = 0; i < STEPS; i++) {
        f.epoch = (uint32_t)i;
        loss[i] = side_run(&s, &f);
        u.step = i + 1;
        c->update(b, &u);
    }
    params = side_get(&s, r == UPDATE_ADAMW ? u.ema : s.v.params,
                      net->g.nparams);
    for (int i = 0; i < 3; i++)
        c->release(b, m[i]);
    side_close(&s);
    return params;
}

static double
furthest(const double *a, const double *b, int n)
{
    double most = 0;

    for (int i = 0; i < n; i++) {
        double d = fabs(a[i] - b[i]) / fabs(a[i]);

        most = d <= most ? most : d;        /* also where it is NaN */
    }
    return most;
}

/* The curves of both rules stay with the reference's. */
START_TEST(test_curves)
{
    struct backend_conf plain = { .dtype = DTYPE_F32 };
    struct err e = { 0 };
    struct backend *ref = backend_open("ref", &plain, &e);
    struct backend *b = open_type(false, false);
    struct net net = { 0 };

    net_parse(&net, small, 6);
    for (enum update_rule r = UPDATE_SGD; r <= UPDATE_ADAMW; r++) {
        double ours[STEPS], refs[STEPS], off;
        float *p = train(ref, &net, r, refs), *q = train(b, &net, r, ours);

        off = furthest(refs, ours, STEPS);
        printf("%s: losses within %.1e over %d steps (%.4f to %.4f)\n",
               r == UPDATE_SGD ? "sgd" : "adamw", off, STEPS, refs[0],
               refs[STEPS - 1]);
        ck_assert_msg(off <= 1e-3, "losses differ by %g", off);
        ck_assert_msg(fabs(refs[0] - refs[STEPS - 1]) > 0.02 * refs[0],
                      "nothing was learnt");
        free(p);
        free(q);
    }
    net_release(&net);
    backend_close(ref);
    backend_close(b);
}
END_TEST

/* Two runs, the same bits; without a GPU threads run in the opposite order. */
START_TEST(test_same)
{
    for (int bf16 = 0; bf16 < 2; bf16++) {
        struct net net = { 0 };
        double loss[2][STEPS];
        float *params[2];

        net_parse(&net, small, 6);
        for (int i = 0; i < 2; i++) {
            struct backend *b = open_type(bf16, true);

            if (i == 1)
                setenv("CUDA_HOST_BACKWARDS", "1", 1);
            params[i] = train(b, &net, UPDATE_ADAMW, loss[i]);
            unsetenv("CUDA_HOST_BACKWARDS");
            backend_close(b);
        }
        ck_assert_msg(memcmp(loss[0], loss[1], sizeof loss[0]) == 0,
                      "losses of two runs differ");
        ck_assert_msg(memcmp(params[0], params[1], net.g.nparams *
                             sizeof(float)) == 0,
                      "parameters of two runs differ");
        free(params[0]);
        free(params[1]);
        net_release(&net);
    }
}
END_TEST

/*
 * One update of many numbers: each against the formulas on the host.  A GPU
 * rounds products and sums in one: of numbers up to 1 that cancel, 1e-7 may be
 * left over.
 */
START_TEST(test_updates)
{
    enum { N = 100003 };
    struct backend *b = open_type(false, false);
    const struct backend_class *c = b->class;
    float *host[5], *dev[5], *got = mem_array(N, sizeof *got);
    struct err e = { 0 };

    for (int k = 0; k < 5; k++) {
        host[k] = mem_array(N, sizeof(float));
        dev[k] = c->alloc(b, N, &e);
    }
    for (int t = 0; t < 6; t++) {
        struct update u = {
            .rule = t < 3 ? UPDATE_SGD : UPDATE_ADAMW, .begin = 17,
            .end = N - 5, .step = t % 3 + 1, .lr = 0.01f, .momentum = 0.9f,
            .decay = 0.05f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f,
            .ema_decay = 0.9f
        }, v = u;

        if (t % 3 == 0)
            for (int k = 0; k < 5; k++) {
                for (size_t i = 0; i < N; i++)
                    host[k][i] = k > 1 ? 0
                                 : (float)net_number((uint32_t)(k + t), i);
                c->put(b, dev[k], host[k], N);
            }
        u.params = host[0], u.grads = host[1], u.m = host[2];
        v.params = dev[0], v.grads = dev[1], v.m = dev[2];
        if (t >= 3) {
            u.v = host[3], u.ema = host[4];
            v.v = dev[3], v.ema = dev[4];
        }
        update_host(&u);
        c->update(b, &v);
        for (int k = 0; k < 5; k++) {
            c->get(b, got, dev[k], N);
            for (size_t i = 0; i < N; i++)
                ck_assert_msg(fabs((double)got[i] - host[k][i]) <=
                                  2e-6 * (0.1 + fabs(host[k][i])),
                              "step %d, vector %d, element %zu: %g for %g",
                              t, k, i, got[i], host[k][i]);
        }
    }
    for (int k = 0; k < 5; k++) {
        free(host[k]);
        c->release(b, dev[k]);
    }
    free(got);
    backend_close(b);
}
END_TEST

/* ----------------------------------------------------- packed parameters */

/*
 * Dense, grouped, depthwise, of odd sizes, 1 x 1; with a bias and a ReLU that
 * stands behind another convolution, so that its unit ends after that one's.
 */
static const char packed[] =
    "input x channels=3 size=12\n"
    "conv c1 x out=13 kernel=3 pad=1\nbn b1 c1\nrelu r1 b1\n"
    "conv c2 r1 out=13 kernel=3 pad=1 groups=13\n"
    "bn b2 c2\nrelu6 r2 b2\n"
    "conv c3 r2 out=18 kernel=1\nbn b3 c3\nrelu r3 b3\n"
    "conv c4 r3 out=10 kernel=3 stride=2 pad=1 groups=2\n"
    "bn b4 c4\nrelu r4 b4\n"
    "conv c5 r4 out=16 kernel=3 pad=1 bias=1\n"
    "conv c6 r4 out=16 kernel=1\nbn b6 c6\nrelu r5 c5\nadd a6 b6 r5\n"
    "avgpool p a6 size=1\nlinear fc p out=3";

/* Softmax and gradients of a step; caller frees. */
static float *
computed(struct side *s, const struct feed *f, unsigned long *launches)
{
    size_t n = s->net->g.nparams, k = 3 * (size_t)f->n;
    float *x = mem_array(n + k, sizeof *x);

    if (&cuda_host_launches != NULL)
        *launches = cuda_host_launches;
    side_run(s, f);
    if (&cuda_host_launches != NULL)
        *launches = cuda_host_launches - *launches;
    s->b->class->get(s->b, x, s->v.grads, n);
    s->b->class->result(s->plan, x + n, NULL);
    return x;
}

/* The same parameters, as if they came from elsewhere. */
static void
put_back(struct side *s, float *to, size_t n)
{
    float *host = side_get(s, to, n);

    s->b->class->put(s->b, to, host, n);
    free(host);
}

/*
 * What updates leave in the copy that convolutions read is what packing all
 * parameters anew would: the same bits come out.
 */
static void
check_copy(bool bf16, enum update_rule r)
{
    struct backend *b = open_type(bf16, true);
    unsigned long launches[2] = { 0, 0 };
    struct err e = { 0 };
    struct net net = { 0 };
    struct update u;
    float *m[3], *x[2];
    struct side s;
    size_t n;

    net_parse(&net, packed, 5);
    n = net.g.nparams;
    for (int i = 0; i < 3; i++)
        m[i] = b->class->alloc(b, n, &e);
    side_open(&s, b, &net, MODE_TRAIN);
    u = rule(r, &net.g, &s.v, m);
    u.lr = 0.1f;
    for (u.step = 1; u.step <= 3; u.step++) {
        free(computed(&s, &net.feed, &launches[0]));
        u.begin = 0;            /* in two parts, one in a tensor's midst */
        u.end = 777;
        b->class->update(b, &u);
        u.begin = u.step == 2 ? n : u.end;
        u.end = n;
        b->class->update(b, &u);
    }
    x[0] = computed(&s, &net.feed, &launches[0]);
    put_back(&s, s.v.params, n);
    x[1] = computed(&s, &net.feed, &launches[1]);
    for (size_t i = 0; i < n + 3 * (size_t)net.feed.n; i++)
        ck_assert_msg(memcmp(&x[0][i], &x[1][i], sizeof(float)) == 0,
                      "number %zu is %g, of packed parameters %g", i,
                      x[0][i], x[1][i]);
    ck_assert_uint_eq(launches[1] - launches[0],
                      &cuda_host_launches != NULL ? 1 : 0);
    if (&cuda_host_launches != NULL)
        printf("%s: a pass has %lu launches, %lu with packing\n", b->dtype,
               launches[0], launches[1]);
    for (int i = 0; i < 3; i++)
        b->class->release(b, m[i]);
    for (int i = 0; i < 2; i++)
        free(x[i]);
    side_close(&s);
    net_release(&net);
    backend_close(b);
}

START_TEST(test_copy)
{
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (enum update_rule r = UPDATE_SGD; r <= UPDATE_ADAMW; r++)
            check_copy(bf16, r);
}
END_TEST

/* The average is evaluated as it is now, not as it was packed before. */
START_TEST(test_average)
{
    struct backend *b = open_type(true, true);
    struct err e = { 0 };
    struct net net = { 0 };
    struct vectors of;
    struct side s, avg;
    struct update u;
    float *m[3];
    double first = 0, loss, again;

    net_parse(&net, packed, 5);
    for (int i = 0; i < 3; i++)
        m[i] = b->class->alloc(b, net.g.nparams, &e);
    side_open(&s, b, &net, MODE_TRAIN);
    u = rule(UPDATE_ADAMW, &net.g, &s.v, m);
    avg = s;
    of = s.v;
    avg.v.params = of.params = u.ema;
    b->class->put(b, u.ema, net.params, net.g.nparams);
    avg.plan = b->class->plan(b, &net.g, net.feed.n, MODE_EVAL, &of, &e);
    ck_assert_msg(avg.plan != NULL, "%s", e.text);
    for (u.step = 1; u.step <= 3; u.step++) {
        side_run(&s, &net.feed);
        b->class->update(b, &u);
        loss = side_run(&avg, &net.feed);
        put_back(&avg, u.ema, net.g.nparams);
        again = side_run(&avg, &net.feed);
        ck_assert_msg(loss == again, "step %d: %.9g, packed %.9g",
                      (int)u.step, loss, again);
        ck_assert(loss != first);
        first = loss;
    }
    b->class->unplan(avg.plan);
    for (int i = 0; i < 3; i++)
        b->class->release(b, m[i]);
    side_close(&s);
    net_release(&net);
    backend_close(b);
}
END_TEST

/* --------------------------------------------- pictures that stay there */

enum { LOOKS = 9, HELD = 5, SOURCE = 40, SIDE = 32 };

/*
 * Pictures of c channels, changed on the GPU as one kind of augmentation says:
 * in f32 the bits of augment_apply(), also in the last batch, which is smaller.
 * Mixed: with a picture of another batch, as it is seen there.
 */
static void
check_looks(enum augment_kind kind, int c, bool bf16, bool mixed)
{
    struct backend_conf conf = { .dtype = bf16 ? DTYPE_BF16 : DTYPE_F32,
                                 .device = -1, .keep = true };
    struct recipe recipe = { .mean = { 0.3f, 0.4f, 0.5f },
                             .std = { 0.2f, 0.25f, 0.3f } };
    static uint8_t px[HELD * SOURCE * SOURCE * 3];
    static struct augment_map maps[LOOKS];
    size_t one = (size_t)SOURCE * SOURCE * c, plane = SIDE * SIDE;
    float *want = mem_array(c * plane, sizeof *want);
    float *other = mem_array(c * plane, sizeof *other);
    struct augment_mix mixes[LOOKS];
    struct resident held = { HELD, c, SOURCE, SOURCE, px };
    struct epoch x = { .n = LOOKS, .batch = 4, .classes = 3, .maps = maps };
    float targets[LOOKS * 3] = { 0 };
    int32_t labels[LOOKS] = { 0 };
    uint32_t rows[LOOKS];
    struct net net = { 0 };
    struct err e = { 0 };
    struct augment a;
    struct side s;
    char text[128];

    snprintf(text, sizeof text, "input x channels=%d size=%d\n"
             "avgpool p x size=1\nlinear fc p out=3", c, SIDE);
    net_parse(&net, text, 4);
    for (size_t i = 0; i < sizeof px; i++)
        px[i] = (uint8_t)(127.5 * (1 + net_number(99, i)));
    for (uint32_t i = 0; i < LOOKS; i++) {
        rows[i] = i * 3 % HELD;
        augment_draw(&a, kind, 7, 3, i, SOURCE, SOURCE, SIDE);
        augment_prepare(&a, &recipe, px + rows[i] * one, SOURCE, SOURCE, c,
                        SIDE, &maps[i]);
        mixes[i].with = (i + 5) % LOOKS;
        mixes[i].rest = 0.1f + 0.1f * (float)i;
        mixes[i].share = 1 - mixes[i].rest;
    }
    x.mixes = mixed ? mixes : NULL;
    x.rows = rows;
    x.targets = targets;
    x.labels = labels;
    side_open(&s, open_cuda(&conf, &e), &net, MODE_EVAL);
    ck_assert_msg(s.b->class->hold(s.b, &held, &e) == 0 &&
                  s.b->class->epoch(s.b, &x, &e) == 0, "%s", e.text);
    for (uint32_t i = 0; i < LOOKS; i++) {
        size_t n;
        float *got;

        if (i % 4 == 0)
            ck_assert_msg(s.b->class->step(s.plan, &e) == 0, "%s", e.text);
        ck_assert_int_eq(s.plan->fed, i < 8 ? 4 : 1);
        got = side_peek(&s, 0, false, &n);
        ck_assert(got != NULL);
        augment_draw(&a, kind, 7, 3, i, SOURCE, SOURCE, SIDE);
        augment_apply(&a, &recipe, px + rows[i] * one, SOURCE, SOURCE, c,
                      SIDE, want);
        if (mixed) {
            uint32_t o = mixes[i].with;

            augment_draw(&a, kind, 7, 3, o, SOURCE, SOURCE, SIDE);
            augment_apply(&a, &recipe, px + rows[o] * one, SOURCE, SOURCE, c,
                          SIDE, other);
            for (size_t k = 0; k < c * plane; k++)
                want[k] = mixes[i].share * want[k] + mixes[i].rest * other[k];
        }
        if (bf16)
            net_round(want, c * plane);
        for (size_t k = 0; k < c * plane; k++)
            ck_assert_msg(got[i % 4 * c * plane + k] == want[k],
                          "kind %d, picture %u, element %zu: %.9g for %.9g",
                          kind, i, k, got[i % 4 * c * plane + k], want[k]);
        free(got);
    }
    free(want);
    free(other);
    side_close(&s);
    backend_close(s.b);
    net_release(&net);
}

START_TEST(test_looks)
{
    for (enum augment_kind k = AUGMENT_NONE; k <= AUGMENT_STRONG; k++)
        for (int c = 1; c <= 3; c += 2)
            for (int bf16 = 0; bf16 < 2; bf16++)
                for (int mixed = 0; mixed < 2; mixed++)
                    check_looks(k, c, bf16, mixed);
}
END_TEST

/* --------------------------------------------------------- recorded steps */

enum { TURNS = 5, BATCH = 6, ROWS = TURNS * BATCH };

/* An epoch of TURNS steps, for free_epoch(). */
static void
fill_epoch(struct epoch *x, const uint8_t *px, const struct update *u)
{
    struct augment_map *maps = mem_array(ROWS, sizeof *maps);
    struct update *updates = mem_array(TURNS * UPDATES, sizeof *updates);
    struct recipe recipe = { .mean = { 0.3f }, .std = { 0.2f } };
    float *targets = mem_array(ROWS * 3, sizeof *targets);
    uint32_t *rows = mem_array(ROWS, sizeof *rows);
    int32_t *labels = mem_array(ROWS, sizeof *labels);
    struct augment a;

    for (uint32_t i = 0; i < ROWS; i++) {
        rows[i] = i * 3 % HELD;
        labels[i] = (int32_t)(i % 3);
        targets[i * 3 + i % 3] = 1.0f / BATCH;
        augment_draw(&a, AUGMENT_STRONG, 7, 3, i, SIDE, SIDE, SIDE);
        augment_prepare(&a, &recipe, px + rows[i] * SIDE * SIDE, SIDE, SIDE,
                        1, SIDE, &maps[i]);
    }
    for (int i = 0; i < TURNS; i++) {       /* in two parts */
        updates[i * UPDATES] = updates[i * UPDATES + 1] = *u;
        updates[i * UPDATES].end = updates[i * UPDATES + 1].begin = 777;
        updates[i * UPDATES].step = updates[i * UPDATES + 1].step = i + 1;
        updates[i * UPDATES].lr = updates[i * UPDATES + 1].lr =
            0.02f / (float)(i + 1);
    }
    *x = (struct epoch){ .n = ROWS, .batch = BATCH, .classes = 3,
                         .rows = rows, .maps = maps, .targets = targets,
                         .labels = labels, .updates = updates, .seed = 5,
                         .epoch = 2 };
}

static void
free_epoch(struct epoch *x)
{
    free((void *)x->rows);
    free((void *)x->maps);
    free((void *)x->targets);
    free((void *)x->labels);
    free((void *)x->updates);
}

/*
 * Train in whole steps; parameters, and behind them the average (caller
 * frees).  anew: each by a plan of its own, whose first step is not recorded.
 */
static float *
train_whole(const struct net *net, bool bf16, bool anew, double sums[2])
{
    static uint8_t px[HELD * SIDE * SIDE];
    struct resident held = { HELD, 1, SIDE, SIDE, px };
    struct backend *b = open_type(bf16, true);
    const struct backend_class *c = b->class;
    size_t n = net->g.nparams;
    float *m[3], *got = mem_array(2 * n, sizeof *got);
    struct err e = { 0 };
    struct update u;
    struct epoch x;
    struct side s;

    for (size_t i = 0; i < sizeof px; i++)
        px[i] = (uint8_t)(127.5 * (1 + net_number(99, i)));
    for (int i = 0; i < 3; i++)
        m[i] = c->alloc(b, n, &e);
    side_open(&s, b, net, MODE_TRAIN);
    u = rule(UPDATE_ADAMW, &net->g, &s.v, m);
    fill_epoch(&x, px, &u);
    ck_assert_msg(c->hold(b, &held, &e) == 0 && c->epoch(b, &x, &e) == 0,
                  "%s", e.text);
    free_epoch(&x);
    for (int i = 0; i < TURNS; i++) {
        if (anew && i > 0)
            side_replan(&s, MODE_TRAIN);
        ck_assert_msg(c->step(s.plan, &e) == 0, "%s", e.text);
    }
    ck_assert_msg(c->sums(b, &sums[0], &sums[1], &e) == 0, "%s", e.text);
    ck_assert_msg(&backend_cuda_class != NULL ||
                  strstr(b->about, "not recorded") == NULL, "%s", b->about);
    c->get(b, got, s.v.params, n);
    c->get(b, got + n, u.ema, n);
    for (int i = 0; i < 3; i++)
        c->release(b, m[i]);
    side_close(&s);
    backend_close(b);
    return got;
}

/* Recorded steps have the bits of those that are not. */
START_TEST(test_recorded)
{
    for (int bf16 = 0; bf16 < 2; bf16++) {
        struct net net = { 0 };
        double sums[2][2];
        float *got[2];

        net_parse(&net, small, BATCH);
        for (int i = 0; i < 2; i++)
            got[i] = train_whole(&net, bf16, i == 1, sums[i]);
        ck_assert_msg(memcmp(sums[0], sums[1], sizeof sums[0]) == 0,
                      "losses %.9g and %.9g", sums[0][0], sums[1][0]);
        ck_assert_msg(memcmp(got[0], got[1], 2 * net.g.nparams *
                             sizeof(float)) == 0, "parameters differ");
        ck_assert_msg(memcmp(got[0], net.params, net.g.nparams *
                             sizeof(float)) != 0, "nothing was learnt");
        free(got[0]);
        free(got[1]);
        net_release(&net);
    }
}
END_TEST

CHECK_SUITE(run_suite, "cuda", 600, test_convs, test_elements, test_flats,
            test_nets, test_curves, test_same, test_updates, test_copy,
            test_average, test_looks, test_recorded)
/* For tools that make every access a hundred times slower. */
CHECK_SUITE(run_short, "cuda", 600, test_curves, test_updates, test_copy,
            test_looks)

static bool
cuda_opens(void)
{
    struct backend_conf conf = { .device = -1 };
    struct err e = { 0 };
    struct backend *b = open_cuda(&conf, &e);

    printf("%s\n", b != NULL ? b->about : e.text);
    return b != NULL;
}

int
main(int argc, char **argv)
{
    bool brief = argc > 1 && strcmp(argv[1], "short") == 0;

    if (!check_in_child(cuda_opens))
        return CHECK_SKIP;
    return brief ? run_short() : run_suite();
}
