#include "learn/predictions.h"

#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/manifest.h"
#include "learn/infer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLASS_PREFIX "p_"
#define SUM_SLACK (1e-3 + 1e-9)    /* printed digits; 0.999 is still in */

void
predictions_mark(const char *digests, int tta, const char *dtype,
                 char mark[PREDICTIONS_MARK])
{
    char hex[DIGEST_HEX];
    struct str s = { 0 };

    str_add(&s, digests);
    if (tta > 1)
        str_addf(&s, " tta=%d", tta);
    if (strcmp(dtype, "f32") != 0)
        str_addf(&s, " dtype=%s", dtype);
    digest_bytes(s.text, s.n, hex);
    memcpy(mark, s.n == DIGEST_HEX - 1 ? s.text : hex, PREDICTIONS_MARK - 1);
    mark[PREDICTIONS_MARK - 1] = '\0';
    str_release(&s);
}

bool
predictions_marked_by(const char *mark, const char *digest)
{
    static const char *const dtype[] = { "f32", "bf16", "tf32" };
    char one[PREDICTIONS_MARK];

    for (size_t i = 0; i < ARRAY_LEN(dtype); i++)
        for (int tta = 1; tta <= INFER_VIEWS; tta++) {
            predictions_mark(digest, tta, dtype[i], one);
            if (strcmp(mark, one) == 0)
                return true;
        }
    return false;
}

bool
predictions_made_by(const char *mark, const struct str_list *digests,
                    bool *made)
{
    bool any = false;

    for (size_t i = 0; i < digests->n; i++) {
        struct str voters = { 0 };

        for (size_t end = i; end < digests->n; end++) {
            str_add(&voters, digests->item[end]);
            if (predictions_marked_by(mark, voters.text)) {
                memset(made + i, true, end + 1 - i);
                any = true;
            }
        }
        str_release(&voters);
    }
    return any;
}

/* ------------------------------------------------------------------ labels */

/* Is a group of the table in two of its folds? */
static bool
folds_cut(const struct table *t, long group, long fold)
{
    struct lookup *key;
    bool cut = false;

    if (group < 0 || fold < 0)
        return false;
    key = table_sorted(t, (size_t)group, lookup_bytes);
    for (size_t i = 1; i < t->nrows; i++)
        cut = cut || (key[i].text[0] != '\0' &&
                      strcmp(key[i - 1].text, key[i].text) == 0 &&
                      strcmp(t->row[key[i - 1].at][fold],
                             t->row[key[i].at][fold]) != 0);
    free(key);
    return cut;
}

int
labels_read(struct labels *l, const char *path, struct err *e)
{
    struct table *t = &l->table;
    size_t id;

    memset(l, 0, sizeof *l);
    if (manifest_read(t, path, e) != 0)
        return -1;
    id = (size_t)table_find(t, "id");
    l->label = table_find(t, "label");
    l->group = table_find(t, "group");
    l->marks = table_find(t, "marks");
    l->fold = table_find(t, "fold");
    l->cut = folds_cut(t, l->group, l->fold);
    l->by_id = table_sorted(t, id, lookup_bytes);
    return 0;
}

long
labels_find(const struct labels *l, const char *id)
{
    return lookup_find(l->by_id, l->table.nrows, id);
}

void
labels_release(struct labels *l)
{
    table_release(&l->table);
    free(l->by_id);
    memset(l, 0, sizeof *l);
}

/* A cell of a row, NULL if there is no such column or the cell is empty. */
static const char *
cell(const struct table *t, size_t row, long column)
{
    if (column < 0 || t->row[row][column][0] == '\0')
        return NULL;
    return t->row[row][column];
}

/* ----------------------------------------------------------------- reading */

/* Where a prediction table keeps what is read of it. */
struct layout {
    long id, label, status, pred, group, fold, marks, model, select, seen;
    size_t *p;                  /* [K] columns */
};

