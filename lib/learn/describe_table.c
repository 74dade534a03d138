#include "learn/describe.h"

#include "base/mem.h"
#include "data/fold.h"
#include "data/manifest.h"
#include "learn/evaluate.h"
#include "learn/predictions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A kind of table is known by its columns; the first that fits. */
static const struct {
    enum file_kind kind;
    const char *column[3];
} kinds[] = {
    { FILE_PREDICTIONS, { "id", "pred", NULL } },
    { FILE_FOLDS, { "id", "fold", NULL } },
    { FILE_MANIFEST, { "id", "path", NULL } },
    { FILE_METRICS, { "metric", "class", "value" } },
    { FILE_LOG, { "epoch", "lr", "train_loss" } },
    { FILE_TABLE, { NULL } },
};

static enum file_kind
kind_of(const struct table *t)
{
    for (size_t i = 0;; i++) {
        bool fits = true;

        for (int k = 0; k < 3 && kinds[i].column[k] != NULL; k++)
            fits = fits && table_find(t, kinds[i].column[k]) >= 0;
        if (fits)
            return kinds[i].kind;
    }
}

static void
tell_tally(struct facts *f, const struct table *t, const char *column,
           const char *key)
{
    long at = table_find(t, column);
    struct tally y;

    if (at < 0)
        return;
    tally_column(&y, t, (size_t)at);
    facts_tally(f, key, &y, "(none)");
    tally_release(&y);
}

/* How many values a column has. */
static void
tell_distinct(struct facts *f, const struct table *t, const char *column,
              const char *key)
{
    long at = table_find(t, column);
    struct tally y;

    if (at < 0)
        return;
    tally_column(&y, t, (size_t)at);
    facts_number(f, key, (int64_t)y.name.n);
    tally_release(&y);
}

/* ---------------------------------------------------- manifests and folds */

static int
verify_digests(const struct table *t, struct err *e)
{
    long at = table_find(t, "sha256");

    for (size_t i = 0; i < t->nrows && at >= 0; i++) {
        const char *hex = t->row[i][at];
        size_t n = strlen(hex);

        if (n > 0 && (n != DIGEST_HEX - 1 ||
                      strspn(hex, "0123456789abcdefABCDEF") != n))
            return err_set(e, EXIT_INVALID, "'%s' line %zu: '%s' is not a "
                           "SHA-256", t->path, i + 2, hex);
    }
    return 0;
}

/* Every row has a fold; told are the scans of each class in each fold. */
static int
tell_folds(struct facts *f, const struct table *t, bool verify,
           struct err *e)
{
    struct fold_set s;
    struct str_list faults = { 0 };
    size_t at = (size_t)table_find(t, "fold");
    struct tally y = { 0 };
    int *fold, k;

    if (table_find(t, "label") < 0)
        return 0;
    if (fold_open(&s, t, NULL, e) != 0)
        return -1;
    fold = mem_array(t->nrows, sizeof *fold);
    k = fold_read(&s, at, 0, fold, &faults);
    y.count = mem_array(s.classes.n, sizeof *y.count);
    for (size_t c = 0; c < s.classes.n; c++)
        str_list_add(&y.name, s.classes.item[c]);
    for (int i = 0; i < k; i++) {
        char *key = str_format("fold_%d", i);

        memset(y.count, 0, s.classes.n * sizeof *y.count);
        for (size_t r = 0; r < t->nrows; r++)
            if (fold[r] == i && s.class[r] >= 0)
                y.count[s.class[r]]++;
        facts_tally(f, key, &y, "");
        free(key);
    }
    if (verify && faults.n > 0)
        err_set(e, EXIT_INVALID, "'%s': %s", t->path, faults.item[0]);
    k = verify && faults.n > 0 ? -1 : 0;
    tally_release(&y);
    str_list_release(&faults);
    free(fold);
    fold_close(&s);
    return k;
}

static int
tell_manifest(struct description *d, const struct table *t, bool verify,
              struct err *e)
{
    struct facts *f = &d->facts;

