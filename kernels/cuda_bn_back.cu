/*
 * cuda_bn_back: batch normalisation with addition and activation, backward.
 *
 * Pictures [rows = n h w][c].  back_partial, grid (c/8/tx, parts) of 256
 * threads, reads x, dy (dy2, y, dz) and writes the masked gradient where
 * another needs it; back_finish, a block for each 16 channels; back_apply,
 * eight channels a thread, reads x and that gradient, writes dx: 5 to 9 times
 * the bytes of x.  Share of the bandwidth: not measured yet.
 */
#include "kernels/cuda_sums.h"

/* The gradient that reaches the sum of batch-norm and z, at group i. */
template <class T>
static __device__ v8
masked(const cuda_bn &b, const struct cuda_bn_back &g, size_t i,
       const v8 &x, int k)
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
cuda_bn_back(const struct cuda_bn *b, const struct cuda_bn_back *g,
             void *stream)
{
    BY_TYPE(b->bf16, back, b, g, stream);
}
