/*
 * train: one network on one fold.
 *
 * An epoch runs over the training rows once, in an order that is a function of
 * (seed, epoch), in global batches; rank r of R takes its r-th share of each.
 * Then the rows that choose the epoch are evaluated with the running
 * statistics (or the moving average of the weights), and the best epoch is
 * kept.  The state is saved beside the model as OUT with ".state" in front of
 * its ending: after every epoch, but not within save_every seconds of the last
 * one, at the end, and when asked to stop.  The one before is kept as well.
 */
#ifndef BUSI_LEARN_TRAIN_H
#define BUSI_LEARN_TRAIN_H

#include "backend/backend.h"
#include "comm/comm.h"
#include "data/augment.h"
#include "learn/model.h"
#include "learn/parts.h"
#include "learn/sched.h"

enum train_select { SELECT_VAL, SELECT_TEST, SELECT_LAST, SELECT_NONE };
#define SELECT_NAMES "val|test|last|none"
enum train_best { BEST_ACC, BEST_BALANCED, BEST_LOSS };
#define BEST_NAMES "acc|balanced|loss"

struct train_conf {
    int64_t batch;              /* global */
    struct sched_conf sched;    /* with the learning rate and epochs */
    enum update_rule rule;
    double momentum, weight_decay;
    int64_t freeze;             /* epochs in which only the head learns */
    int init_norm;              /* enum transfer_norm, of a start from a file */
    double lr_body;             /* factor of the rate for all but the head */
    double smoothing;           /* of labels */
    bool balanced;              /* class weights n / (K n_k) */
    enum augment_kind augment;
    double mixup;               /* Beta(mixup, mixup); 0: none */
    double ema;                 /* decay of the moving average; 0: none */
    enum train_select select;
    enum train_best best;
    int64_t seed, fold;         /* fold -1: all */
    int threads;
    bool resume, profile;
    int shards;                 /* --deterministic: parts of a batch that are
                                   computed by themselves; 0: not so */
    bool sync_bn;               /* batch-norm over all ranks */
    double bucket_mb;           /* of gradients that travel at a time; 0: as
                                   measured */
    bool bf16_gradients;        /* they travel as bf16 */
    double save_every;          /* seconds between two states, at least */
    bool calibrate;             /* fit model.temperature on validation */
    const char *out;            /* the model file */
    const char *log;            /* NULL: none */
    const char *command;        /* goes into the model */
};

/*
 * Train and write the model.  The graph is that of *m, its params and buffers
 * the start; at the end they are those of the best epoch.  Every rank calls
 * this with the same arguments; rank 0 writes.  *stopped: the signal that
 * ended it early, else 0.  Errors: EXIT_NUMBERS when the loss is not a number
 * (the last good state stays on disk), EXIT_INVALID for a state of another run.
 */
int train_run(const struct train_conf *c, struct model *m,
              const struct dataset *d, const struct parts *p,
              struct backend *b, struct comm *comm, int *stopped,
              struct err *e);

/*
 * Where a run keeps its state, beside its output; the one before has ".old"
 * behind.  The caller frees it.
 */
char *train_state_path(const char *out);

#endif
