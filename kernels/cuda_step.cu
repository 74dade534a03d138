/*
 * cuda_step: SGD and AdamW over the flat f32 vector, with the average.
 *
 * One parameter a thread; SGD reads params, grads and m and writes params and
 * m: 20 bytes a parameter, AdamW 28, the average 8 more.  What to do is read
 * from the GPU's memory: a recorded step follows the schedule.  Share of the
 * bandwidth: not measured yet.
 */
#include "kernels/cuda_dev.h"

static __global__ void
step(const struct cuda_step *of)
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
}

void
cuda_step(const struct cuda_step *s, size_t n, void *stream)
{
    if (n > 0)
        LAUNCH(step, blocks(n), 256, stream, s);
}
