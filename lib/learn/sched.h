/*
 * sched: the learning rate of each epoch, and when to stop.
 *
 *   constant  lr
 *   step      lr * factor^(t / step_every), t = epochs since the warm-up
 *   cosine    lr / 2 * (1 + cos(pi * t / T)), T = epochs - warmup
 *   plateau   PyTorch's ReduceLROnPlateau (mode min, relative threshold):
 *             lr times factor after more than `patience` epochs in which the
 *             validation loss was not below (1 - 1e-4) of the best
 *
 * Warm-up epochs come first: epoch e < warmup runs at lr * (e+1) / (warmup+1)
 * and does not count for the plateau.  The struct is plain numbers, so that a
 * checkpoint may hold it as it is.
 */
#ifndef BUSI_LEARN_SCHED_H
#define BUSI_LEARN_SCHED_H

#include <stdbool.h>
#include <stdint.h>

enum sched_kind { SCHED_PLATEAU, SCHED_COSINE, SCHED_STEP, SCHED_CONSTANT };
#define SCHED_NAMES "plateau|cosine|step|constant"

struct sched_conf {
    enum sched_kind kind;
    double lr;              /* of the first epoch after the warm-up */
    int64_t epochs;         /* of the whole run */
    int64_t warmup;         /* epochs, 0: none */
    int64_t patience;       /* plateau; the default is 10 */
    int64_t step_every;     /* step; the default is 30 epochs */
    double factor;          /* plateau, step; the default is 0.1 */
    int64_t early_stop;     /* epochs without a better loss; 0: never stop */
};

struct sched {
    struct sched_conf conf;
    double lr;              /* plateau: the rate now */
    double plateau_best;    /* loss that the plateau is measured from */
    int64_t plateau_bad;    /* epochs in a row that were not better */
    double best;            /* lowest loss so far; infinite at first */
    int64_t since_best;     /* epochs since then */
    int64_t ended;          /* epochs */
};

/* Fill in the defaults above; plateau, lr 0.001. */
void sched_preset(struct sched_conf *c, int64_t epochs);

void sched_init(struct sched *s, const struct sched_conf *c);

/* The rate of epoch 0, 1, ...; with plateau, of the epoch that is next. */
double sched_lr(const struct sched *s, int64_t epoch);

/* To be called at the end of every epoch, in order.  NaN is never better. */
void sched_end_epoch(struct sched *s, double val_loss);

/* Has the loss not become lower for early_stop epochs? */
bool sched_stop(const struct sched *s);

#endif
