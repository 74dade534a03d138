/*
 * trainer: a training run in progress, shared by train.c (its epochs, from
 * start to end), train_step.c, train_eval.c, train_log.c and train_state.c.
 */
#ifndef BUSI_LEARN_TRAINER_H
#define BUSI_LEARN_TRAINER_H

#include "base/halves.h"
#include "base/log.h"
#include "learn/exchange.h"
#include "learn/resident.h"
#include "learn/train.h"

/* Where the seconds go; names for --profile are in train.c. */
enum phase {
    PHASE_LOAD, PHASE_FORWARD, PHASE_BACKWARD, PHASE_WAIT, PHASE_REDUCE,
    PHASE_UPDATE, PHASE_EVALUATE, PHASE_SAVE, PHASES
};

enum { PLANS = 4 };

/* Everything that must survive a stop, but for the vectors. */
struct progress_state {
    int64_t epoch;          /* that is running, from 0 */
    int64_t batch;          /* of it that comes next */
    int64_t step;           /* optimiser steps done */
    double loss, correct, seen;     /* sums over this epoch so far */
    double seconds;         /* spent in this epoch before a stop */
    int64_t best_epoch;     /* from 1; 0: none yet */
    double best_score, best_loss;
    bool ended;             /* no more epochs (early stop) */
};

struct trainer {
    const struct train_conf *c;
    struct model *model;
    const struct dataset *data;
    const struct parts *parts;
    struct backend *backend;
    struct comm *comm;
    struct vectors v;               /* backend memory */
    float *m, *m2, *ema;            /* moments, average; NULL: none */
    struct exchange exchange;       /* of the gradients */
    struct reduction reduction;     /* the same, for whole steps */
    float *best_params, *best_buffers;      /* host */
    float *rank_buffers;            /* host [ranks, nbuffers], of an epoch that
                                       was cut short; NULL: all have the same */
    struct plan *train[PLANS];      /* by size, as they came up */
    struct plan *eval;
    struct loader loader;
    struct resident_set resident;   /* held: whole steps by the backend */
    double *weight;                 /* [classes] or NULL */
    size_t *order;                  /* this epoch's training rows */
    struct sched sched;
    struct progress_state s;
    struct str log;                 /* all lines so far */
    double saved;                   /* clock of the last state */
    double phase[PHASES];
    double *spent[2];               /* --profile: by operation, as in plan */
    double images;                  /* that they were spent on */
};

/* What the rows that choose the epoch gave. */
struct score {
    double loss, acc, balanced;
    size_t n;
};

/* This rank's share [from, to) of n things. */
static inline void
train_share(const struct trainer *t, size_t n, size_t *from, size_t *to)
{
    halves_cut(n, t->comm->rank, t->comm->size, from, to);
}

/* The seconds since *clock went into p. */
static inline void
train_spend(struct trainer *t, enum phase p, double *clock)
{
    double now = clock_seconds();

    t->phase[p] += now - *clock;
    *clock = now;
}

/* The rest of this epoch's steps, in t->order; *stop: a signal to any rank. */
int train_steps(struct trainer *t, struct progress *bar, int *stop,
                struct err *e);

/* The weights that are evaluated, on rows; n 0: all NaN. */
int train_evaluate(struct trainer *t, const size_t *rows, size_t n,
                   struct score *s, struct err *e);
/* The model's temperature from the validation rows: in every rank the same. */
int train_calibrate(struct trainer *t, struct err *e);

/* The log starts anew, with the lines of the state that is gone on from. */
int train_log_start(struct trainer *t, struct err *e);
/* A line of it: kept for resuming, and appended to the file. */
int train_log_epoch(struct trainer *t, const struct score *s, struct err *e);

/* All that decides the numbers of a run, as words of KEY=VALUE; to be freed. */
char *train_fingerprint(const struct trainer *t);

/*
 * What cannot be written is not worth an hour's training.  The model's part is
 * held to the end: a second run with the same output ends here, and says who.
 */
int state_hold(const struct trainer *t, struct safet_out *held, struct err *e);
int state_save(struct trainer *t, struct err *e);

/*
 * In every rank, before rank 0 saves: within an epoch each rank's batch-norms
 * have running statistics of their own, and each goes on with those.
 */
int state_gather(struct trainer *t, struct err *e);

/*
 * Go on from the newest whole state.  1: found, 0: there is none, -1: it is of
 * another run, or both are damaged.
 */
int state_load(struct trainer *t, struct err *e);

#endif
