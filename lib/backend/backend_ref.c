#include "backend/backend_ref.h"

#include "backend/update.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ref_plan {
    struct plan head;
    float **value;          /* [nops][N,C,H,W]; the loss's: softmax [N,K] */
    float **grad;           /* the same; entries are NULL in eval */
    float *targets;         /* [N,K] */
    uint32_t *samples;      /* [N] */
    bool has_targets;       /* of the last feed */
    uint64_t seed;
    uint32_t epoch;
    double loss;
    double *plane;          /* scratch: sums of one H x W */
};

/* One operation with everything that it touches. */
struct job {
    struct ref_plan *plan;
    const struct op *op;
    const struct op *in;    /* what made x[0]; NULL: nothing is read */
    int number, n;          /* of the operation; of pictures */
    const float *x[2];      /* values read [N,C,H,W] */
    float *dx[2];           /* their gradients, to store or add to */
    float *y;               /* value made [N,C,H,W] */
    const float *dy;        /* its gradient */
    const float *w;         /* its parameters */
    float *dw;              /* their gradients, to store */
};

/* Where a loop over output places may run so that the input place exists. */
struct span {
    int lo, hi;
};

/* A gradient is stored or added, as the graph says. */
static void
give(const struct job *j, int k, size_t i, double g)
{
    j->dx[k][i] = (float)(j->op->add[k] ? j->dx[k][i] + g : g);
}

/* -------------------------------------------------------------- convolution */

/* Output places o in [0, n) with 0 <= o * stride + shift < nin. */
static struct span
span_of(int n, int nin, int stride, int shift)
{
    struct span s;
    int last = nin - 1 - shift;

    s.lo = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    s.hi = last < 0 ? 0 : last / stride + 1;
    if (s.hi > n)
        s.hi = n;
    return s;
}

/*
 * The three convolutions differ in which of the output plane, the input plane
 * and the weight they sum into; all visit the same places of one kernel tap.
 */
struct tap {
    struct span oh, ow;
    int stride, dh, dw;     /* input place = output place * stride + d */
    int in_w, out_w;
};

static struct tap
tap_of(const struct job *j, int r, int s)
{
    const struct op *op = j->op;
    struct tap t = { .stride = op->stride, .dh = r - op->pad,
                     .dw = s - op->pad, .in_w = j->in->w, .out_w = op->w };

    t.oh = span_of(op->h, j->in->h, op->stride, t.dh);
    t.ow = span_of(op->w, j->in->w, op->stride, t.dw);
    return t;
}

static void
tap_forward(const struct tap *t, double *out, const float *in, double w)
{
    for (int h = t->oh.lo; h < t->oh.hi; h++) {
        int o = h * t->out_w;
        int i = (h * t->stride + t->dh) * t->in_w + t->dw;

        for (int v = t->ow.lo; v < t->ow.hi; v++)
            out[o + v] += w * in[i + v * t->stride];
    }
}

static void
tap_data(const struct tap *t, const float *out, double *in, double w)
{
    for (int h = t->oh.lo; h < t->oh.hi; h++) {
        int o = h * t->out_w;
        int i = (h * t->stride + t->dh) * t->in_w + t->dw;

        for (int v = t->ow.lo; v < t->ow.hi; v++)
            in[i + v * t->stride] += w * out[o + v];
    }
}

static double
tap_weight(const struct tap *t, const float *out, const float *in)
{
    double sum = 0;

    for (int h = t->oh.lo; h < t->oh.hi; h++) {
        int o = h * t->out_w;
        int i = (h * t->stride + t->dh) * t->in_w + t->dw;

        for (int v = t->ow.lo; v < t->ow.hi; v++)
            sum += (double)out[o + v] * in[i + v * t->stride];
    }
    return sum;
}

/* Shapes that the three share. */
struct conv {
    size_t in, out;         /* places of an input and an output plane */
    int cg, kg;             /* channels in and out of one group */
    int kernel;
};

