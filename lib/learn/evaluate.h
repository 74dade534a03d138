/*
 * evaluate: predictions in, a table of metrics out.
 *
 * Columns: metric, class, value, lo, hi, n, and with several files fold.  A
 * metric over all classes has the class "all", a mean of classes "macro", a
 * confusion count "true>predicted".  Undefined numbers are NA.
 *
 * Where marks are known, accuracy and sensitivity are also given for scans
 * with and without marks (accuracy_marked, accuracy_unmarked, ...).  Where an
 * epoch was chosen on the test fold, the row selected_on_test counts the scans;
 * seen_in_training those that had a part in the training of what scored them.
 */
#ifndef BUSI_LEARN_EVALUATE_H
#define BUSI_LEARN_EVALUATE_H

#include "base/err.h"
#include "base/table.h"
#include "learn/predictions.h"

#include <stdint.h>
#include <stdio.h>

struct evaluate_conf {
    const char *positive;   /* class of the binary rows; NULL: none */
    uint64_t seed;          /* of the bootstrap */
    size_t nboot;           /* replicates, 0: none */
};

/*
 * Metrics of settled predictions.  Of several files: of all together (fold
 * "pooled"), of each (fold: see evaluate_fold()), and the mean and the standard
 * deviation (n - 1) of those (fold "mean" and "sd"; n: folds where it is
 * defined).  Errors: EXIT_USAGE for a positive class that is not there.
 */
int evaluate_table(const struct predictions *p, const struct evaluate_conf *c,
                   struct table *out, struct err *e);

/*
 * What a file of settled predictions is called: the value of its column fold
 * where that is one, else its number from 0, made in `text`; with a # before it
 * where another file has a fold, which the number could be taken for.
 */
enum { FOLD_TEXT = 24 };
const char *evaluate_fold(const struct predictions *p, size_t file,
                          char text[FOLD_TEXT]);

/*
 * The first file of paired predictions against the second: McNemar's exact
 * test of the decisions, DeLong's paired test of each class's AUROC.  A scan
 * that either rejected is left out.
 */
void evaluate_compare(const struct predictions *p, struct table *out);

/*
 * A cell of such a table, of one with folds in the row of that fold ("pooled":
 * over all, which is the only one without); "NA" if there is none.
 */
const char *evaluate_cell(const struct table *t, const char *metric,
                          const char *class, const char *fold,
                          const char *column);

/* The table as a JSON array of objects; NA is null. */
void evaluate_json(const struct table *t, FILE *f);

#endif
