/*
 * cuda_bn: batch normalisation with addition and activation, both ways.
 *
 * Pictures [rows = n h w][c].  Forward: bn_partial, grid (c/8/tx, parts) of
 * 256 threads, reads x; bn_finish, a block for each 16 channels; bn_apply,
 * eight channels a thread, reads x (and z), writes y: 3 or 4 times the bytes
 * of x.  Backward: back_partial reads x, dy (dy2, y, dz) and writes the
 * masked gradient where another needs it; back_finish; back_apply reads x and
 * that, writes dx: 5 to 9 times.  Share of the bandwidth: not measured yet.
 *
 * Sums of x are taken about the first row's value: no digits are lost where
 * the mean is far from 0.
 */
#include "kernels/cuda_dev.h"

#define EPS 1e-5f           /* BN_EPS, BN_MOMENTUM of backend.h */
#define MOMENTUM 0.1f

enum {
    PARTS = 384,            /* of a sum; two numbers each and coefficients */
    FINISH_C = 16, FINISH_P = 16    /* channels and parts of a block */
};
static_assert(2 * (int)PARTS + 3 <= (int)CUDA_SUMS, "scratch of a channel");

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

/* Sum both numbers of a channel over the parts, in double. */
static __device__ void
add_parts(const float *sums, int c, int parts, int channel, double out[2])
{
    __shared__ double all[2][FINISH_P][FINISH_C];
    int p = (int)threadIdx.x / FINISH_C, k = (int)threadIdx.x % FINISH_C;

    for (int j = 0; j < 2; j++) {
        double sum = 0;

        if (channel < c)
            for (int i = p; i < parts; i += FINISH_P)
                sum += sums[((size_t)i * 2 + j) * c + channel];
        all[j][p][k] = sum;
    }
    __syncthreads();
    for (int j = 0; j < 2; j++) {
        out[j] = 0;
        for (int i = 0; i < FINISH_P; i++)
            out[j] += all[j][i][k];
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
    b.run_var[k] += MOMENTUM * ((float)(var * rows / (rows - 1)) -
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

/* ---------------------------------------------------------------- backward */

/* The gradient that reaches the sum of batch-norm and z, at group i. */
template <class T>
static __device__ v8
masked(const cuda_bn &b, const struct cuda_bn_back &g, size_t i, const v8 &x, int k)
{
    v8 d = load8((const T *)g.dy + 8 * i);

    if (g.dy2 != NULL) {
        v8 more = load8((const T *)g.dy2 + 8 * i);

        for (int j = 0; j < 8; j++)
            d.x[j] += more.x[j];
    }
    if (b.act == ACT_NONE)
        return d;
    if (g.y != NULL) {
        v8 y = load8((const T *)g.y + 8 * i);

        for (int j = 0; j < 8; j++)
            d.x[j] = passes(y.x[j], b.act) ? d.x[j] : 0;
    } else {
        v8 scale = vector8(b.scale, k), shift = vector8(b.shift, k);

        for (int j = 0; j < 8; j++)
            d.x[j] = passes(x.x[j] * scale.x[j] + shift.x[j], b.act)
                         ? d.x[j] : 0;
    }
    return d;
}

/* sums [parts][2][c] = sum of g, of g xhat; writes what others need of g */
template <class T>
static __global__ void
back_partial(cuda_bn b, struct cuda_bn_back g, size_t rows, int tx)
{
    int t = (int)threadIdx.x, k = 8 * ((int)blockIdx.x * tx + t % tx);
    size_t step = (size_t)(256 / tx) * gridDim.y;
    bool store = g.y != NULL || g.dy2 != NULL;
    v8 sum = {}, cross = {};

    if (k < b.s.c) {
        v8 mean = vector8(b.mean, k), invstd = vector8(b.invstd, k);

        for (size_t r = (size_t)blockIdx.y * (256 / tx) + t / tx; r < rows;
             r += step) {
            size_t i = (r * b.s.c + k) / 8;
            v8 x = load8((const T *)g.x + 8 * i);
            v8 d = masked<T>(b, g, i, x, k);

            if (store)
                store8((T *)g.dy + 8 * i, d);
            if (g.dz != NULL) {
                v8 z = load8((T *)g.dz + 8 * i);

                for (int j = 0; j < 8; j++)
                    z.x[j] += d.x[j];
                store8((T *)g.dz + 8 * i, z);
            }
            for (int j = 0; j < 8; j++) {
                sum.x[j] += d.x[j];
                cross.x[j] += d.x[j] * (x.x[j] - mean.x[j]) * invstd.x[j];
            }
        }
    }
    column_sums(sum, tx);
    column_sums(cross, tx);
    if (t < tx && k < b.s.c) {
        float *to = b.sums + (size_t)blockIdx.y * 2 * b.s.c + k;

        store8(to, sum);
        store8(to + b.s.c, cross);
    }
}

/* dx = a g + b x + c, behind the partial sums as [3][c]. */
static __global__ void
back_finish(cuda_bn b, double rows, int parts, float *dgamma, float *dbeta)
{
    int k = (int)(blockIdx.x * FINISH_C + threadIdx.x % FINISH_C);
    float *to = b.sums + (size_t)PARTS * 2 * b.s.c;
    double sum[2], a, bx;

    add_parts(b.sums, b.s.c, parts, k, sum);
    if (threadIdx.x >= FINISH_C || k >= b.s.c)
        return;
    a = k < b.channels ? (double)b.gamma[k] * b.invstd[k] : 0;
    bx = -a * b.invstd[k] * sum[1] / rows;
    to[k] = (float)a;
    to[b.s.c + k] = (float)bx;
    to[2 * b.s.c + k] = (float)(-a * sum[0] / rows - bx * b.mean[k]);
    if (k < b.channels) {
        dbeta[k] = (float)sum[0];
        dgamma[k] = (float)sum[1];
    }
}

template <class T>
static __global__ void
back_apply(cuda_bn b, struct cuda_bn_back g, size_t groups)
{
    const float *from = b.sums + (size_t)PARTS * 2 * b.s.c;
    uint32_t n = thread_number();
    int k = (int)(n % (uint32_t)(b.s.c / 8)) * 8;
    size_t i = n;
    v8 x, d, ca, cb, cc;

    if (i >= groups)
        return;
    x = load8((const T *)g.x + 8 * i);
    if (g.y != NULL || g.dy2 != NULL)
        d = load8((const T *)g.dy + 8 * i);
    else
        d = masked<T>(b, g, i, x, k);
    ca = vector8(from, k);
    cb = vector8(from + b.s.c, k);
    cc = vector8(from + 2 * b.s.c, k);
    for (int j = 0; j < 8; j++)
        d.x[j] = ca.x[j] * d.x[j] + cb.x[j] * x.x[j] + cc.x[j];
    store8((T *)g.dx + 8 * i, d);
}

/* --------------------------------------------------------------- launchers */

static size_t
rows_of(const pix &s)
{
    return (size_t)s.n * s.h * s.w;
}

template <class T>
static void
apply(const cuda_bn *b, const void *x, const void *z, void *y, void *stream)
{
    size_t groups = rows_of(b->s) * (b->s.c / 8);

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

template <class T>
static void
back(const cuda_bn *b, const struct cuda_bn_back *g, void *stream)
{
    size_t rows = rows_of(b->s), groups = rows * (b->s.c / 8);
    tiles t = tiles_of(rows, b->s.c, PARTS);

    LAUNCH_TEAM(back_partial<T>, dim3(t.across, t.parts), 256, stream, *b, *g,
                rows, t.tx);
    LAUNCH_TEAM(back_finish, (b->s.c + FINISH_C - 1) / FINISH_C,
                FINISH_C * FINISH_P, stream, *b, (double)rows, t.parts,
                g->dgamma, g->dbeta);
    LAUNCH(back_apply<T>, blocks(groups), 256, stream, *b, *g, groups);
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

void
cuda_bn_back(const struct cuda_bn *b, const struct cuda_bn_back *g,
             void *stream)
{
    BY_TYPE(b->bf16, back, b, g, stream);
}