static struct conv
conv_of(const struct job *j)
{
    const struct op *op = j->op;
    struct conv c = { .kernel = op->kernel };

    c.in = (size_t)j->in->h * (size_t)j->in->w;
    c.out = (size_t)op->h * (size_t)op->w;
    c.cg = j->in->c / op->groups;
    c.kg = op->out / op->groups;
    return c;
}

static const float *
conv_weights(const struct job *j, const struct conv *c, int k, int cc)
{
    return j->w + ((size_t)k * c->cg + cc) * c->kernel * c->kernel;
}

static const float *
conv_input(const struct job *j, const struct conv *c, int n, int k, int cc)
{
    size_t channel = (size_t)(k / c->kg) * c->cg + cc;

    return j->x[0] + ((size_t)n * j->in->c + channel) * c->in;
}

static void
conv_forward(const struct job *j)
{
    const struct op *op = j->op;
    struct conv c = conv_of(j);
    double *sum = j->plan->plane;

    for (int n = 0; n < j->n; n++)
        for (int k = 0; k < op->out; k++) {
            float *y = j->y + ((size_t)n * op->out + k) * c.out;

            for (size_t i = 0; i < c.out; i++)
                sum[i] = op->bias ? j->w[op->nweights + k] : 0;
            for (int cc = 0; cc < c.cg; cc++) {
                const float *x = conv_input(j, &c, n, k, cc);
                const float *w = conv_weights(j, &c, k, cc);

                for (int r = 0; r < c.kernel; r++)
                    for (int s = 0; s < c.kernel; s++) {
                        struct tap t = tap_of(j, r, s);
                        tap_forward(&t, sum, x, w[r * c.kernel + s]);
                    }
            }
            for (size_t i = 0; i < c.out; i++)
                y[i] = (float)sum[i];
        }
}

static void
conv_backward_data(const struct job *j)
{
    const struct op *op = j->op;
    struct conv c = conv_of(j);
    double *sum = j->plan->plane;

    for (int n = 0; n < j->n; n++)
        for (int ci = 0; ci < j->in->c; ci++) {
            int first = ci / c.cg * c.kg;
            size_t at = ((size_t)n * j->in->c + ci) * c.in;

            memset(sum, 0, c.in * sizeof *sum);
            for (int k = first; k < first + c.kg; k++) {
                const float *dy = j->dy + ((size_t)n * op->out + k) * c.out;
                const float *w = conv_weights(j, &c, k, ci % c.cg);

                for (int r = 0; r < c.kernel; r++)
                    for (int s = 0; s < c.kernel; s++) {
                        struct tap t = tap_of(j, r, s);
                        tap_data(&t, dy, sum, w[r * c.kernel + s]);
                    }
            }
            for (size_t i = 0; i < c.in; i++)
                give(j, 0, at + i, sum[i]);
        }
}

static void
conv_backward_weights(const struct job *j)
{
    struct conv c = conv_of(j);
    float *dw = j->dw;

    for (int k = 0; k < j->op->out; k++)
        for (int cc = 0; cc < c.cg; cc++)
            for (int r = 0; r < c.kernel; r++)
                for (int s = 0; s < c.kernel; s++) {
                    struct tap t = tap_of(j, r, s);
                    double sum = 0;

                    for (int n = 0; n < j->n; n++)
                        sum += tap_weight(&t,
                            j->dy + ((size_t)n * j->op->out + k) * c.out,
                            conv_input(j, &c, n, k, cc));
                    *dw++ = (float)sum;
                }
}

static void
conv_backward_bias(const struct job *j)
{
    struct conv c = conv_of(j);

    for (int k = 0; k < j->op->out; k++) {
        double sum = 0;

        for (int n = 0; n < j->n; n++)
            for (size_t i = 0; i < c.out; i++)
                sum += j->dy[((size_t)n * j->op->out + k) * c.out + i];
        j->dw[j->op->nweights + k] = (float)sum;
    }
}

