/*
 * host_cudnn: cudnn_conv.h by plain loops, for tests without a GPU.
 *
 * What is wrong with the numbers cuDNN would give cannot show here; whether
 * the backend hands it the right tensors in the right layouts does.
 */
#include "backend/cudnn_conv.h"
#include "backend/gpu.h"
#include "base/mem.h"
#include "tests/host/cuda_runtime_api.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct cudnn_plan {
    struct conv_shape s;
    enum conv_pass pass;
    struct cudnn_plan *next;
};

struct cudnn {
    struct cudnn_plan *plans;
    cudaStream_t stream;
};

/* A call of cudnn_run(). */
struct call {
    const struct cudnn_plan *p;
    void *x, *w, *bias, *y;
};

struct cudnn *
cudnn_open(const struct cudnn_conf *c, struct err *e)
{
    struct cudnn *d = mem_array(1, sizeof *d);

    (void)e;
    d->stream = c->gpu->stream;
    return d;
}

void
cudnn_close(struct cudnn *d)
{
    while (d != NULL && d->plans != NULL) {
        struct cudnn_plan *p = d->plans;

        d->plans = p->next;
        free(p);
    }
    free(d);
}

const char *
cudnn_about(const struct cudnn *d)
{
    (void)d;
    return "plain loops";
}

void
cudnn_why(const struct cudnn *d, char text[256])
{
    (void)d;
    text[0] = '\0';
}

const struct cudnn_plan *
cudnn_plan(struct cudnn *d, const struct conv_shape *s, enum conv_pass pass,
           struct err *e)
{
    struct cudnn_plan *p;

    if (s->c % 8 != 0 || s->k % 8 != 0) {
        err_set(e, EXIT_IO, "%d and %d channels are not padded", s->c, s->k);
        return NULL;
    }
    p = mem_array(1, sizeof *p);
    *p = (struct cudnn_plan){ *s, pass, d->plans };
    d->plans = p;
    return p;
}

void
cudnn_planned(struct cudnn *d)
{
    (void)d;
}

size_t
cudnn_workspace(const struct cudnn_plan *p)
{
    (void)p;
    return 0;
}

const char *
cudnn_explain(const struct cudnn_plan *p)
{
    (void)p;
    return "plain loops";
}

/* Of the type that is stored, to f32 and back. */
static float *
widen(const void *from, size_t n, bool bf16)
{
    float *to = mem_array(n, sizeof *to);

    if (!bf16)
        memcpy(to, from, n * sizeof *to);
    for (size_t i = 0; bf16 && i < n; i++) {
        uint32_t u = (uint32_t)((const uint16_t *)from)[i] << 16;

        memcpy(&to[i], &u, 4);
    }
    return to;
}

static void
narrow(float *from, void *to, size_t n, bool bf16)
{
    if (!bf16)
        memcpy(to, from, n * sizeof *from);
    for (size_t i = 0; bf16 && i < n; i++) {
        uint32_t u;

        memcpy(&u, &from[i], 4);
        u += 0x7FFF + (u >> 16 & 1);
        ((uint16_t *)to)[i] = (uint16_t)(u >> 16);
    }
}

/* One tap at one output pixel: c numbers of x, k of y, [k][..][c] of w. */
static void
tap(const struct conv_shape *s, enum conv_pass pass, float *x, float *w,
    float *y)
{
    size_t step = (size_t)s->kernel * s->kernel * s->c;

    for (int k = 0; k < s->k; k++, w += step) {
        float sum = 0, g = y[k];

        if (pass == CONV_FORWARD) {
            for (int c = 0; c < s->c; c++)
                sum += x[c] * w[c];
            y[k] += sum;
        } else if (g != 0 && pass == CONV_DATA) {
            for (int c = 0; c < s->c; c++)
                x[c] += g * w[c];
        } else if (g != 0) {
            for (int c = 0; c < s->c; c++)
                w[c] += g * x[c];
        }
    }
}

static bool
run(void *arg)
{
    const struct call *a = arg;
    const struct cudnn_plan *p = a->p;
    const struct conv_shape *s = &p->s;
    int oh = (s->h + 2 * s->pad - s->kernel) / s->stride + 1;
    int ow = (s->w + 2 * s->pad - s->kernel) / s->stride + 1;
    size_t size[3] = { (size_t)s->n * s->h * s->w * s->c,
                       (size_t)s->k * s->kernel * s->kernel * s->c,
                       (size_t)s->n * oh * ow * s->k };
    void *const tensor[3] = { a->x, a->w, a->y };
    static const int made[CONV_PASSES] = { 2, 0, 1 };
    int out = made[p->pass];
    float *f[3];

    for (int i = 0; i < 3; i++)
        f[i] = widen(tensor[i], size[i], s->bf16);
    memset(f[out], 0, size[out] * sizeof(float));
    for (int n = 0; n < s->n; n++)
        for (int i = 0; i < oh * ow * s->kernel * s->kernel; i++) {
            int r = i / s->kernel % s->kernel, q = i % s->kernel;
            int o = i / s->kernel / s->kernel;
            int h = o / ow * s->stride - s->pad + r;
            int v = o % ow * s->stride - s->pad + q;

            if (h >= 0 && h < s->h && v >= 0 && v < s->w)
                tap(s, p->pass,
                    f[0] + (((size_t)n * s->h + h) * s->w + v) * s->c,
                    f[1] + ((size_t)r * s->kernel + q) * s->c,
                    f[2] + ((size_t)n * oh * ow + o) * s->k);
        }
    if (s->bias_relu) {
        float *b = widen(a->bias, (size_t)s->k, s->bf16);

        for (size_t i = 0; i < size[2]; i++) {
            float v = f[2][i] + b[i % (size_t)s->k];

            f[2][i] = v <= 0 ? 0 : v;
        }
        free(b);
    }
    narrow(f[out], tensor[out], size[out], s->bf16);
    for (int i = 0; i < 3; i++)
        free(f[i]);
    return true;
}

int
cudnn_run(struct cudnn *d, const struct cudnn_plan *p, void *x, void *w,
          void *bias, void *y, void *workspace)
{
    const struct call a = { p, x, w, bias, y };

    (void)workspace;
    cuda_host_put(d->stream, run, NULL, &a, sizeof a);
    return 0;
}
