/*
 * cuda_flat: what is done to flat values, f32 [n][f], and the loss.
 *
 * One number a thread but for the loss, which is one block of 1024: a batch
 * has a few hundred logits, and its sums are made in one order.  All of it
 * together is far below a thousandth of a step's bytes.
 */
#include "kernels/cuda_dev.h"
#include "kernels/cuda_rng.h"

static __global__ void
dropout(struct cuda_dropout d, float keep, const float *x, float *y)
{
    uint32_t i = thread_number();
    uint32_t word[4], draw;

    if (i >= (uint32_t)(d.n * d.f))
        return;
    draw = ((uint32_t)d.op << 20) + (uint32_t)(i % d.f);
    rng_words(d.now->seed, STREAM_DROPOUT, d.now->epoch,
              d.samples[i / d.f], draw / 4, word);
    y[i] = word[draw % 4] * 0x1p-32 >= d.p ? x[i] * keep : 0;
}

static __global__ void
relu(size_t n, enum act act, const float *x, float *y)
{
    size_t i = thread_number();

    if (i < n)
        y[i] = activate(x[i], act);
}

static __global__ void
relu_back(size_t n, enum act act, const float *y, const float *dy, float *dx)
{
    size_t i = thread_number();

    if (i < n)
        dx[i] = passes(y[i], act) ? dy[i] : 0;
}

static __global__ void
accumulate(size_t n, const float *from, float *to)
{
    size_t i = thread_number();

    if (i < n)
        to[i] += from[i];
}

/* ---------------------------------------------------------------- the loss */

/* Softmax of one picture; its loss, and whether it was right. */
static __device__ void
xent_one(const struct cuda_xent &x, int n, const float *z, float *probs,
         double *loss, double *right)
{
    const float *target = x.targets + (size_t)n * x.k;
    float top;
    double sum = 0;
    int best = 0;

    z += (size_t)n * x.k;
    probs += (size_t)n * x.k;
    top = z[0];
    for (int k = 1; k < x.k; k++)
        top = z[k] > top || z[k] != z[k] ? z[k] : top;
    for (int k = 0; k < x.k; k++)
        sum += exp((double)(z[k] - top));
    for (int k = 0; k < x.k; k++) {
        double logp = (double)(z[k] - top) - log(sum);

        probs[k] = (float)exp(logp);
        best = probs[k] > probs[best] ? k : best;
        if (target[k] != 0)
            *loss -= (double)target[k] * logp;
    }
    *right += best == x.labels[n];
}

static __global__ void __launch_bounds__(1024)
xent(struct cuda_xent x, const float *z, float *probs, double *out)
{
    __shared__ double all[2][1024];
    int t = (int)threadIdx.x, fed = x.now->fed;
    double loss = 0, right = 0;

    for (int n = t; n < fed; n += 1024)
        xent_one(x, n, z, probs, &loss, &right);
    all[0][t] = loss;
    all[1][t] = right;
    __syncthreads();
    for (int half = 512; half > 0; half /= 2) {
        if (t < half) {
            all[0][t] += all[0][t + half];
            all[1][t] += all[1][t + half];
        }
        __syncthreads();
    }
    if (t < 2) {
        out[t] = all[t][0];
        out[2 + t] += all[t][0] * (t == 0 ? x.now->all : 1);
    }
}

static __global__ void
xent_back(struct cuda_xent x, const float *probs, float *dz)
{
    uint32_t i = thread_number(), n = i / (uint32_t)x.k;
    const float *target = x.targets + (size_t)n * x.k;
    float sum = 0;

    if (n >= (uint32_t)x.n)
        return;
    for (int k = 0; k < x.k; k++)
        sum += target[k];
    dz[i] = n < (uint32_t)x.now->fed ? probs[i] * sum - x.targets[i] : 0;
}

/* --------------------------------------------------------------- launchers */

void
cuda_dropout(const struct cuda_dropout *d, const float *x, float *y,
             void *stream)
{
    LAUNCH(dropout, blocks((size_t)d->n * d->f), 256, stream, *d,
           1 / (1 - (float)d->p), x, y);
}

void
cuda_relu(size_t n, enum act act, const float *x, float *y, void *stream)
{
    LAUNCH(relu, blocks(n), 256, stream, n, act, x, y);
}

void
cuda_relu_back(size_t n, enum act act, const float *y, const float *dy,
               float *dx, void *stream)
{
    LAUNCH(relu_back, blocks(n), 256, stream, n, act, y, dy, dx);
}

void
cuda_accumulate(size_t n, const float *from, float *to, void *stream)
{
    LAUNCH(accumulate, blocks(n), 256, stream, n, from, to);
}

void
cuda_xent(const struct cuda_xent *x, const float *z, float *probs,
          double *out, void *stream)
{
    LAUNCH_TEAM(xent, 1, 1024, stream, *x, z, probs, out);
}

void
cuda_xent_back(const struct cuda_xent *x, const float *probs, float *dz,
               void *stream)
{
    LAUNCH(xent_back, blocks((size_t)x->n * x->k), 256, stream, *x, probs,
           dz);
}