static void
conv_backward(const struct job *j)
{
    conv_backward_data(j);
    conv_backward_weights(j);
    if (j->op->bias)
        conv_backward_bias(j);
}

/* ------------------------------------------------------ batch normalisation */

struct moments {
    double mean, var;       /* var is biased */
};

/* Of channel c over the batch, in two passes. */
static struct moments
bn_moments(const struct job *j, int c)
{
    size_t plane = (size_t)j->op->h * (size_t)j->op->w;
    double count = (double)j->n * (double)plane;
    struct moments m = { 0, 0 };

    for (int n = 0; n < j->n; n++)
        for (size_t i = 0; i < plane; i++)
            m.mean += j->x[0][((size_t)n * j->op->c + c) * plane + i];
    m.mean /= count;
    for (int n = 0; n < j->n; n++)
        for (size_t i = 0; i < plane; i++) {
            double d = j->x[0][((size_t)n * j->op->c + c) * plane + i] -
                       m.mean;

            m.var += d * d;
        }
    m.var /= count;
    return m;
}

static void
bn_forward(const struct job *j)
{
    int nc = j->op->c;
    size_t plane = (size_t)j->op->h * (size_t)j->op->w;
    double count = (double)j->n * (double)plane;
    float *running = j->plan->head.v.buffers + j->op->buffer;

    for (int c = 0; c < nc; c++) {
        struct moments m = { running[c], running[nc + c] };
        double scale;

        if (j->plan->head.mode == MODE_TRAIN) {
            double unbiased;

            m = bn_moments(j, c);
            /* One value has no unbiased variance: it is 0 then. */
            unbiased = m.var * count / (count > 1 ? count - 1 : 1);
            running[c] += (float)(BN_MOMENTUM * (m.mean - running[c]));
            running[nc + c] +=
                (float)(BN_MOMENTUM * (unbiased - running[nc + c]));
        }
        scale = j->w[c] / sqrt(m.var + BN_EPS);
        for (int n = 0; n < j->n; n++)
            for (size_t i = 0; i < plane; i++) {
                size_t at = ((size_t)n * nc + c) * plane + i;
                j->y[at] = (float)((j->x[0][at] - m.mean) * scale +
                                   j->w[nc + c]);
            }
    }
}

/* dx = w / s * (dy - mean(dy) - xhat * mean(dy * xhat)), s = deviation. */
static void
bn_backward(const struct job *j)
{
    int nc = j->op->c;
    size_t plane = (size_t)j->op->h * (size_t)j->op->w;
    double count = (double)j->n * (double)plane;

    for (int c = 0; c < nc; c++) {
        struct moments m = bn_moments(j, c);
        double inverse = 1 / sqrt(m.var + BN_EPS);
        double dscale = 0, dshift = 0;

        for (int n = 0; n < j->n; n++)
            for (size_t i = 0; i < plane; i++) {
                size_t at = ((size_t)n * nc + c) * plane + i;
                dscale += j->dy[at] * (j->x[0][at] - m.mean) * inverse;
                dshift += j->dy[at];
            }
        j->dw[c] = (float)dscale;
        j->dw[nc + c] = (float)dshift;
        for (int n = 0; n < j->n; n++)
            for (size_t i = 0; i < plane; i++) {
                size_t at = ((size_t)n * nc + c) * plane + i;
                double xhat = (j->x[0][at] - m.mean) * inverse;
                give(j, 0, at, j->w[c] * inverse *
                     (j->dy[at] - dshift / count - xhat * dscale / count));
            }
    }
}

/* ------------------------------------------------------ element by element */

/* Written so that NaN stays NaN. */
static void
relu_forward(const struct job *j)
{
    float top = j->op->kind == OP_RELU6 ? 6 : INFINITY;

    for (size_t i = 0; i < j->n * op_floats(j->op); i++) {
        float x = j->x[0][i];
        j->y[i] = x <= 0 ? 0 : x > top ? top : x;
    }
}

