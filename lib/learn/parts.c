#include "learn/parts.h"

#include "base/log.h"
#include "base/mem.h"
#include "data/manifest.h"

#include <stdlib.h>
#include <string.h>

void
parts_release(struct parts *p)
{
    free(p->train);
    free(p->val);
    free(p->test);
    memset(p, 0, sizeof *p);
}

/* Fold of every row of d, -1 where it has none yet. */
static int
folds_of(const struct dataset *d, const struct table *t, int64_t *fold,
         int *k, struct err *e)
{
    long id = table_need(t, "id", e), at = table_need(t, "fold", e);
    long sha = table_find(t, "sha256"), label = table_find(t, "label");
    size_t strangers = 0;

    if (id < 0 || at < 0)
        return -1;
    for (size_t i = 0; i < t->nrows; i++) {
        long row = dataset_find(d, t->row[i][id]);
        const char *other;
        int64_t f;

        if (table_int(t, i, (size_t)at, &f, e) != 0)
            return -1;
        if (f < 0 || f > 999)
            return err_set(e, EXIT_INVALID, "'%s' line %zu: no fold %lld",
                           t->path, i + 2, (long long)f);
        *k = f + 1 > *k ? (int)f + 1 : *k;
        if (row < 0) {
            strangers++;
            continue;
        }
        other = dataset_differs(d, (size_t)row,
                                sha >= 0 ? t->row[i][sha] : NULL,
                                label >= 0 ? t->row[i][label] : NULL);
        if (other != NULL)
            return err_set(e, EXIT_INVALID, "'%s' and '%s' do not belong "
                           "together: '%s' has another %s in each", t->path,
                           d->file.path, t->row[i][id], other);
        fold[row] = f;
    }
    for (size_t i = 0; i < d->n; i++)
        if (fold[i] < 0)
            return err_set(e, EXIT_INVALID, "'%s' and '%s' do not belong "
                           "together: no fold for '%s'", t->path,
                           d->file.path, d->ids[i]);
    if (strangers > 0)
        log_warn("%zu scans of '%s' are not in '%s'", strangers, t->path,
                 d->file.path);
    return 0;
}

int
parts_open(struct parts *p, const struct dataset *d, const char *path,
           int64_t fold, struct err *e)
{
    int64_t *of = mem_array(d->n, sizeof *of);
    struct table t = { 0 };
    size_t there = 0;
    int rc = 0;

    memset(p, 0, sizeof *p);
    p->train = mem_array(d->n, sizeof *p->train);
    p->val = mem_array(d->n, sizeof *p->val);
    p->test = mem_array(d->n, sizeof *p->test);
    for (size_t i = 0; i < d->n; i++)
        of[i] = -1;
    if (path != NULL) {
        rc = manifest_read(&t, path, e);
        if (rc == 0) {
            memcpy(p->digest, t.digest, sizeof t.digest);
            rc = folds_of(d, &t, of, &p->k, e);
        }
        for (size_t i = 0; i < d->n; i++)
            there += of[i] == fold;
        if (rc == 0 && fold >= 0 && there == 0)
            rc = err_set(e, EXIT_INVALID, "'%s' has no fold %lld", path,
                         (long long)fold);
    }
    for (size_t i = 0; i < d->n && rc == 0; i++) {
        if (d->labels[i] < 0)
            continue;
        if (fold >= 0 && of[i] == fold)
            p->test[p->ntest++] = i;
        else if (fold >= 0 && p->k > 2 && of[i] == (fold + 1) % p->k)
            p->val[p->nval++] = i;
        else
            p->train[p->ntrain++] = i;
    }
    if (rc == 0 && p->ntrain == 0)
        rc = err_set(e, EXIT_INVALID, "'%s' has no labelled row to train on",
                     d->file.path);
    table_release(&t);
    free(of);
    if (rc != 0)
        parts_release(p);
    return rc;
}

static int
by_row(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;

    return (x > y) - (x < y);
}

void
parts_train_on_val(struct parts *p)
{
    memcpy(p->train + p->ntrain, p->val, p->nval * sizeof *p->val);
    p->ntrain += p->nval;
    p->nval = 0;
    qsort(p->train, p->ntrain, sizeof *p->train, by_row);
}
