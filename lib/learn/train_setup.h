/*
 * train_setup: from busi-train's options to what train_run() wants.
 */
#ifndef BUSI_LEARN_TRAIN_SETUP_H
#define BUSI_LEARN_TRAIN_SETUP_H

#include "learn/scale.h"
#include "learn/train.h"
#include "learn/transfer.h"

struct train_setup {
    const char *data_path, *folds_path, *net, *device;
    const char *fold;           /* a number, or "all" */
    int64_t size, threads;
    double dropout, rank_timeout;
    int dtype;                  /* enum dtype_choice */
    bool deterministic, sync_bn, recompute;
    struct transfer init;       /* path NULL: from scratch */
    bool plan;                  /* print what `scale` would give, and end */
    struct scale_conf scale;
    /* Opened by train_setup_open(). */
    struct dataset data;
    struct parts parts;
    struct model model;
    struct backend *backend;
};

/*
 * Which defaults are meant: those that --recipe names (--paper is --recipe
 * paper), of busi's those for a start from other weights with --init.  It is
 * asked before the options are read.
 */
enum train_preset { PRESET_BUSI, PRESET_SGD, PRESET_PAPER, PRESET_INIT };
#define RECIPE_NAMES "busi|sgd|paper"
enum train_preset train_setup_preset(int argc, char **argv);

/* Do the settings fit each other (EXIT_USAGE)?  Sets c->fold. */
int train_setup_check(const struct train_setup *s, struct train_conf *c,
                      struct err *e);

/*
 * Dataset, folds, network with initial numbers, backend; *comm becomes one for
 * GPUs where the ranks compute on these.
 */
int train_setup_open(struct train_setup *s, struct train_conf *c,
                     struct comm **comm, struct err *e);

/* The table of --plan, on stdout. */
int train_setup_plan(const struct train_setup *s, const struct train_conf *c,
                     struct err *e);

void train_setup_close(struct train_setup *s);

#endif