static void
relu_backward(const struct job *j)
{
    float top = j->op->kind == OP_RELU6 ? 6 : INFINITY;

    for (size_t i = 0; i < j->n * op_floats(j->op); i++) {
        float x = j->x[0][i];
        give(j, 0, i, x <= 0 || x >= top ? 0 : j->dy[i]);
    }
}

static void
add_forward(const struct job *j)
{
    for (size_t i = 0; i < j->n * op_floats(j->op); i++)
        j->y[i] = j->x[0][i] + j->x[1][i];
}

static void
add_backward(const struct job *j)
{
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < j->n * op_floats(j->op); i++)
            give(j, k, i, j->dy[i]);
}

/* What an element is multiplied by; the same forward and backward. */
static float
dropout_factor(const struct job *j, int n, size_t f)
{
    const struct ref_plan *p = j->plan;
    uint32_t draw = ((uint32_t)j->number << 20) + (uint32_t)f;
    uint32_t word;

    if (p->head.mode == MODE_EVAL)
        return 1;
    word = rng_at(p->seed, RNG_DROPOUT, p->epoch, p->samples[n], draw);
    return word * 0x1p-32 >= j->op->p ? (float)(1 / (1 - j->op->p)) : 0;
}

static void
dropout_forward(const struct job *j)
{
    size_t nf = op_floats(j->op);

    for (int n = 0; n < j->n; n++)
        for (size_t f = 0; f < nf; f++)
            j->y[n * nf + f] = j->x[0][n * nf + f] * dropout_factor(j, n, f);
}

static void
dropout_backward(const struct job *j)
{
    size_t nf = op_floats(j->op);

    for (int n = 0; n < j->n; n++)
        for (size_t f = 0; f < nf; f++)
            give(j, 0, n * nf + f,
                 j->dy[n * nf + f] * dropout_factor(j, n, f));
}

/* ------------------------------------------------------------------ pooling */

/* Inputs [lo, hi) of one output, along one dimension. */
static struct span
window(const struct op *op, int o, int nin)
{
    struct span s = { o * op->stride - op->pad, 0 };

    s.hi = s.lo + op->kernel < nin ? s.lo + op->kernel : nin;
    s.lo = s.lo > 0 ? s.lo : 0;
    return s;
}

/* Place of the largest in a window of one plane: the first, or a NaN. */
static size_t
largest(const float *x, struct span h, struct span w, int width)
{
    size_t best = (size_t)h.lo * width + w.lo;

    for (int r = h.lo; r < h.hi; r++)
        for (int s = w.lo; s < w.hi; s++) {
            size_t i = (size_t)r * width + s;
            if (x[i] > x[best] || isnan(x[i]))
                best = i;
        }
    return best;
}

static size_t
maxpool_place(const struct job *j, const float *x, int h, int w)
{
    return largest(x, window(j->op, h, j->in->h),
                   window(j->op, w, j->in->w), j->in->w);
}

static void
maxpool_forward(const struct job *j)
{
    size_t nin = (size_t)j->in->h * (size_t)j->in->w;
    const float *x = j->x[0];
    float *y = j->y;

    for (int nc = 0; nc < j->n * j->op->c; nc++, x += nin)
        for (int h = 0; h < j->op->h; h++)
            for (int w = 0; w < j->op->w; w++)
                *y++ = x[maxpool_place(j, x, h, w)];
}

static void
maxpool_backward(const struct job *j)
{
    size_t nin = (size_t)j->in->h * (size_t)j->in->w;
    const float *x = j->x[0], *dy = j->dy;
    double *sum = j->plan->plane;

    for (int nc = 0; nc < j->n * j->op->c; nc++, x += nin) {
        memset(sum, 0, nin * sizeof *sum);
        for (int h = 0; h < j->op->h; h++)
            for (int w = 0; w < j->op->w; w++)
                sum[maxpool_place(j, x, h, w)] += *dy++;
        for (size_t i = 0; i < nin; i++)
            give(j, 0, nc * nin + i, sum[i]);
    }
}