static int
find_columns(const struct table *t, struct layout *at,
             struct str_list *classes, struct err *e)
{
    if ((at->id = table_need(t, "id", e)) < 0 ||
        (at->pred = table_need(t, "pred", e)) < 0)
        return -1;
    at->label = table_find(t, "label");
    at->status = table_find(t, "status");
    at->group = table_find(t, "group");
    at->fold = table_find(t, "fold");
    at->marks = table_find(t, "marks");
    at->model = table_find(t, "model");
    at->select = table_find(t, "select");
    at->seen = table_find(t, "seen");
    at->p = mem_array(t->ncolumns, sizeof *at->p);
    for (size_t j = 0; j < t->ncolumns; j++)
        if (strncmp(t->column[j], CLASS_PREFIX, strlen(CLASS_PREFIX)) == 0) {
            at->p[classes->n] = j;
            str_list_add(classes, t->column[j] + strlen(CLASS_PREFIX));
        }
    if (classes->n < 2)
        return err_set(e, EXIT_INVALID,
                       "'%s' has fewer than two columns p_CLASS", t->path);
    return 0;
}

static int
same_classes(const struct predictions *p, const struct str_list *classes,
             const char *path, struct err *e)
{
    if (!str_list_same(&p->classes, classes))
        return err_set(e, EXIT_INVALID,
                       "'%s' and '%s' have other classes, or in another order",
                       p->file[0].table.path, path);
    return 0;
}

static int
read_probabilities(const struct table *t, size_t row, const struct layout *at,
                   int k, double *p, struct err *e)
{
    double sum = 0;

    for (int c = 0; c < k; c++) {
        if (table_real(t, row, at->p[c], &p[c], e) != 0)
            return -1;
        if (p[c] < 0 || p[c] > 1)
            return err_set(e, EXIT_INVALID,
                           "'%s' line %zu: %s is %g, not between 0 and 1",
                           t->path, row + 2, t->column[at->p[c]], p[c]);
        sum += p[c];
    }
    if (fabs(sum - 1) > SUM_SLACK)
        return err_set(e, EXIT_INVALID,
                       "'%s' line %zu: the probabilities sum to %g, not 1",
                       t->path, row + 2, sum);
    return 0;
}

static int
read_class(const struct table *t, size_t row, const char *column,
           const char *name, const struct str_list *classes, int *class,
           struct err *e)
{
    long c = str_list_find(classes, name);

    if (c < 0)
        return err_set(e, EXIT_INVALID,
                       "'%s' line %zu: %s '%s' is not a class of the columns "
                       "p_CLASS", t->path, row + 2, column, name);
    *class = (int)c;
    return 0;
}

/* Label, group and marks of a row, from its own cells or from the labels. */
static int
join(const struct table *t, size_t row, const struct layout *at,
     const struct labels *l, const char **label, struct prediction *r,
     struct err *e)
{
    const char *id = t->row[row][at->id], *known = NULL;

    *label = cell(t, row, at->label);
    r->group = cell(t, row, at->group);
    if (at->marks >= 0)
        r->marks = t->row[row][at->marks];
    if (l != NULL) {
        long found = labels_find(l, id);

        if (found < 0)
            return err_set(e, EXIT_INVALID,
                           "'%s' line %zu: the id '%s' is not in '%s'",
                           t->path, row + 2, id, l->table.path);
        known = cell(&l->table, (size_t)found, l->label);
        if (r->group == NULL)
            r->group = cell(&l->table, (size_t)found, l->group);
        if (r->marks == NULL && l->marks >= 0)
            r->marks = l->table.row[found][l->marks];
    }
    if (*label != NULL && known != NULL && strcmp(*label, known) != 0)
        return err_set(e, EXIT_INVALID,
                       "'%s' line %zu: '%s' has the label '%s', but '%s' "
                       "in '%s'", t->path, row + 2, id, *label, known,
                       l->table.path);
    if (*label == NULL)
        *label = known;
    if (*label == NULL)
        return err_set(e, EXIT_INVALID,
                       "'%s' line %zu: '%s' has no label%s", t->path, row + 2,
                       id, l == NULL ? "; name a manifest by -l" : "");
    return 0;
}

