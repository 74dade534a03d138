/*
 * cuda_bn: batch normalisation with addition and activation, forward.
 *
 * Pictures [rows = n h w][c].  bn_partial, grid (c/8/tx, parts) of 256 threads,
 * reads x; bn_finish, a block for each 16 channels; bn_apply, eight channels a
 * thread, reads x (and z), writes y: 3 or 4 times the bytes of x.  Share of the
 * bandwidth: not measured yet.
 *
 * Sums of x are taken about the first row's value: no digits are lost where
 * the mean is far from 0.
 */
#include "kernels/cuda_sums.h"

#define EPS 1e-5f           /* BN_EPS, BN_MOMENTUM of graph.h */
#define MOMENTUM 0.1f

/* sums [parts][2][c] = sum of x - x0, of its square */
template <class T>
static __global__ void
bn_partial(size_t rows, int c, int tx, const T *x, float *sums)
{
    int t = (int)threadIdx.x, g = (int)blockIdx.x * tx + t % tx;
    size_t step = (size_t)(256 / tx) * gridDim.y;
    v8 sum = {}, square = {};

    if (8 * g < c) {
        v8 zero = load8(x + 8 * g);

#pragma unroll 4
        for (size_t r = (size_t)blockIdx.y * (256 / tx) + t / tx; r < rows;
             r += step) {
            v8 v = load8(x + r * c + 8 * g);

            for (int i = 0; i < 8; i++) {
                float d = v.x[i] - zero.x[i];

                sum.x[i] += d;
                square.x[i] += d * d;
            }
        }
    }
    column_sums(sum, tx);
    column_sums(square, tx);
    if (t < tx && 8 * g < c) {
        float *to = sums + (size_t)blockIdx.y * 2 * c + 8 * g;

        store8(to, sum);
        store8(to + c, square);
    }
}

template <class T>
static __global__ void
bn_finish(cuda_bn b, double rows, int parts, const T *x)
{
    int k = (int)(blockIdx.x * FINISH_C + threadIdx.x % FINISH_C);
    double sum[2], zero, mean, var;

    add_parts(b.sums, b.s.c, parts, k, sum);
    if (threadIdx.x >= FINISH_C || k >= b.s.c)
        return;
    b.mean[k] = b.invstd[k] = b.scale[k] = b.shift[k] = 0;
    if (k >= b.channels)
        return;
    zero = load8(x + k / 8 * 8).x[k % 8];
    mean = sum[0] / rows;
    var = sum[1] / rows - mean * mean;
    var = var < 0 ? 0 : var;
    mean += zero;
    b.mean[k] = (float)mean;
    b.invstd[k] = (float)(1 / sqrt(var + EPS));
    b.scale[k] = b.gamma[k] * b.invstd[k];
    b.shift[k] = b.beta[k] - b.mean[k] * b.scale[k];
    b.run_mean[k] += MOMENTUM * ((float)mean - b.run_mean[k]);
    b.run_var[k] += MOMENTUM * ((float)(var * rows / (rows > 1 ? rows - 1 : 1)) -
                                b.run_var[k]);
}

static __global__ void
bn_running(cuda_bn b)
{
    int k = (int)thread_number();
    bool real = k < b.channels;

    if (k >= b.s.c)
        return;
    b.scale[k] = real ? b.gamma[k] / sqrtf(b.run_var[k] + EPS) : 0;
    b.shift[k] = real ? b.beta[k] - b.run_mean[k] * b.scale[k] : 0;
}

template <class T>
static __global__ void
bn_apply(size_t groups, int c, enum act act, const float *scale,
         const float *shift, const T *x, const T *z, T *y)
{
    uint32_t n = thread_number();
    int k = (int)(n % (uint32_t)(c / 8)) * 8;
    size_t i = n;
    v8 v, a, b, more = {};

    if (i >= groups)
        return;
    v = load8(x + 8 * i);
    a = vector8(scale, k);
    b = vector8(shift, k);
    if (z != NULL)
        more = load8(z + 8 * i);
    for (int j = 0; j < 8; j++)
        v.x[j] = activate(v.x[j] * a.x[j] + b.x[j] + more.x[j], act);
    store8(y + 8 * i, v);
}

/* --------------------------------------------------------------- launchers */

template <class T>
static void
apply(const cuda_bn *b, const void *x, const void *z, void *y, void *stream)
{
    size_t groups = groups_of(b->s);

    LAUNCH(bn_apply<T>, blocks(groups), 256, stream, groups, b->s.c, b->act,
           b->scale, b->shift, (const T *)x, (const T *)z, (T *)y);
}

template <class T>
static void
train(const cuda_bn *b, const void *x, const void *z, void *y, void *stream)
{
    size_t rows = rows_of(b->s);
    tiles t = tiles_of(rows, b->s.c, PARTS);

    LAUNCH_TEAM(bn_partial<T>, dim3(t.across, t.parts), 256, stream, rows,
                b->s.c, t.tx, (const T *)x, b->sums);
    LAUNCH_TEAM(bn_finish<T>, (b->s.c + FINISH_C - 1) / FINISH_C,
                FINISH_C * FINISH_P, stream, *b, (double)rows, t.parts,
                (const T *)x);
    apply<T>(b, x, z, y, stream);
}

void
cuda_bn_train(const struct cuda_bn *b, const void *x, const void *z, void *y,
              void *stream)
{
    BY_TYPE(b->bf16, train, b, x, z, y, stream);
}

void
cuda_bn_eval(const struct cuda_bn *b, const void *x, const void *z, void *y,
             void *stream)
{
    LAUNCH(bn_running, blocks((size_t)b->s.c), 256, stream, *b);
    BY_TYPE(b->bf16, apply, b, x, z, y, stream);
}
