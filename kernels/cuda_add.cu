/*
 * cuda_add: what is done to pictures element by element, and sums of channels.
 *
 * Pictures [rows = n h w][c], eight channels a thread.  Addition with bias and
 * activation reads x (and z) and writes y; the activation's gradient reads y
 * and dy and writes g; a bias's gradient does that on the way, in grid
 * (c/8/tx, parts).
 * Share of the bandwidth: not measured yet.
 */
#include "kernels/cuda_dev.h"

enum { PARTS = 384 };
static_assert((int)PARTS <= (int)CUDA_SUMS, "scratch of a channel");

template <class T>
static __global__ void
add(size_t groups, int c, enum act act, const T *x, const T *z,
    const float *bias, int channels, T *y)
{
    uint32_t n = thread_number();
    int k = (int)(n % (uint32_t)(c / 8)) * 8;
    size_t i = n;
    v8 v, more;

    if (i >= groups)
        return;
    v = load8(x + 8 * i);
    if (z != NULL) {
        more = load8(z + 8 * i);
        for (int j = 0; j < 8; j++)
            v.x[j] += more.x[j];
    }
    for (int j = 0; j < 8; j++) {
        if (bias != NULL && k + j < channels)
            v.x[j] += bias[k + j];
        v.x[j] = activate(v.x[j], act);
    }
    store8(y + 8 * i, v);
}

template <class T>
static __global__ void
act_back(size_t groups, enum act act, const T *y, const T *dy, T *g)
{
    size_t i = thread_number();
    v8 v, d;

    if (i >= groups)
        return;
    v = load8(y + 8 * i);
    d = load8(dy + 8 * i);
    for (int j = 0; j < 8; j++)
        d.x[j] = passes(v.x[j], act) ? d.x[j] : 0;
    store8(g + 8 * i, d);
}

/* sums [parts][c] of dy where act let y through; y NULL: of all of it.  g: that
 * is also stored. */
template <class T>
static __global__ void
sum_partial(size_t rows, int c, int tx, enum act act, const T *y,
            const T *dy, T *g, float *sums)
{
    int t = (int)threadIdx.x, k = 8 * ((int)blockIdx.x * tx + t % tx);
    size_t step = (size_t)(256 / tx) * gridDim.y;
    v8 sum = {};

    if (k < c)
#pragma unroll 4
        for (size_t r = (size_t)blockIdx.y * (256 / tx) + t / tx; r < rows;
             r += step) {
            v8 d = load8(dy + r * c + k);

            if (y != NULL) {
                v8 v = load8(y + r * c + k);

                for (int j = 0; j < 8; j++)
                    d.x[j] = passes(v.x[j], act) ? d.x[j] : 0;
                store8(g + r * c + k, d);
            }
            for (int j = 0; j < 8; j++)
                sum.x[j] += d.x[j];
        }
    column_sums(sum, tx);
    if (t < tx && k < c)
        store8(sums + (size_t)blockIdx.y * c + k, sum);
}

static __global__ void
sum_finish(const float *sums, int c, int channels, int parts, float *sum)
{
    size_t k = thread_number();
    double all = 0;

    if (k >= (size_t)channels)
        return;
#pragma unroll 8
    for (int i = 0; i < parts; i++)
        all += sums[(size_t)i * c + k];
    sum[k] = (float)all;
}

/* --------------------------------------------------------------- launchers */

template <class T>
static void
launch_add(const pix *s, enum act act, const void *x, const void *z,
           const float *bias, int channels, void *y, void *stream)
{
    LAUNCH(add<T>, blocks(groups_of(*s)), 256, stream, groups_of(*s), s->c, act,
           (const T *)x, (const T *)z, bias, channels, (T *)y);
}

template <class T>
static void
launch_back(const pix *s, enum act act, const void *y, const void *dy,
            void *g, void *stream)
{
    LAUNCH(act_back<T>, blocks(groups_of(*s)), 256, stream, groups_of(*s), act,
           (const T *)y, (const T *)dy, (T *)g);
}

template <class T>
static void
launch_sums(const pix *s, int channels, enum act act, const void *y,
            const void *dy, void *g, float *sum, float *sums, void *stream)
{
    size_t rows = rows_of(*s);
    tiles t = tiles_of(rows, s->c, PARTS);

    LAUNCH_TEAM(sum_partial<T>, dim3(t.across, t.parts), 256, stream, rows,
                s->c, t.tx, act, (const T *)(act == ACT_NONE ? NULL : y),
                (const T *)dy, (T *)g, sums);
    LAUNCH(sum_finish, blocks((size_t)channels), 256, stream, sums, s->c,
           channels, t.parts, sum);
}

void
cuda_add(const struct pix *s, bool is_bf16, enum act act, const void *x,
         const void *z, const float *bias, int channels, void *y,
         void *stream)
{
    BY_TYPE(is_bf16, launch_add, s, act, x, z, bias, channels, y, stream);
}

void
cuda_act_back(const struct pix *s, bool is_bf16, enum act act, const void *y,
              const void *dy, void *g, void *stream)
{
    BY_TYPE(is_bf16, launch_back, s, act, y, dy, g, stream);
}

void
cuda_bias_back(const struct pix *s, bool is_bf16, int channels, enum act act,
               const void *y, const void *dy, void *g, float *sum,
               float *sums, void *stream)
{
    BY_TYPE(is_bf16, launch_sums, s, channels, act, y, dy, g, sum, sums,
            stream);
}
