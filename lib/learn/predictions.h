/*
 * predictions: the tables that busi-predict writes, read for evaluation.
 *
 * Columns: id, pred, p_CLASS (one per class, in the model's order); and where
 * they are there: label (or the cells are empty), status (anything but "ok"
 * is a rejected row, of which nothing else is read), group, fold, marks, model,
 * select, seen.  Labels, groups and marks that are not there come from a manifest.
 *
 * Several tables are the folds of one cross-validation: same classes, no id
 * twice, no fold twice, no model for two folds.
 */
#ifndef BUSI_LEARN_PREDICTIONS_H
#define BUSI_LEARN_PREDICTIONS_H

#include "base/err.h"
#include "base/str.h"
#include "base/table.h"
#include "learn/metric.h"

#include <stdbool.h>
#include <stddef.h>

enum { PREDICTIONS_MARK = 13 };     /* digits of a mark, and the NUL */

/*
 * The column model: the first digits of the model's digest.  Of several models
 * (their digests behind each other), of more than one view, or of another dtype
 * than "f32", those of a digest over all of these.
 */
void predictions_mark(const char *digests, int tta, const char *dtype,
                      char mark[PREDICTIONS_MARK]);

/* Is it the mark of this one model, with any views and numbers? */
bool predictions_marked_by(const char *mark, const char *digest);

/*
 * Did some of these models make what has this mark: one alone, or several that
 * are named behind each other and voted together?  Sets made[i] of those.
 */
bool predictions_made_by(const char *mark, const struct str_list *digests,
                         bool *made);

struct prediction {
    const char *id;
    const char *group;          /* NULL: it is its own */
    const char *fold;           /* "": not known */
    const char *marks;          /* drawn into the scan, "": none; NULL: not
                                   known */
    size_t file;
    bool ok;                    /* else rejected, outcome is not set */
    bool selected;              /* its model's epoch was chosen on that one's
                                   test fold */
    bool seen;                  /* it had a part in its model's training */
    struct outcome outcome;
};

struct prediction_file {
    struct table table;         /* owns the strings of the rows */
    double *p;                  /* [rows, K] */
    const char *fold;           /* the one value of its column fold, or NULL */
    const char *model;          /* likewise */
    size_t nselected, nseen;    /* rows that are so */
};

/* All zeros is an empty one. */
struct predictions {
    struct str_list classes;
    struct prediction_file *file;
    size_t nfiles;
    struct prediction *row;     /* [n], after settling by id (bytes) */
    size_t n;
    size_t ngroups;             /* outcome.group counts to it */
    bool grouped;               /* does any row name a group? */
    bool crossed;               /* is a group in two files, or, by their rows
                                   or the labels, in two folds? */
};

/* Labels and groups by id. */
struct labels {
    struct table table;
    struct lookup *by_id;       /* [table.nrows] */
    long label, group, marks, fold;     /* columns, -1: none */
    bool cut;                   /* is a group in two folds? */
};

int labels_read(struct labels *l, const char *path, struct err *e);
/* Row of an id, or -1. */
long labels_find(const struct labels *l, const char *id);
void labels_release(struct labels *l);

/*
 * Is each row of the table a prediction (rejected ones aside), labelled or not?
 */
int predictions_check(const struct table *t, struct err *e);

/*
 * Read one more table; labels may be NULL.  Errors: whatever is no prediction
 * (a probability outside 0..1, a sum more than 1e-3 from 1, an unknown class),
 * an id that the labels lack, a label that they contradict, no label at all,
 * other classes than in the first table.
 */
int predictions_add(struct predictions *p, const char *path,
                    const struct labels *l, struct err *e);

/*
 * Once all are read: sort by id, refuse an id in two tables, two tables of one
 * fold or two folds by one model, number groups.
 */
int predictions_settle(struct predictions *p, struct err *e);

/*
 * After settling: warn if labelled scans of the labels have no row, of one
 * table's fold if there is but one.  Returns their number.
 */
size_t predictions_lack(const struct predictions *p, const struct labels *l);

/*
 * Or, of two tables about the same scans: sort so that rows 2 i and 2 i + 1
 * are the first's and the second's of one id; refuse an id or a label that is
 * not in both.  Groups are not numbered, but may be in two folds of one table.
 */
int predictions_pair(struct predictions *p, struct err *e);

void predictions_release(struct predictions *p);

#endif
