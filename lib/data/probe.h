/*
 * probe: how much a split gives away to something that learns nothing.
 *
 * Every scan gets the label of the most similar scan outside its own fold:
 * one nearest neighbour by correlation of 64 x 64 gray pixels.  Where
 * near-copies lie in other folds, it finds them.
 */
#ifndef BUSI_DATA_PROBE_H
#define BUSI_DATA_PROBE_H

#include "base/err.h"
#include "data/fold.h"

#include <stdint.h>

/*
 * Fill a table with the columns split, accuracy, n: rows `majority` (always
 * the most common label), `folds` (those given, k of them) and `random` (folds
 * drawn without groups).  Pixels come from a dataset file.  The set loses its
 * groups.  Errors: a scan without label, one that the dataset does not have,
 * or has with another sha256.
 */
int probe_scores(struct fold_set *s, const int *fold, int k, uint64_t seed,
                 const char *dataset, struct table *t, struct err *e);

#endif