/* Bin i of `size` over n places: [floor(i n / size), ceil((i+1) n / size)). */
static struct span
bin(int i, int n, int size)
{
    struct span s = { i * n / size, ((i + 1) * n + size - 1) / size };

    return s;
}

static void
avgpool_forward(const struct job *j)
{
    int size = j->op->size, height = j->in->h, width = j->in->w;
    const float *x = j->x[0];
    float *y = j->y;

    for (int nc = 0; nc < j->n * j->in->c; nc++, x += height * width)
        for (int a = 0; a < size; a++)
            for (int b = 0; b < size; b++) {
                struct span h = bin(a, height, size), w = bin(b, width, size);
                double sum = 0;

                for (int r = h.lo; r < h.hi; r++)
                    for (int s = w.lo; s < w.hi; s++)
                        sum += x[r * width + s];
                *y++ = (float)(sum / ((h.hi - h.lo) * (w.hi - w.lo)));
            }
}

static void
avgpool_backward(const struct job *j)
{
    int size = j->op->size, height = j->in->h, width = j->in->w;
    size_t nin = (size_t)height * (size_t)width;
    const float *dy = j->dy;
    double *sum = j->plan->plane;

    for (int nc = 0; nc < j->n * j->in->c; nc++) {
        memset(sum, 0, nin * sizeof *sum);
        for (int a = 0; a < size; a++)
            for (int b = 0; b < size; b++) {
                struct span h = bin(a, height, size), w = bin(b, width, size);
                int count = (h.hi - h.lo) * (w.hi - w.lo);
                double share = *dy++ / (double)count;

                for (int r = h.lo; r < h.hi; r++)
                    for (int s = w.lo; s < w.hi; s++)
                        sum[r * width + s] += share;
            }
        for (size_t i = 0; i < nin; i++)
            give(j, 0, nc * nin + i, sum[i]);
    }
}

/* ------------------------------------------------------------ flat values */

static void
linear_forward(const struct job *j)
{
    size_t nin = op_floats(j->in), nout = op_floats(j->op);
    const float *bias = j->w + j->op->nweights;

    for (int n = 0; n < j->n; n++)
        for (size_t k = 0; k < nout; k++) {
            double sum = bias[k];

            for (size_t f = 0; f < nin; f++)
                sum += (double)j->w[k * nin + f] * j->x[0][n * nin + f];
            j->y[n * nout + k] = (float)sum;
        }
}

static void
linear_backward(const struct job *j)
{
    size_t nin = op_floats(j->in), nout = op_floats(j->op);

    for (int n = 0; n < j->n; n++)
        for (size_t f = 0; f < nin; f++) {
            double sum = 0;

            for (size_t k = 0; k < nout; k++)
                sum += (double)j->w[k * nin + f] * j->dy[n * nout + k];
            give(j, 0, n * nin + f, sum);
        }
    for (size_t k = 0; k < nout; k++) {
        double dbias = 0;

        for (size_t f = 0; f < nin; f++) {
            double sum = 0;

            for (int n = 0; n < j->n; n++)
                sum += (double)j->dy[n * nout + k] * j->x[0][n * nin + f];
            j->dw[k * nin + f] = (float)sum;
        }
        for (int n = 0; n < j->n; n++)
            dbias += j->dy[n * nout + k];
        j->dw[j->op->nweights + k] = (float)dbias;
    }
}

static void
xent_forward(const struct job *j)
{
    struct ref_plan *p = j->plan;
    size_t nk = op_floats(j->in);

    p->loss = 0;
    for (int n = 0; n < j->n; n++) {
        const float *z = j->x[0] + n * nk, *target = p->targets + n * nk;
        double top = z[0], sum = 0;

        for (size_t k = 1; k < nk; k++)
            top = fmax(top, z[k]);
        for (size_t k = 0; k < nk; k++)
            sum += exp(z[k] - top);
        for (size_t k = 0; k < nk; k++) {
            j->y[n * nk + k] = (float)(exp(z[k] - top) / sum);
            if (p->has_targets)
                p->loss -= target[k] * (z[k] - top - log(sum));
        }
    }
}