static int
read_row(const struct predictions *p, const struct table *t, size_t row,
         const struct layout *at, const struct labels *l,
         struct prediction *r, double *prob, struct err *e)
{
    const char *status = cell(t, row, at->status), *label;
    int k = (int)p->classes.n;

    *r = (struct prediction){
        .id = t->row[row][at->id], .file = p->nfiles,
        .fold = at->fold >= 0 ? t->row[row][at->fold] : ""
    };
    if (at->status >= 0 && (status == NULL || strcmp(status, "ok") != 0))
        return 0;
    r->ok = true;
    r->selected = cell(t, row, at->select) != NULL;
    r->seen = cell(t, row, at->seen) != NULL;
    r->outcome.p = prob;
    if (read_probabilities(t, row, at, k, prob, e) != 0 ||
        join(t, row, at, l, &label, r, e) != 0 ||
        read_class(t, row, "label", label, &p->classes, &r->outcome.truth,
                   e) != 0)
        return -1;
    return read_class(t, row, "pred", t->row[row][at->pred], &p->classes,
                      &r->outcome.pred, e);
}

int
predictions_check(const struct table *t, struct err *e)
{
    struct str_list classes = { 0 };
    struct layout at = { 0 };
    int rc = find_columns(t, &at, &classes, e), class;
    double *p = mem_array(classes.n, sizeof *p);

    for (size_t i = 0; i < t->nrows && rc == 0; i++) {
        const char *status = cell(t, i, at.status);
        const char *label = cell(t, i, at.label);

        if (at.status >= 0 && (status == NULL || strcmp(status, "ok") != 0))
            continue;
        rc = read_probabilities(t, i, &at, (int)classes.n, p, e);
        if (rc == 0)
            rc = read_class(t, i, "pred", t->row[i][at.pred], &classes,
                            &class, e);
        if (rc == 0 && label != NULL)
            rc = read_class(t, i, "label", label, &classes, &class, e);
    }
    str_list_release(&classes);
    free(at.p);
    free(p);
    return rc;
}

/* The value of a column if it is the same in all rows. */
static const char *
constant(const struct table *t, long column)
{
    for (size_t i = 0; i < t->nrows; i++)
        if (column < 0 ||
            strcmp(t->row[i][column], t->row[0][column]) != 0)
            return NULL;
    return t->nrows > 0 ? cell(t, 0, column) : NULL;
}

/*
 * The column pred may come from a threshold; warn if it is not the most probable
 * class.
 */
static void
warn_decisions(const struct prediction *row, size_t n, int k,
               const char *path)
{
    size_t other = 0;

    for (size_t i = 0; i < n; i++) {
        const struct outcome *o = &row[i].outcome;
        bool less = false;

        for (int c = 0; row[i].ok && c < k; c++)
            less |= o->p[c] > o->p[o->pred];
        other += less;
    }
    if (other > 0)
        log_warn("'%s': in %zu rows pred is not the most probable class; "
                 "pred is taken as the decision", path, other);
}

static int
read_rows(struct predictions *p, struct prediction_file *f,
          const struct layout *at, const struct labels *l, struct err *e)
{
    const struct table *t = &f->table;
    size_t k = p->classes.n;
    struct prediction *row;

    p->row = mem_grow(p->row, p->n + t->nrows, sizeof *p->row);
    row = p->row + p->n;
    f->p = mem_array(t->nrows * k, sizeof *f->p);
    for (size_t i = 0; i < t->nrows; i++)
        if (read_row(p, t, i, at, l, &row[i], f->p + i * k, e) != 0)
            return -1;
    f->fold = constant(t, at->fold);
    f->model = constant(t, at->model);
    for (size_t i = 0; i < t->nrows; i++) {
        f->nselected += row[i].selected;
        f->nseen += row[i].seen;
    }
    p->crossed = p->crossed || (l != NULL && l->cut);
    warn_decisions(row, t->nrows, (int)k, t->path);
    p->n += t->nrows;
    return 0;
}

