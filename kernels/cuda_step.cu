/*
 * cuda_step: SGD and AdamW over the flat f32 vector, with the average.
 *
 * One parameter a thread; SGD reads params, grads and m and writes params and
 * m: 20 bytes a parameter, AdamW 28, the average 8 more.  What to do is read
 * from the GPU's memory: a recorded step follows the schedule.
 *
 * The same pass writes the packed copy, 2 bytes a weight (4 in f32): nothing
 * is left to pack in the next forward pass.  A thread finds its tensor by
 * bisection, as its neighbours do in the same cache lines.  Of a 3 x 3
 * convolution a warp's weights lie in nine rows of the copy; the L2 cache makes
 * whole lines of them.  Share of the bandwidth: not measured yet.
 */
#include "kernels/cuda_place.h"

/* Weight `at` of the flat vector is w now: in the copy too, if it is there. */
static __device__ void
copy_weight(const cuda_copying &to, const float *at, float w)
{
    const cuda_packing &p =
        to.list[last_before(to.list, to.n, at,
                            [](const cuda_packing &q) { return q.flat; })];
    size_t i = (size_t)(at - p.flat), place;

    if (at < p.flat ||
        i >= (size_t)p.w.k * (p.w.c / p.w.groups) * p.w.r * p.w.r)
        return;
    place = packed_place(p, (uint32_t)i);
    if (p.w.bf16 && !p.taps)
        ((bf16 *)(to.base + p.packed))[place].bits =
            (uint16_t)(bf16_pair(w, 0) & 0xFFFF);
    else
        ((float *)(to.base + p.packed))[place] =
            p.w.bf16 ? narrow(w, bf16()) : w;
}

static __global__ void
step(const struct cuda_step *of, struct cuda_copying to)
{
    const struct cuda_step s = *of;
    size_t i = thread_number();
    float w, g, m;

    if (i >= s.n)
        return;
    w = s.params[i];
    g = s.grads[i];
    if (s.adamw) {
        float v = s.beta2 * s.v[i] + (1 - s.beta2) * g * g;

        m = s.beta1 * s.m[i] + (1 - s.beta1) * g;
        s.v[i] = v;
        w -= s.lr * s.decay * w;
        w -= s.rate * m / (sqrtf(v) * s.root + s.eps);
    } else {
        g += s.decay * w;
        m = s.first ? g : s.momentum * s.m[i] + g;
        w -= s.lr * m;
    }
    s.m[i] = m;
    s.params[i] = w;
    if (s.ema != NULL)
        s.ema[i] += (1 - s.ema_decay) * (w - s.ema[i]);
    if (to.n > 0)
        copy_weight(to, s.params + i, w);
}

void
cuda_step(const struct cuda_step *s, size_t n, const struct cuda_copying *to,
          void *stream)
{
    if (n > 0)
        LAUNCH(step, blocks(n), 256, stream, s, *to);
}
