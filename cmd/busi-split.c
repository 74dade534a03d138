/* busi-split: deal scans into folds for cross-validation, or prove a split. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/table.h"
#include "data/fold.h"
#include "data/manifest.h"
#include "data/probe.h"

#include <stdlib.h>

struct settings {
    const char *out, *group, *probe;
    int64_t k, seed, repeat;
    bool drop_conflicts, one_per_group, check;
};

static const char *const examples[] = {
    "busi-strip scans | busi-dup | busi-split > folds.tsv",
    "busi-split -k 10 --seed 7 --drop-conflicts -o folds.tsv dup.tsv",
    "busi-split --check folds.tsv",
    NULL
};

static int
split(struct table *t, const char *group, const struct settings *s,
      struct err *e)
{
    struct fold_set set;
    int *fold, rc = 0;

    if (fold_open(&set, t, group, e) != 0)
        return -1;
    fold_warn(&set, (int)s->k);
    fold = mem_array(set.n, sizeof *fold);
    for (int64_t round = 0; round < s->repeat && rc == 0; round++) {
        char *name = fold_column(round);

        rc = fold_assign(&set, (int)s->k, (uint64_t)s->seed, (uint32_t)round,
                         fold, e);
        if (rc == 0)
            fold_write(t, name, fold);
        free(name);
    }
    fold_drop(t, s->repeat);
    if (rc == 0)
        rc = table_save(t, s->out, e);
    fold_close(&set);
    free(fold);
    return rc;
}

/* Report what is wrong with a split. */
static int
judge(const struct str_list *faults, const struct table *t, struct err *e)
{
    for (size_t i = 0; i < faults->n; i++)
        log_error("%s", faults->item[i]);
    if (faults->n > 0)
        return err_set(e, EXIT_INVALID, "'%s' is not a valid split (faults: "
                       "%zu)", t->path, faults->n);
    return 0;
}

/* Prove every fold column; the counts of the first go out. */
static int
check(const struct fold_set *set, const struct settings *s, int *fold,
      struct table *out, struct err *e)
{
    struct str_list faults = { 0 };
    int rc;

    for (int64_t round = 0;; round++) {
        char *name = fold_column(round);
        long column = table_find(set->table, name);
        int k;

        free(name);
        if (column < 0)
            break;
        k = fold_read(set, (size_t)column, (int)s->k, fold, &faults);
        fold_check(set, fold, k, &faults);
        if (round == 0)
            fold_counts(set, fold, k, out);
    }
    rc = judge(&faults, set->table, e);
    str_list_release(&faults);
    return rc;
}

static int
probe(struct fold_set *set, const struct settings *s, int *fold,
      struct table *out, struct err *e)
{
    struct str_list faults = { 0 };
    size_t column = (size_t)table_find(set->table, "fold");
    int k = fold_read(set, column, (int)s->k, fold, &faults);
    int rc = judge(&faults, set->table, e);

    str_list_release(&faults);
    return rc != 0 ? -1 : probe_scores(set, fold, k, (uint64_t)s->seed,
                                       s->probe, out, e);
}

/* What --check and --probe say about the folds of a manifest. */
static int
examine(const struct table *t, const char *group, const struct settings *s,
        struct err *e)
{
    struct table out = { 0 };
    struct fold_set set;
    int *fold, rc;

    if (table_need(t, "fold", e) < 0 || fold_open(&set, t, group, e) != 0)
        return -1;
    fold = mem_array(set.n, sizeof *fold);
    rc = s->check ? check(&set, s, fold, &out, e)
                  : probe(&set, s, fold, &out, e);
    if (rc == 0)
        rc = table_save(&out, s->out, e);
    table_release(&out);
    fold_close(&set);
    free(fold);
    return rc;
}

static int
work(struct settings *s, const char *path, struct err *e)
{
    struct table t;
    const char *group;
    int rc = 0;

    if (manifest_read(&t, path, e) != 0)
        return -1;
    manifest_doubt(&t);
    group = fold_group(&t, s->group);
    if (s->check || s->probe != NULL) {
        rc = file_same(path, s->out)
             ? err_set(e, EXIT_USAGE, "--output would replace the input '%s'",
                       path)
             : examine(&t, group, s, e);
    } else {
        if (s->k == 0)
            s->k = 5;
        rc = fold_filter(&t, group, s->drop_conflicts, s->one_per_group, e);
        if (rc == 0)
            rc = split(&t, group, s, e);
    }
    table_release(&t);
    return rc;
}

int
main(int argc, char **argv)
{
    struct settings s = { 0 };
    const struct opt opts[] = {
        { "folds", 'k', OPT_INT, &s.k, "N", NULL,
          "number of folds; 5, or those that are there", 2, 1000 },
        OPT_SEED(&s.seed),
        { "group", 0, OPT_TEXT, &s.group, "COLUMN", NULL,
          "scans that share a cell stay together; group", 0, 0 },
        { "drop-conflicts", 0, OPT_FLAG, &s.drop_conflicts, NULL, NULL,
          "leave out groups of more than one label", 0, 0 },
        { "one-per-group", 0, OPT_FLAG, &s.one_per_group, NULL, NULL,
          "keep the first scan of every group only", 0, 0 },
        { "repeat", 0, OPT_INT, &s.repeat, "N", "1",
          "splits to draw: columns fold, fold_2, ...", 1, 1000 },
        { "check", 0, OPT_FLAG, &s.check, NULL, NULL,
          "prove the folds of a manifest, print counts", 0, 0 },
        { "probe", 0, OPT_IN, &s.probe, "DATA", NULL,
          "accuracy of one nearest neighbour on the folds", 0, 0 },
        { "output", 'o', OPT_OUT, &s.out, "FILE", "-",
          "where the table goes", 0, 0 },
        OPT_END
    };
    const struct program p = {
        "busi-split", "[MANIFEST]",
        "Add a column `fold` to a manifest: labels balanced, groups whole.",
        opts, examples, true
    };
    struct err e = { 0 };
    int first = opt_start(&p, argc, argv), status;

    if (argc - first > 1)
        status = err_set(&e, EXIT_USAGE, "one manifest at a time, not %d",
                         argc - first);
    else if (s.check && s.probe != NULL)
        status = err_set(&e, EXIT_USAGE, "--check or --probe, not both");
    else if ((s.check || s.probe != NULL) &&
             (s.drop_conflicts || s.one_per_group || s.repeat > 1))
        status = err_set(&e, EXIT_USAGE, "--check and --probe take the folds "
                         "as they are");
    else
        status = work(&s, first < argc ? argv[first] : "-", &e);
    return opt_finish(status, &e);
}