int
predictions_add(struct predictions *p, const char *path,
                const struct labels *l, struct err *e)
{
    struct prediction_file f = { 0 };
    struct layout at = { 0 };
    struct str_list classes = { 0 };
    int rc;

    if (manifest_read(&f.table, path, e) != 0)
        return -1;
    rc = find_columns(&f.table, &at, &classes, e);
    if (rc == 0 && p->nfiles > 0) {
        rc = same_classes(p, &classes, f.table.path, e);
    } else if (rc == 0) {
        p->classes = classes;
        memset(&classes, 0, sizeof classes);
    }
    if (rc == 0)
        rc = read_rows(p, &f, &at, l, e);
    str_list_release(&classes);
    free(at.p);
    if (rc != 0) {
        table_release(&f.table);
        free(f.p);
        return -1;
    }
    p->file = mem_grow(p->file, p->nfiles + 1, sizeof *p->file);
    p->file[p->nfiles++] = f;
    return 0;
}

/* ---------------------------------------------------------------- settling */

static int
by_id(const void *a, const void *b)
{
    const struct prediction *x = a, *y = b;
    int order = strcmp(x->id, y->id);

    return order != 0 ? order : (x->file > y->file) - (x->file < y->file);
}

static int
by_id_alone(const void *a, const void *b)
{
    return strcmp(((const struct prediction *)a)->id,
                  ((const struct prediction *)b)->id);
}

static void
sort(struct predictions *p)
{
    if (p->n > 0)
        qsort(p->row, p->n, sizeof *p->row, by_id);
}

static int
by_group(const void *a, const void *b)
{
    const struct prediction *x = *(struct prediction *const *)a;
    const struct prediction *y = *(struct prediction *const *)b;
    int order = strcmp(x->group, y->group);

    return order != 0 ? order : (x->file > y->file) - (x->file < y->file);
}

/* The rows that name a group, group by group, in these file by file. */
static struct prediction **
sort_groups(const struct predictions *p, size_t *n)
{
    struct prediction **named = mem_array(p->n, sizeof *named);

    *n = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->row[i].group != NULL)
            named[(*n)++] = &p->row[i];
    qsort(named, *n, sizeof *named, by_group);
    return named;
}

/* Two folds, as far as both are known. */
static bool
other_fold(const struct prediction *a, const struct prediction *b)
{
    return a->fold[0] != '\0' && b->fold[0] != '\0' &&
           strcmp(a->fold, b->fold) != 0;
}

static void
number_groups(struct predictions *p)
{
    size_t n;
    struct prediction **named = sort_groups(p, &n);

    for (size_t i = 0; i < p->n; i++)
        if (p->row[i].group == NULL)
            p->row[i].outcome.group = (uint32_t)p->ngroups++;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(named[i - 1]->group, named[i]->group) != 0)
            p->ngroups++;
        else if (named[i - 1]->file != named[i]->file ||
                 other_fold(named[i - 1], named[i]))
            p->crossed = true;
        named[i]->outcome.group = (uint32_t)(p->ngroups - 1);
    }
    p->grouped = n > 0;
    free(named);
}

/* Tables that name fold and model must each be another fold's, by another. */
static int
check_folds(const struct predictions *p, struct err *e)
{
    for (size_t i = 1; i < p->nfiles; i++)
        for (size_t k = 0; k < i; k++) {
            const struct prediction_file *a = &p->file[k], *b = &p->file[i];

            if (a->fold == NULL || b->fold == NULL)
                continue;
            if (strcmp(a->fold, b->fold) == 0)
                return err_set(e, EXIT_INVALID, "'%s' and '%s' are both of "
                               "fold %s", a->table.path, b->table.path,
                               a->fold);
            if (a->model != NULL && b->model != NULL &&
                strcmp(a->model, b->model) == 0)
                return err_set(e, EXIT_INVALID, "'%s' and '%s' are two folds "
                               "by one model, %s: it was trained on one of "
                               "them", a->table.path, b->table.path,
                               a->model);
        }
    return 0;
}

