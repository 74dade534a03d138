#include "backend/update.h"

#include <math.h>

static void
step_sgd(const struct update *u)
{
    float momentum = u->step == 1 ? 0.0f : u->momentum;

    for (size_t i = u->begin; i < u->end; i++) {
        float g = u->grads[i] + u->decay * u->params[i];

        u->m[i] = momentum * u->m[i] + g;
        u->params[i] -= u->lr * u->m[i];
    }
}

static void
step_adamw(const struct update *u)
{
    /* 1 - beta^t loses its digits in float while t is small. */
    double bias1 = 1 - pow(u->beta1, (double)u->step);
    double bias2 = 1 - pow(u->beta2, (double)u->step);
    float rate = (float)(u->lr / bias1), root = (float)(1 / sqrt(bias2));

    for (size_t i = u->begin; i < u->end; i++) {
        float g = u->grads[i];

        u->m[i] = u->beta1 * u->m[i] + (1 - u->beta1) * g;
        u->v[i] = u->beta2 * u->v[i] + (1 - u->beta2) * g * g;
        u->params[i] -= u->lr * u->decay * u->params[i];
        u->params[i] -= rate * u->m[i] / (sqrtf(u->v[i]) * root + u->eps);
    }
}

void
update_host(const struct update *u)
{
    if (u->rule == UPDATE_ADAMW)
        step_adamw(u);
    else
        step_sgd(u);
    if (u->ema)
        for (size_t i = u->begin; i < u->end; i++)
            u->ema[i] += (1 - u->ema_decay) * (u->params[i] - u->ema[i]);
}
