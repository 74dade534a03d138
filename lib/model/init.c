#include "model/init.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

static void
fill(float *x, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        x[i] = value;
}

static void
normal(float *x, size_t n, double std, struct rng *r)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(std * rng_normal(r));
}

static void
uniform(float *x, size_t n, double bound, struct rng *r)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_range(r, -bound, bound);
}

void
init_params(const struct graph *g, uint64_t seed, float *params,
            float *buffers)
{
    for (int i = 0; i < g->nentries; i++) {
        const struct param *p = &g->param[i];
        const struct op *o = &g->op[p->op];
        float *x = (p->buffer ? buffers : params) + p->offset;
        bool bias = strcmp(strrchr(p->name, '.'), ".bias") == 0;
        double fan_in = o->kind == OP_LINEAR ? g->op[o->in[0]].c : 0;
        struct rng r;

        rng_init(&r, seed, RNG_INIT, 0, (uint32_t)i);
        if (o->kind == OP_BN)
            fill(x, p->n, bias || strstr(p->name, ".running_mean") != NULL
                              ? 0 : 1);
        else if (o->kind == OP_LINEAR && o->std == 0)
            uniform(x, p->n, 1 / sqrt(fan_in), &r);
        else if (bias)
            fill(x, p->n, 0);
        else if (o->kind == OP_LINEAR)
            normal(x, p->n, o->std, &r);
        else
            normal(x, p->n, sqrt(2.0 / ((double)o->out * o->kernel * o->kernel)),
                   &r);
    }
}
