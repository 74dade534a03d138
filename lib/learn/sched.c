#include "learn/sched.h"

#include <math.h>
#include <string.h>

/* A loss counts as lower by this share of the best, as in PyTorch. */
#define LEAST_GAIN 1e-4

/* PyTorch leaves the rate alone where the change would be smaller. */
#define LEAST_CHANGE 1e-8

void
sched_preset(struct sched_conf *c, int64_t epochs)
{
    memset(c, 0, sizeof *c);
    c->kind = SCHED_PLATEAU;
    c->lr = 0.001;
    c->epochs = epochs;
    c->patience = 10;
    c->step_every = 30;
    c->factor = 0.1;
}

void
sched_init(struct sched *s, const struct sched_conf *c)
{
    memset(s, 0, sizeof *s);
    s->conf = *c;
    s->lr = c->lr;
    s->plateau_best = s->best = INFINITY;
}

double
sched_lr(const struct sched *s, int64_t epoch)
{
    const struct sched_conf *c = &s->conf;
    double t = (double)(epoch - c->warmup);
    double whole = (double)(c->epochs - c->warmup);

    if (epoch < c->warmup)
        return c->lr * (double)(epoch + 1) / (double)(c->warmup + 1);
    switch (c->kind) {
    case SCHED_PLATEAU:
        return s->lr;
    case SCHED_COSINE:
        return t < whole ? c->lr / 2 * (1 + cos(M_PI * t / whole)) : 0;
    case SCHED_STEP:
        return c->lr * pow(c->factor, floor(t / (double)c->step_every));
    case SCHED_CONSTANT:
        break;
    }
    return c->lr;
}

static void
plateau_step(struct sched *s, double loss)
{
    const struct sched_conf *c = &s->conf;
    double lower;

    if (loss < s->plateau_best * (1 - LEAST_GAIN)) {
        s->plateau_best = loss;
        s->plateau_bad = 0;
        return;
    }
    if (++s->plateau_bad <= c->patience)
        return;
    s->plateau_bad = 0;
    lower = s->lr * c->factor;
    if (s->lr - lower > LEAST_CHANGE)
        s->lr = lower;
}

void
sched_end_epoch(struct sched *s, double val_loss)
{
    if (s->ended >= s->conf.warmup)
        plateau_step(s, val_loss);
    s->ended++;
    if (val_loss < s->best) {
        s->best = val_loss;
        s->since_best = 0;
    } else {
        s->since_best++;
    }
}

bool
sched_stop(const struct sched *s)
{
    return s->conf.early_stop > 0 && s->since_best >= s->conf.early_stop;
}
