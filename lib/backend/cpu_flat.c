#include "backend/cpu_flat.h"

#include "backend/cpu_dnnl.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

/* Keep or drop each of n x f numbers: y = x / (1 - p) or 0. */
static void
dropout(const struct unit_plan *p, int op, const float *x, float *y)
{
    const struct op *o = &p->head.graph->op[op];
    float up = 1 / (1 - (float)o->p);

#pragma omp parallel for
    for (int n = 0; n < p->head.n; n++)
        for (int f = 0; f < o->c; f++) {
            size_t i = (size_t)n * o->c + f;
            uint32_t u = rng_at(p->seed, RNG_DROPOUT, p->epoch,
                                p->samples[n],
                                ((uint32_t)op << 20) + (uint32_t)f);

            y[i] = u * 0x1p-32 >= o->p ? x[i] * up : 0;
        }
}

static void
linear_forward(const struct unit_plan *p, int op, const float *x, float *y)
{
    const struct op *o = &p->head.graph->op[op];
    int nin = p->head.graph->op[o->in[0]].c;
    const float *w = p->head.v.params + o->param;

    for (int n = 0; n < p->head.n; n++)
        memcpy(y + (size_t)n * o->c, w + o->nweights, (size_t)o->c * sizeof *y);
    dn_gemm(false, true, p->head.n, o->c, nin, x, w, 1, y);
}

static void
linear_backward(const struct unit_plan *p, int op, const struct cpu_flat *f)
{
    const struct op *o = &p->head.graph->op[op];
    int nin = p->head.graph->op[o->in[0]].c;
    const float *w = p->head.v.params + o->param;
    float *dw = p->head.v.grads + o->param, *db = dw + o->nweights;

    dn_gemm(true, false, o->c, nin, p->head.n, f->dy, f->x, 0, dw);
    memset(db, 0, (size_t)o->c * sizeof *db);
    for (int n = 0; n < p->head.n; n++)
        for (int k = 0; k < o->c; k++)
            db[k] += f->dy[(size_t)n * o->c + k];
    dn_gemm(false, false, p->head.n, nin, o->c, f->dy, w, 0, f->dx);
}

static void
relu_forward(const float *x, float *y, size_t n, bool six)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i] <= 0 ? 0 : x[i];    /* NaN stays NaN */
        if (six && y[i] > 6)
            y[i] = 6;
    }
}

static void
relu_backward(const struct cpu_flat *f, size_t n, bool six)
{
    for (size_t i = 0; i < n; i++)
        f->dx[i] = f->y[i] <= 0 || (six && f->y[i] >= 6) ? 0 : f->dy[i];
}

/* ---------------------------------------------------------------- the loss */

/* Softmax and the loss; z - max keeps the exponentials finite. */
static void
xent_forward(struct unit_plan *p, const struct cpu_flat *f)
{
    int nk = graph_classes(p->head.graph);
    const float *z = f->x, *target = p->targets;
    float *y = f->y;

    p->loss = 0;
    for (int n = 0; n < p->head.fed; n++, z += nk, y += nk, target += nk) {
        double sum = 0;
        float max = z[0];

        for (int k = 1; k < nk; k++)
            max = z[k] > max || z[k] != z[k] ? z[k] : max;
        for (int k = 0; k < nk; k++)
            sum += exp((double)(z[k] - max));
        for (int k = 0; k < nk; k++) {
            double logp = (double)(z[k] - max) - log(sum);

            y[k] = (float)exp(logp);
            if (target[k] != 0)
                p->loss -= (double)target[k] * logp;
        }
    }
}

static void
xent_backward(const struct unit_plan *p, const struct cpu_flat *f)
{
    int nk = graph_classes(p->head.graph);
    const float *y = f->y, *target = p->targets;
    float *dz = f->dx;

    for (int n = 0; n < p->head.n; n++, y += nk, dz += nk, target += nk) {
        float sum = 0;

        for (int k = 0; k < nk; k++)
            sum += target[k];
        for (int k = 0; k < nk; k++)
            dz[k] = n < p->head.fed ? y[k] * sum - target[k] : 0;
    }
}

/* -------------------------------------------------------------- both ways */

void
cpu_flat_forward(struct unit_plan *p, const struct unit *u,
                 const struct cpu_flat *f)
{
    if (u->kind == OP_LINEAR)
        linear_forward(p, u->op, f->x, f->y);
    else if (u->kind == OP_XENT)
        xent_forward(p, f);
    else if (u->kind != OP_DROPOUT)
        relu_forward(f->x, f->y, units_floats(p, u->op), u->kind == OP_RELU6);
    else if (p->head.mode == MODE_TRAIN)
        dropout(p, u->op, f->x, f->y);
    else
        memcpy(f->y, f->x, units_floats(p, u->op) * sizeof *f->y);
}

void
cpu_flat_backward(struct unit_plan *p, const struct unit *u,
                  const struct cpu_flat *f)
{
    if (u->kind == OP_LINEAR)
        linear_backward(p, u->op, f);
    else if (u->kind == OP_XENT)
        xent_backward(p, f);
    else if (u->kind == OP_DROPOUT)
        dropout(p, u->op, f->dy, f->dx);
    else
        relu_backward(f, units_floats(p, u->op), u->kind == OP_RELU6);
}