    if (manifest_check(t, e) != 0)
        return -1;
    tell_tally(f, t, "label", "labels");
    tell_distinct(f, t, "group", "groups");
    tell_tally(f, t, "conflict", "conflict");
    tell_tally(f, t, "marks", "marks");
    if (d->kind == FILE_FOLDS && tell_folds(f, t, verify, e) != 0)
        return -1;
    return verify ? verify_digests(t, e) : 0;
}

/* -------------------------------------------------- predictions, metrics */

static void
tell_models(struct description *d, const struct table *t)
{
    long at = table_find(t, "model");
    struct tally y;

    if (at < 0)
        return;
    tally_column(&y, t, (size_t)at);
    for (size_t i = 0; i < y.name.n; i++)
        describe_parent(d, FILE_MODEL, "model", y.name.item[i]);
    tally_release(&y);
}

static int
tell_predictions(struct description *d, const struct table *t, bool verify,
                 struct err *e)
{
    struct facts *f = &d->facts;

    if (manifest_check(t, e) != 0)
        return -1;
    tell_tally(f, t, "status", "status");
    tell_tally(f, t, "label", "labels");
    tell_tally(f, t, "pred", "pred");
    tell_tally(f, t, "fold", "folds");
    tell_tally(f, t, "select", "select");
    tell_models(d, t);
    return verify ? predictions_check(t, e) : 0;
}

/* The row of a metric over all classes (of all folds), as a fact. */
static void
tell_metric(struct facts *f, const struct table *t, const char *metric,
            const char *class)
{
    double value;

    if (str_real(evaluate_cell(t, metric, class, "pooled", "value"), &value))
        facts_real(f, metric, value);
}

/* Is every cell of these columns, where they are there, a number or NA? */
static int
verify_numbers(const struct table *t, const char *const *column, size_t n,
               struct err *e)
{
    double value;

    for (size_t k = 0; k < n; k++) {
        long at = table_find(t, column[k]);

        for (size_t i = 0; i < t->nrows && at >= 0; i++)
            if (strcmp(t->row[i][at], "NA") != 0 &&
                table_real(t, i, (size_t)at, &value, e) != 0)
                return -1;
    }
    return 0;
}

/* Is it a metric that is a share, or a mean of shares? */
static bool
is_share(const char *metric)
{
    static const char *const start[] = {
        "accuracy", "balanced_accuracy", "macro_f1", "ece", "auroc", "auprc",
        "sensitivity", "specificity", "ppv", "npv", "f1", "binary_"
    };

    for (size_t i = 0; i < ARRAY_LEN(start); i++)
        if (strncmp(metric, start[i], strlen(start[i])) == 0)
            return !str_ends(metric, "_difference");
    return false;
}

/*
 * Numbers, of shares from 0 to 1, and no interval that ends before it starts.
 * A value may lie outside: percentiles of replicates need not hold it.
 */
static int
verify_metrics(const struct table *t, struct err *e)
{
    static const char *const column[] = { "lo", "value", "hi", "n" };
    long metric = table_find(t, "metric"), at[ARRAY_LEN(column)];

    for (size_t k = 0; k < ARRAY_LEN(column); k++)
        if ((at[k] = table_need(t, column[k], e)) < 0)
            return -1;
    if (verify_numbers(t, column, ARRAY_LEN(column), e) != 0)
        return -1;
    for (size_t i = 0; i < t->nrows; i++) {
        char *const *cell = t->row[i];
        double x[3] = { NAN, NAN, NAN };

        for (size_t k = 0; k < ARRAY_LEN(x); k++)
            if (str_real(cell[at[k]], &x[k]) && is_share(cell[metric]) &&
                (x[k] < 0 || x[k] > 1))
                return err_set(e, EXIT_INVALID, "'%s' line %zu: %s is %s, not "
                               "between 0 and 1", t->path, i + 2,
                               cell[metric], cell[at[k]]);
        if (x[0] > x[2])
            return err_set(e, EXIT_INVALID, "'%s' line %zu: the interval of "
                           "%s ends before it starts", t->path, i + 2,
                           cell[metric]);
    }
    return 0;
}