int
predictions_settle(struct predictions *p, struct err *e)
{
    sort(p);
    for (size_t i = 1; i < p->n; i++)
        if (strcmp(p->row[i - 1].id, p->row[i].id) == 0)
            return err_set(e, EXIT_INVALID,
                           "the id '%s' is in '%s' and in '%s': test folds "
                           "must not share scans", p->row[i].id,
                           p->file[p->row[i - 1].file].table.path,
                           p->file[p->row[i].file].table.path);
    if (check_folds(p, e) != 0)
        return -1;
    number_groups(p);
    return 0;
}

/* Tables that say that they are of one fold are to have that one alone. */
static bool
is_wanted(const struct predictions *p, const char *fold)
{
    const char *first = p->file[0].fold;

    for (size_t i = 0; i < p->nfiles; i++)
        if (first == NULL || p->file[i].fold == NULL ||
            strcmp(p->file[i].fold, first) != 0)
            return true;
    return fold == NULL || strcmp(first, fold) == 0;
}

size_t
predictions_lack(const struct predictions *p, const struct labels *l)
{
    const struct table *t = &l->table;
    size_t all = 0, lacking = 0;
    const char *first = NULL;

    for (size_t i = 0; i < t->nrows; i++) {
        struct prediction key = { .id = l->by_id[i].text };
        size_t row = l->by_id[i].at;

        if (cell(t, row, l->label) == NULL ||
            !is_wanted(p, cell(t, row, l->fold)))
            continue;
        all++;
        if (bsearch(&key, p->row, p->n, sizeof key, by_id_alone) != NULL)
            continue;
        if (lacking++ == 0)
            first = key.id;
    }
    if (lacking > 0)
        log_warn("%zu of %zu scans of '%s' have no row, the first is '%s'",
                 lacking, all, t->path, first);
    return lacking;
}

/* Both tables have every scan: one that has a group in two folds cuts it. */
static void
find_crossed(struct predictions *p)
{
    size_t n;
    struct prediction **named = sort_groups(p, &n);

    for (size_t i = 1; i < n; i++)
        p->crossed = p->crossed ||
                     (by_group(&named[i - 1], &named[i]) == 0 &&
                      other_fold(named[i - 1], named[i]));
    free(named);
}

int
predictions_pair(struct predictions *p, struct err *e)
{
    sort(p);
    find_crossed(p);
    for (size_t i = 0; i < p->n; i += 2) {
        struct prediction *a = &p->row[i], *b = &p->row[i + 1];

        if (i + 1 == p->n || strcmp(a->id, b->id) != 0)
            return err_set(e, EXIT_INVALID,
                           "the id '%s' is in '%s' only: both must score the "
                           "same scans", a->id, p->file[a->file].table.path);
        if (a->ok && b->ok && a->outcome.truth != b->outcome.truth)
            return err_set(e, EXIT_INVALID,
                           "'%s' has the label '%s' in '%s', but '%s' in '%s'",
                           a->id, p->classes.item[a->outcome.truth],
                           p->file[a->file].table.path,
                           p->classes.item[b->outcome.truth],
                           p->file[b->file].table.path);
    }
    return 0;
}

void
predictions_release(struct predictions *p)
{
    for (size_t i = 0; i < p->nfiles; i++) {
        table_release(&p->file[i].table);
        free(p->file[i].p);
    }
    free(p->file);
    free(p->row);
    str_list_release(&p->classes);
    memset(p, 0, sizeof *p);
}