static void
xent_backward(const struct job *j)
{
    size_t nk = op_floats(j->in);

    for (int n = 0; n < j->n; n++) {
        const float *target = j->plan->targets + n * nk;
        double sum = 0;

        for (size_t k = 0; k < nk; k++)
            sum += target[k];
        for (size_t k = 0; k < nk; k++)
            give(j, 0, n * nk + k, j->y[n * nk + k] * sum - target[k]);
    }
}

/* -------------------------------------------------------------- the backend */

static const struct {
    void (*forward)(const struct job *j), (*backward)(const struct job *j);
} kernels[] = {
    [OP_INPUT] = { NULL, NULL },        /* feed() has done it */
    [OP_CONV] = { conv_forward, conv_backward },
    [OP_BN] = { bn_forward, bn_backward },
    [OP_RELU] = { relu_forward, relu_backward },
    [OP_RELU6] = { relu_forward, relu_backward },
    [OP_ADD] = { add_forward, add_backward },
    [OP_MAXPOOL] = { maxpool_forward, maxpool_backward },
    [OP_AVGPOOL] = { avgpool_forward, avgpool_backward },
    [OP_DROPOUT] = { dropout_forward, dropout_backward },
    [OP_LINEAR] = { linear_forward, linear_backward },
    [OP_XENT] = { xent_forward, xent_backward },
};

static struct backend *
ref_open(const struct backend_conf *c, struct err *e)
{
    struct backend *b;

    if (c->dtype == DTYPE_BF16 || c->dtype == DTYPE_TF32) {
        err_set(e, EXIT_USAGE, "the ref backend computes in f32 only");
        return NULL;
    }
    b = mem_array(1, sizeof *b);
    b->class = &backend_ref_class;
    b->dtype = "f32";
    snprintf(b->about, sizeof b->about, "plain C, one thread");
    return b;
}

static void
ref_close(struct backend *b)
{
    free(b);
}

static float *
ref_alloc(struct backend *b, size_t n, struct err *e)
{
    (void)b;
    (void)e;
    return mem_aligned(n, sizeof(float));
}

static void
ref_release(struct backend *b, float *p)
{
    (void)b;
    free(p);
}

static void
ref_put(struct backend *b, float *to, const float *host, size_t n)
{
    (void)b;
    memcpy(to, host, n * sizeof *to);
}

static void
ref_get(struct backend *b, float *host, const float *from, size_t n)
{
    (void)b;
    memcpy(host, from, n * sizeof *host);
}

static void
ref_unplan(struct plan *head)
{
    struct ref_plan *p = (struct ref_plan *)head;

    if (p == NULL)
        return;
    for (int i = 0; i < head->graph->nops; i++) {
        free(p->value[i]);
        free(p->grad[i]);
    }
    free(p->value);
    free(p->grad);
    free(p->targets);
    free(p->samples);
    free(p->plane);
    free(p);
}

static struct plan *
ref_plan(struct backend *b, const struct graph *g, int n, enum mode mode,
         const struct vectors *v, struct err *e)
{
    struct ref_plan *p;
    size_t plane = 1;

    (void)e;
    p = mem_array(1, sizeof *p);
    p->head = (struct plan){ .backend = b, .graph = g, .mode = mode, .n = n,
                             .v = *v };
    p->value = mem_array(g->nops, sizeof *p->value);
    p->grad = mem_array(g->nops, sizeof *p->grad);
    p->targets = mem_array((size_t)n * graph_classes(g), sizeof *p->targets);
    p->samples = mem_array(n, sizeof *p->samples);
    for (int i = 0; i < g->nops; i++) {
        const struct op *op = &g->op[i];
        size_t total = n * op_floats(op), hw = (size_t)op->h * op->w;

        p->value[i] = mem_aligned(total, sizeof(float));
        p->head.nbytes += total * sizeof(float);
        if (mode == MODE_TRAIN) {
            p->grad[i] = mem_aligned(total, sizeof(float));
            p->head.nbytes += total * sizeof(float);
        }
        plane = hw > plane ? hw : plane;
    }
    p->plane = mem_array(plane, sizeof *p->plane);
    return &p->head;
}