int
describe_check_log(const struct table *t, struct err *e)
{
    static const char *const column[] = {
        "epoch", "lr", "train_loss", "train_acc", "val_loss", "val_acc",
        "val_balanced_acc", "seconds", "images_per_second"
    };

    if (table_find(t, "train_loss") < 0)
        return err_set(e, EXIT_INVALID, "'%s' is not a training log", t->path);
    return verify_numbers(t, column, ARRAY_LEN(column), e);
}

/* pooled, mean and sd are of all folds. */
static void
tell_metric_folds(struct facts *f, const struct table *t)
{
    long at = table_find(t, "fold");
    struct tally y;
    size_t n;

    if (at < 0)
        return;
    tally_column(&y, t, (size_t)at);
    n = y.name.n;
    for (size_t i = 0; i < y.name.n; i++)
        n -= strcmp(y.name.item[i], "pooled") == 0 ||
             strcmp(y.name.item[i], "mean") == 0 ||
             strcmp(y.name.item[i], "sd") == 0;
    facts_number(f, "folds", (int64_t)n);
    tally_release(&y);
}

static int
tell_metrics(struct description *d, const struct table *t, bool verify,
             struct err *e)
{
    struct facts *f = &d->facts;

    tell_distinct(f, t, "metric", "metrics");
    tell_metric_folds(f, t);
    tell_metric(f, t, "n", "all");
    tell_metric(f, t, "accuracy", "all");
    tell_metric(f, t, "balanced_accuracy", "all");
    tell_metric(f, t, "auroc", "macro");
    return verify ? verify_metrics(t, e) : 0;
}

/* ---------------------------------------------------------------- any one */

static void
tell_columns(struct facts *f, const struct table *t)
{
    struct str_list l = { 0 };

    for (size_t i = 0; i < t->ncolumns; i++)
        str_list_add(&l, t->column[i]);
    facts_list(f, "columns", &l);
    str_list_release(&l);
}

/* Whether an unknown text is a table at all: two plain names, at least. */
static int
check_table(const struct table *t, struct err *e)
{
    bool plain = t->ncolumns > 1;

    for (size_t i = 0; i < t->ncolumns; i++)
        for (const char *p = t->column[i]; *p != '\0'; p++)
            plain = plain && (unsigned char)*p >= ' ' && *p != 0x7f;
    if (!plain)
        return err_set(e, EXIT_INVALID, "'%s' is neither a safetensors file "
                       "nor a table", t->path);
    return 0;
}

static int
tell(struct description *d, const struct table *t, bool verify,
     struct err *e)
{
    d->kind = kind_of(t);
    facts_text(&d->facts, "kind", file_kind_names[d->kind]);
    facts_number(&d->facts, "rows", (int64_t)t->nrows);
    tell_columns(&d->facts, t);
    switch (d->kind) {
    case FILE_TABLE:
        return check_table(t, e);
    case FILE_MANIFEST:
    case FILE_FOLDS:
        return tell_manifest(d, t, verify, e);
    case FILE_PREDICTIONS:
        return tell_predictions(d, t, verify, e);
    case FILE_METRICS:
        return tell_metrics(d, t, verify, e);
    case FILE_LOG:
        return verify ? describe_check_log(t, e) : 0;
    default:
        return 0;
    }
}

int
describe_table(struct description *d, const struct describe_conf *c,
               struct err *e)
{
    struct table t;
    int rc;

    if (table_read(&t, d->path, e) != 0)
        return -1;
    memcpy(d->digest, t.digest, sizeof d->digest);
    rc = tell(d, &t, c->verify, e);
    table_release(&t);
    facts_text(&d->facts, "sha256", d->digest);
    if (rc == 0 && c->verify)
        facts_text(&d->facts, "verified",
                   "every cell; a table has no checksums");
    return rc;
}
