/*
 * cuda_pack: pictures and rows between plain f32 and what is computed with.
 *
 * Eight channels (rows: features) a thread; each number is read and written
 * once.  Share of the bandwidth: not measured yet.
 */
#include "kernels/cuda_dev.h"

/* [n][channels][plane] and [n][plane][c] */
template <class T>
static __global__ void
pack(uint32_t n, uint32_t plane, int c, int channels, const float *plain, T *x)
{
    uint32_t i = thread_number(), p = i % plane, groups = (uint32_t)c / 8;
    int k = (int)(i / plane % groups) * 8;
    size_t image = i / plane / groups;
    v8 v;

    if (image >= n)
        return;
    for (int j = 0; j < 8; j++)
        v.x[j] = k + j < channels
                     ? plain[(image * channels + k + j) * plane + p] : 0;
    store8(x + (image * plane + p) * c + k, v);
}

template <class T>
static __global__ void
unpack(uint32_t n, uint32_t plane, int c, int channels, const T *x,
       const float *bias, float *plain)
{
    uint32_t i = thread_number(), p = i % plane, groups = (uint32_t)c / 8;
    int k = (int)(i / plane % groups) * 8;
    size_t image = i / plane / groups;
    v8 v;

    if (image >= n)
        return;
    v = load8(x + (image * plane + p) * c + k);
    for (int j = 0; j < 8 && k + j < channels; j++)
        plain[(image * channels + k + j) * plane + p] =
            v.x[j] + (bias != NULL ? bias[k + j] : 0);
}

/* --------------------------------------------------------------- launchers */

template <class T>
static void
to(size_t n, size_t plane, int c, int channels, const float *plain, void *x,
   void *stream)
{
    LAUNCH(pack<T>, blocks(n * plane * (c / 8)), 256, stream,
           (uint32_t)n, (uint32_t)plane, c, channels, plain, (T *)x);
}

template <class T>
static void
from(size_t n, size_t plane, int c, int channels, const void *x,
     const float *bias, float *plain, void *stream)
{
    LAUNCH(unpack<T>, blocks(n * plane * (c / 8)), 256, stream,
           (uint32_t)n, (uint32_t)plane, c, channels, (const T *)x, bias,
           plain);
}

void
cuda_pack(const struct pix *s, bool is_bf16, int channels, const float *plain,
          void *x, void *stream)
{
    BY_TYPE(is_bf16, to, (size_t)s->n, (size_t)s->h * s->w, s->c, channels,
            plain, x, stream);
}

void
cuda_unpack(const struct pix *s, bool is_bf16, int channels, const void *x,
            float *plain, void *stream)
{
    BY_TYPE(is_bf16, from, (size_t)s->n, (size_t)s->h * s->w, s->c, channels,
            x, (const float *)NULL, plain, stream);
}

void
cuda_pack_rows(int n, int f, bool is_bf16, const float *rows, void *x,
               void *stream)
{
    BY_TYPE(is_bf16, to, (size_t)n, (size_t)1, (f + 7) / 8 * 8, f, rows, x,
            stream);
}

void
cuda_unpack_rows(int n, int f, bool is_bf16, const void *x, const float *bias,
                 float *rows, void *stream)
{
    BY_TYPE(is_bf16, from, (size_t)n, (size_t)1, (f + 7) / 8 * 8, f, x, bias,
            rows, stream);
}
