/*
 * golden: what PyTorch makes of a net that netcheck.h fills.
 *
 * Expected numbers are PyTorch 2.15's in float64, vectors projected on a hash;
 * those of torchvision's networks are printed by torch_golden.py.
 */
#ifndef BUSI_TESTS_GOLDEN_H
#define BUSI_TESTS_GOLDEN_H

#include "model/nets.h"
#include "tests/netcheck.h"

struct golden {
    double loss, logits;    /* training */
    double dinput, dparams; /* gradients */
    double buffers, eval;   /* statistics after the step; logits by them */
};

/* torchvision's models with three classes and no dropout, 2 pictures. */
static const struct known {
    const char *name;
    int size;
    struct golden golden;
    double single;      /* PyTorch's own float32: its gradients, by norm, the
                         * worse of with and without oneDNN */
} known[] = {
    { "resnet18", 64,
      { 4.51185331, -0.112475632, -2.33209623,
        -16.0540111, 41.1220353, 21.7046788 }, 1e-05 },
    { "resnet34", 64,
      { 4.59955136, -0.814551035, -1.7550573,
        111.907854, -99.4131107, 34.2260237 }, 3e-05 },
    { "resnet50", 64,
      { 4.65485022, -0.324282774, -51.0247512,
        -4769.99245, -23.6387581, -395.638386 }, 1e-02 },
    { "mobilenet_v2", 64,
      { 4.2956198, 1.31441689, 56.7952486,
        170.709361, -108.11202, 3.35956632 }, 2e-02 },
    { "vgg16", 224,
      { 11.7062697, 5.13497739, 1.42805893,
        -436.941679, 0, 5.13497739 }, 1e-03 },
};

static inline void
near(const char *net, const char *what, double have, double want,
     double scale)
{
    ck_assert_msg(fabs(have - want) <= scale,
                  "%s: %s is %.9g, not %.9g (within %g)", net, what, have,
                  want, scale);
}

/* The projection of v must be the expected one, within slack of v's norm. */
static inline void
near_vector(const char *net, const char *what, float *v, size_t n,
            double want, double slack)
{
    double sum = 0, norm = 0;

    ck_assert_msg(v != NULL, "%s: %s is not kept", net, what);
    for (size_t i = 0; i < n; i++) {
        sum += v[i] * net_number(SALT_PROJECT, i);
        norm += (double)v[i] * v[i];
    }
    near(net, what, sum, want, slack * sqrt(norm));
    free(v);
}

/* Values within 5e-5, gradients within slack. */
static inline void
near_golden(struct backend *b, const char *name, struct net *net,
            const struct golden *want, double slack)
{
    const struct graph *g = &net->g;
    struct side s;
    size_t n;
    float *v;

    side_open(&s, b, net, MODE_TRAIN);
    near(name, "loss", side_run(&s, &net->feed), want->loss,
         5e-5 * want->loss);
    v = side_peek(&s, g->nops - 2, false, &n);
    near_vector(name, "logits", v, n, want->logits, 5e-5);
    v = side_peek(&s, 0, true, &n);
    if (v != NULL)      /* only some backends compute it */
        near_vector(name, "dinput", v, n, want->dinput, slack);
    near_vector(name, "dparams", side_get(&s, s.v.grads, g->nparams),
                g->nparams, want->dparams, slack);
    near_vector(name, "buffers", side_get(&s, s.v.buffers, g->nbuffers),
                g->nbuffers, want->buffers, 5e-5);
    side_replan(&s, MODE_EVAL);
    side_run(&s, &net->feed);
    v = side_peek(&s, g->nops - 2, false, &n);
    near_vector(name, "eval logits", v, n, want->eval, 5e-5);
    side_close(&s);
}

static inline void
near_known(struct backend *b, const struct known *k, double slack)
{
    struct net_conf conf = { .channels = 3, .size = k->size, .classes = 3 };
    struct net net = { 0 };
    struct err e = { 0 };

    ck_assert_msg(net_build(&net.g, k->name, &conf, &e) == 0, "%s", e.text);
    net_fill(&net, 2);
    near_golden(b, k->name, &net, &k->golden, slack);
    net_release(&net);
}

#endif
