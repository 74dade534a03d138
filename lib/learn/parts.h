/*
 * parts: which rows of a dataset train, choose the epoch and test.
 */
#ifndef BUSI_LEARN_PARTS_H
#define BUSI_LEARN_PARTS_H

#include "base/digest.h"
#include "data/dataset.h"

struct parts {
    size_t *train, *val, *test;     /* rows of the dataset, rising */
    size_t ntrain, nval, ntest;
    int k;                          /* folds; 0: no table */
    char digest[DIGEST_HEX];        /* of the fold table */
};

/*
 * Test: rows of fold `fold`; validation: of fold (fold + 1) mod k; the rest
 * trains.  fold -1: everything trains (path may be NULL).  Rows without a label
 * take part in nothing.  Errors (EXIT_INVALID, both files named): the table
 * lacks a row, or has it with another SHA-256 or label; no such fold; no row to train
 * on.
 */
int parts_open(struct parts *p, const struct dataset *d, const char *path,
               int64_t fold, struct err *e);
/* The validation rows train too. */
void parts_train_on_val(struct parts *p);
void parts_release(struct parts *p);

#endif
