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

/* Fold of every row of d. */
static int
folds_of(const struct dataset *d, const struct table *t, int64_t *fold,
         int *k, struct err *e)
{
    long at = table_need(t, "fold", e);
    size_t *line = mem_array(d->n, sizeof *line);
    int rc = at < 0 ? -1 : dataset_join(d, t, line, e);

    for (size_t i = 0; i < t->nrows && rc == 0; i++) {
        int64_t f = 0;

        rc = table_int(t, i, (size_t)at, &f, e);
        if (rc == 0 && (f < 0 || f > 999))
            rc = err_set(e, EXIT_INVALID, "'%s' line %zu: no fold %lld",
                         t->path, i + 2, (long long)f);
        *k = f + 1 > *k ? (int)f + 1 : *k;
    }
    for (size_t i = 0; i < d->n && rc == 0; i++)
        rc = table_int(t, line[i], (size_t)at, &fold[i], e);
    free(line);
    if (rc == 0 && t->nrows > d->n)
        log_warn("%zu scans of '%s' are not in '%s'", t->nrows - d->n, t->path,
                 d->file.path);
    return rc;
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
