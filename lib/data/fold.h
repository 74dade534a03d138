/*
 * fold: scans dealt out for cross-validation.
 *
 * Scans that belong together, by the column asked for, by "group" beside it or
 * by identical bytes (sha256), make a unit, and a unit is never cut.  Units are
 * numbered by their first id in natural order, so nothing depends on the order
 * of rows or on the names of groups.
 *
 * Dealing: units of several labels come first, then large ones before small,
 * ties in an order drawn from the seed.  Each goes to the fold that has the
 * least of its labels (sum over labels of scans in the unit times scans in
 * the fold over scans in all), then to the fold with the fewest scans.  So no
 * fold stays empty while there are units, and in every label the fullest and
 * the emptiest fold differ by no more than the largest number of its scans in
 * one unit, or in all torn units (of several labels), whichever is more: what
 * these leave uneven, the others fill up.
 */
#ifndef BUSI_DATA_FOLD_H
#define BUSI_DATA_FOLD_H

#include "base/err.h"
#include "base/str.h"
#include "base/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fold_set {
    const struct table *table;  /* the manifest; must outlive the set */
    size_t id;                  /* its column */
    size_t n;                   /* scans: rows */
    size_t *order;              /* [n] rows by id */
    size_t *unit;               /* [n] of a row */
    long *class;                /* [n] of a row; -1: no label */
    struct str_list classes;
    size_t nunits;
    size_t *count;              /* [nunits, classes.n] scans */
    size_t *size;               /* [nunits] scans, with or without label */
};

/*
 * The column that groups scans: the one asked for; else "group"; else NULL,
 * with a warning that near-copies may cross folds.
 */
const char *fold_group(const struct table *t, const char *asked);

/* group NULL: identical bytes alone make units. */
int fold_open(struct fold_set *s, const struct table *t, const char *group,
              struct err *e);
void fold_close(struct fold_set *s);

/* Units of a class. */
size_t fold_units(const struct fold_set *s, size_t class);

/* Does the unit carry more than one label? */
bool fold_conflict(const struct fold_set *s, size_t unit);

/*
 * Remove rows: with `conflicts` all of units that carry several labels, by
 * their own or by a 1 in the column `conflict`; with `copies` all but the
 * first of every unit.
 */
int fold_filter(struct table *t, const char *group, bool conflicts,
                bool copies, struct err *e);

/*
 * fold[row] = 0..k-1.  Rounds of one seed are independent.  Errors
 * (EXIT_INVALID): a scan without a label, fewer units than folds.
 */
int fold_assign(const struct fold_set *s, int k, uint64_t seed,
                uint32_t round, int *fold, struct err *e);

/* Warn of labels in fewer units than there are folds. */
void fold_warn(const struct fold_set *s, int k);

/* "fold", "fold_2", "fold_3", ... for round 0, 1, 2, ...; free it. */
char *fold_column(int64_t round);

/* Into a column, which is added if it is not there. */
void fold_write(struct table *t, const char *column, const int *fold);

/* Drop the columns of an earlier split into more rounds than these. */
void fold_drop(struct table *t, int64_t rounds);

/* Every row a unit of its own: what a split that knows no groups does. */
void fold_ungroup(struct fold_set *s);

/*
 * Read folds from a column.  k 0: as many as the highest fold says; returns k.
 * A cell that is no fold is -1 in fold[] and a sentence in `faults`.
 */
int fold_read(const struct fold_set *s, size_t column, int k, int *fold,
              struct str_list *faults);

/*
 * Prove a split: no empty fold, no unit in two folds, labels balanced as
 * above.  Every fault adds a sentence that names the ids or the label.
 */
void fold_check(const struct fold_set *s, const int *fold, int k,
                struct str_list *faults);

/* One row a fold: columns fold, n, groups, n_LABEL... */
void fold_counts(const struct fold_set *s, const int *fold, int k,
                 struct table *t);

#endif