static void
ref_feed(struct plan *head, const struct feed *f)
{
    struct ref_plan *p = (struct ref_plan *)head;
    const struct graph *g = head->graph;
    const struct op *input = graph_input(g);
    size_t n = (size_t)f->n;

    head->fed = f->n;
    memcpy(p->value[input - g->op], f->images,
           n * op_floats(input) * sizeof(float));
    p->has_targets = f->targets != NULL;
    if (f->targets)
        memcpy(p->targets, f->targets,
               n * graph_classes(g) * sizeof *p->targets);
    if (f->samples)
        memcpy(p->samples, f->samples, n * sizeof *p->samples);
    p->seed = f->seed;
    p->epoch = f->epoch;
}

static int
ref_run(struct plan *head, int number, enum pass pass, struct err *e)
{
    struct ref_plan *p = (struct ref_plan *)head;
    const struct op *op = &head->graph->op[number];
    struct job j = { .plan = p, .op = op, .number = number, .n = head->fed,
                     .y = p->value[number], .dy = p->grad[number],
                     .w = head->v.params + op->param };

    for (int k = 0; k < 2 && op->in[k] >= 0; k++) {
        j.x[k] = p->value[op->in[k]];
        j.dx[k] = p->grad[op->in[k]];
    }
    if (op->in[0] >= 0)
        j.in = &head->graph->op[op->in[0]];
    if (pass == PASS_FORWARD) {
        if (kernels[op->kind].forward)
            kernels[op->kind].forward(&j);
        return 0;
    }
    if (head->mode != MODE_TRAIN || !head->v.grads || !p->has_targets)
        return err_set(e, EXIT_USAGE, "nothing to go backward from: the plan"
                       " or the batch is not for training");
    j.dw = head->v.grads + op->param;
    if (kernels[op->kind].backward)
        kernels[op->kind].backward(&j);
    return 0;
}

static void
ref_result(struct plan *head, float *probs, double *loss)
{
    const struct ref_plan *p = (const struct ref_plan *)head;
    int last = head->graph->nops - 1;

    if (probs)
        memcpy(probs, p->value[last], (size_t)head->fed *
               graph_classes(head->graph) * sizeof *probs);
    if (loss)
        *loss = p->loss;
}

static void
ref_update(struct backend *b, const struct update *u)
{
    (void)b;
    update_host(u);
}

static void
ref_sync(struct backend *b)
{
    (void)b;
}

static int
ref_peek(struct plan *head, int op, bool gradient, float *host)
{
    const struct ref_plan *p = (const struct ref_plan *)head;
    const float *from = gradient ? p->grad[op] : p->value[op];

    /* The loss has no gradient but 1. */
    if (!from || (gradient && op == head->graph->nops - 1))
        return -1;
    memcpy(host, from,
           head->fed * op_floats(&head->graph->op[op]) * sizeof *host);
    return 0;
}

const struct backend_class backend_ref_class = {
    .name = "ref",
    .host = true,
    .open = ref_open,
    .close = ref_close,
    .alloc = ref_alloc,
    .release = ref_release,
    .put = ref_put,
    .get = ref_get,
    .plan = ref_plan,
    .unplan = ref_unplan,
    .feed = ref_feed,
    .run = ref_run,
    .result = ref_result,
    .update = ref_update,
    .sync = ref_sync,
    .peek = ref_peek,
};
