#include "data/fold.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/manifest.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------- units */

enum { CLASSES_MAX = 1000 };

/* Union-find: the root of a row. */
static size_t
root_of(size_t *parent, size_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* Rows with the same text in a column belong together; empty cells do not. */
static void
join_equal(size_t *parent, const struct table *t, size_t column)
{
    struct lookup *key = table_sorted(t, column, lookup_bytes);

    for (size_t i = 1; i < t->nrows; i++)
        if (key[i].text[0] != '\0' &&
            strcmp(key[i - 1].text, key[i].text) == 0)
            parent[root_of(parent, key[i].at)] =
                root_of(parent, key[i - 1].at);
    free(key);
}

/* Number the units in the order of ids, and count what is in them. */
static void
number_units(struct fold_set *s, size_t *parent)
{
    size_t none = s->n, *number = mem_array(s->n, sizeof *number);

    for (size_t i = 0; i < s->n; i++)
        number[i] = none;
    s->nunits = 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t row = s->order[i], root = root_of(parent, row);

        if (number[root] == none)
            number[root] = s->nunits++;
        s->unit[row] = number[root];
    }
    free(number);
    s->count = mem_grow(s->count, s->nunits,
                        (s->classes.n + 1) * sizeof *s->count);
    s->size = mem_grow(s->size, s->nunits, sizeof *s->size);
    memset(s->count, 0, s->nunits * s->classes.n * sizeof *s->count);
    memset(s->size, 0, s->nunits * sizeof *s->size);
    for (size_t i = 0; i < s->n; i++) {
        s->size[s->unit[i]]++;
        if (s->class[i] >= 0)
            s->count[s->unit[i] * s->classes.n + (size_t)s->class[i]]++;
    }
}

const char *
fold_group(const struct table *t, const char *asked)
{
    if (asked != NULL)
        return asked;
    if (table_find(t, "group") >= 0)
        return "group";
    log_warn("'%s' has no column 'group': near-copies may cross folds "
             "(busi-dup finds them)", t->path);
    return NULL;
}

int
fold_open(struct fold_set *s, const struct table *t, const char *group,
          struct err *e)
{
    long id = table_need(t, "id", e), label = table_need(t, "label", e);
    long together = group != NULL ? table_need(t, group, e) : 0;
    long sha256 = table_find(t, "sha256"), copies = table_find(t, "group");
    struct lookup *key;
    size_t *parent;

    memset(s, 0, sizeof *s);
    if (id < 0 || label < 0 || together < 0)
        return -1;
    s->table = t;
    s->id = (size_t)id;
    s->n = t->nrows;
    s->order = mem_array(s->n, sizeof *s->order);
    s->unit = mem_array(s->n, sizeof *s->unit);
    s->class = mem_array(s->n, sizeof *s->class);
    manifest_classes(t, &s->classes);
    if (s->classes.n > CLASSES_MAX) {
        err_set(e, EXIT_INVALID, "'%s' has %zu labels, more than %d: are they "
                "classes?", t->path, s->classes.n, CLASSES_MAX);
        fold_close(s);
        return -1;
    }
    parent = mem_array(s->n, sizeof *parent);
    key = table_sorted(t, s->id, lookup_natural);
    for (size_t i = 0; i < s->n; i++) {
        s->order[i] = key[i].at;
        s->class[i] = str_list_find(&s->classes, t->row[i][label]);
        parent[i] = i;
    }
    free(key);
    if (group != NULL)
        join_equal(parent, t, (size_t)together);
    if (group != NULL && copies >= 0)   /* of two patients, perhaps */
        join_equal(parent, t, (size_t)copies);
    if (sha256 >= 0)
        join_equal(parent, t, (size_t)sha256);
    number_units(s, parent);
    free(parent);
    return 0;
}

void
fold_close(struct fold_set *s)
{
    free(s->order);
    free(s->unit);
    free(s->class);
    free(s->count);
    free(s->size);
    str_list_release(&s->classes);
    memset(s, 0, sizeof *s);
}

void
fold_ungroup(struct fold_set *s)
{
    size_t *parent = mem_array(s->n, sizeof *parent);

    for (size_t i = 0; i < s->n; i++)
        parent[i] = i;
    number_units(s, parent);
    free(parent);
}

size_t
fold_units(const struct fold_set *s, size_t class)
{
    size_t n = 0;

    for (size_t u = 0; u < s->nunits; u++)
        n += s->count[u * s->classes.n + class] > 0;
    return n;
}

bool
fold_conflict(const struct fold_set *s, size_t unit)
{
    int labels = 0;

    for (size_t c = 0; c < s->classes.n; c++)
        labels += s->count[unit * s->classes.n + c] > 0;
    return labels > 1;
}

int
fold_filter(struct table *t, const char *group, bool conflicts, bool copies,
            struct err *e)
{
    long conflict = table_find(t, "conflict");
    struct fold_set s;
    bool *keep, *seen;
    size_t nkept = 0;

    if (!conflicts && !copies)
        return 0;
    if (fold_open(&s, t, group, e) != 0)
        return -1;
    keep = mem_array(s.n, sizeof *keep);
    seen = mem_array(s.nunits, sizeof *seen);
    for (size_t i = 0; i < s.n; i++) {
        size_t row = s.order[i], unit = s.unit[row];
        bool torn = fold_conflict(&s, unit) ||
                    (conflict >= 0 && strcmp(t->row[row][conflict], "1") == 0);

        keep[row] = !(conflicts && torn) && !(copies && seen[unit]);
        seen[unit] = true;
        nkept += keep[row];
    }
    log_note("left out %zu of %zu scans", s.n - nkept, s.n);
    fold_close(&s);
    table_filter(t, keep);
    free(keep);
    free(seen);
    return 0;
}

/* ----------------------------------------------------------------- dealing */

struct turn {
    size_t unit, size;
    size_t draw;                /* its place in the drawn order */
    bool conflict;
};

static int
by_turn(const void *a, const void *b)
{
    const struct turn *s = a, *t = b;

    if (s->conflict != t->conflict)
        return s->conflict ? -1 : 1;
    if (s->size != t->size)
        return s->size > t->size ? -1 : 1;
    return s->draw < t->draw ? -1 : 1;
}

/* The order in which units are dealt; the caller frees it. */
static struct turn *
draw_turns(const struct fold_set *s, struct rng *r)
{
    struct turn *turn = mem_array(s->nunits, sizeof *turn);
    size_t *index = mem_array(s->nunits, sizeof *index);

    for (size_t i = 0; i < s->nunits; i++)
        index[i] = i;
    rng_shuffle(r, index, s->nunits);
    for (size_t i = 0; i < s->nunits; i++)
        turn[i] = (struct turn){ index[i], s->size[index[i]], i,
                                 fold_conflict(s, index[i]) };
    qsort(turn, s->nunits, sizeof *turn, by_turn);
    free(index);
    return turn;
}

/* The fold that has least of what is in a unit; `held` is [k, classes + 1]. */
static size_t
best_fold(const struct fold_set *s, const size_t *unit, const double *held,
          const double *weight, const size_t *folds, size_t k)
{
    size_t nc = s->classes.n, best = folds[0];
    double least = 0;

    for (size_t i = 0; i < k; i++) {
        const double *h = held + folds[i] * (nc + 1);
        double cost = 0;

        for (size_t c = 0; c < nc; c++)
            cost += (double)unit[c] * h[c] * weight[c];
        if (i == 0 || cost < least ||
            (cost <= least && h[nc] < held[best * (nc + 1) + nc])) {
            least = cost;
            best = folds[i];
        }
    }
    return best;
}

static int
check_assign(const struct fold_set *s, int k, struct err *e)
{
    size_t bare = 0, first = 0;

    for (size_t i = s->n; i-- > 0;)
        if (s->class[s->order[i]] < 0) {
            first = s->order[i];
            bare++;
        }
    if (bare > 0)
        return err_set(e, EXIT_INVALID, "%zu of %zu scans carry no label, the "
                       "first is '%s'", bare, s->n,
                       s->table->row[first][s->id]);
    if (s->nunits < (size_t)k)
        return err_set(e, EXIT_INVALID, "%d folds want as many groups, '%s' "
                       "has %zu", k, s->table->path, s->nunits);
    return 0;
}

int
fold_assign(const struct fold_set *s, int k, uint64_t seed, uint32_t round,
            int *fold, struct err *e)
{
    size_t nc = s->classes.n;
    double *held, *weight;
    size_t *folds, *where;
    struct turn *turn;
    struct rng r;

    if (check_assign(s, k, e) != 0)
        return -1;
    held = mem_array((size_t)k, (nc + 1) * sizeof *held);
    weight = mem_array(nc, sizeof *weight);
    folds = mem_array((size_t)k, sizeof *folds);
    where = mem_array(s->nunits, sizeof *where);
    rng_init(&r, seed, RNG_FOLD, round, 0);
    for (size_t i = 0; i < (size_t)k; i++)
        folds[i] = i;
    rng_shuffle(&r, folds, (size_t)k);
    turn = draw_turns(s, &r);
    for (size_t i = 0; i < s->n; i++)
        weight[s->class[i]]++;
    for (size_t c = 0; c < nc; c++)
        weight[c] = 1 / weight[c];
    for (size_t i = 0; i < s->nunits; i++) {
        size_t u = turn[i].unit, *count = s->count + u * nc;
        size_t f = best_fold(s, count, held, weight, folds, (size_t)k);

        where[u] = f;
        for (size_t c = 0; c < nc; c++)
            held[f * (nc + 1) + c] += (double)count[c];
        held[f * (nc + 1) + nc] += (double)s->size[u];
    }
    for (size_t i = 0; i < s->n; i++)
        fold[i] = (int)where[s->unit[i]];
    free(turn);
    free(where);
    free(folds);
    free(weight);
    free(held);
    return 0;
}

void
fold_warn(const struct fold_set *s, int k)
{
    for (size_t c = 0; c < s->classes.n; c++)
        if (fold_units(s, c) < (size_t)k)
            log_warn("label '%s' has %zu groups for %d folds: some have none "
                     "of it", s->classes.item[c], fold_units(s, c), k);
}

char *
fold_column(int64_t round)
{
    return round == 0 ? mem_strdup("fold")
                      : str_format("fold_%d", (int)round + 1);
}

static void
set_number(struct table *t, size_t row, size_t column, size_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%zu", value);
    table_set(t, row, column, text);
}

void
fold_write(struct table *t, const char *column, const int *fold)
{
    size_t at = table_column(t, column);

    for (size_t i = 0; i < t->nrows; i++)
        set_number(t, i, at, (size_t)fold[i]);
}

void
fold_drop(struct table *t, int64_t rounds)
{
    long at = 0;

    for (; at >= 0; rounds++) {
        char *name = fold_column(rounds);

        at = table_find(t, name);
        if (at >= 0)
            table_drop(t, (size_t)at);
        free(name);
    }
}

/* ----------------------------------------------------------------- proving */

static void __attribute__((format(printf, 2, 3)))
fault(struct str_list *faults, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = str_vformat(fmt, ap);
    va_end(ap);
    str_list_add(faults, text);
    free(text);
}

int
fold_read(const struct fold_set *s, size_t column, int k, int *fold,
          struct str_list *faults)
{
    const char *name = s->table->column[column];
    int64_t value, highest = -1, limit = k > 0 ? k : 1000;

    for (size_t i = 0; i < s->n; i++) {
        size_t row = s->order[i];
        char **cells = s->table->row[row];

        fold[row] = -1;
        if (cells[column][0] == '\0') {
            fault(faults, "'%s' has no %s", cells[s->id], name);
        } else if (!str_int(cells[column], &value) || value < 0 ||
                   value >= limit) {
            fault(faults, "'%s' has %s '%s', not 0 to %d", cells[s->id], name,
                  cells[column], (int)limit - 1);
        } else {
            fold[row] = (int)value;
            highest = value > highest ? value : highest;
        }
    }
    return k > 0 ? k : (int)highest + 1;
}

/* Scans of each class in each fold, [k, classes]; the caller frees it. */
static size_t *
class_counts(const struct fold_set *s, const int *fold, int k)
{
    size_t *n = mem_array((size_t)k, (s->classes.n + 1) * sizeof *n);

    for (size_t i = 0; i < s->n; i++)
        if (fold[i] >= 0 && s->class[i] >= 0)
            n[(size_t)fold[i] * s->classes.n + (size_t)s->class[i]]++;
    return n;
}

/* The first scans of a class in a fold, and how many more. */
static char *
name_scans(const struct fold_set *s, const int *fold, int f, size_t class)
{
    enum { NAMED = 8 };
    struct str text = { 0 };
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        size_t row = s->order[i];

        if (fold[row] == f && s->class[row] == (long)class && n++ < NAMED)
            str_addf(&text, "%s'%s'", n > 1 ? ", " : "",
                     s->table->row[row][s->id]);
    }
    if (n > NAMED)
        str_addf(&text, " and %zu more", n - NAMED);
    return text.text;
}

static void
check_balance(const struct fold_set *s, const int *fold, int k,
              struct str_list *faults)
{
    size_t nc = s->classes.n, *n = class_counts(s, fold, k);

    for (size_t c = 0; c < nc; c++) {
        size_t least = n[c], most = n[c], allowed = 1, torn = 0;
        int fullest = 0;

        for (int f = 1; f < k; f++) {
            size_t there = n[(size_t)f * nc + c];

            least = there < least ? there : least;
            if (there > most) {
                most = there;
                fullest = f;
            }
        }
        for (size_t u = 0; u < s->nunits; u++) {
            size_t there = s->count[u * nc + c];

            torn += fold_conflict(s, u) ? there : 0;
            allowed = there > allowed ? there : allowed;
        }
        allowed = torn > allowed ? torn : allowed;
        if (most - least > allowed) {
            char *ids = name_scans(s, fold, fullest, c);

            fault(faults, "label '%s' has from %zu to %zu scans in a fold; "
                  "its groups allow for a difference of %zu; in fold %d: %s",
                  s->classes.item[c], least, most, allowed, fullest, ids);
            free(ids);
        }
    }
    free(n);
}

static void
check_units(const struct fold_set *s, const int *fold, struct str_list *faults)
{
    size_t none = s->n, *first = mem_array(s->nunits, sizeof *first);

    for (size_t u = 0; u < s->nunits; u++)
        first[u] = none;
    for (size_t i = 0; i < s->n; i++) {
        size_t row = s->order[i], u = s->unit[row];

        if (fold[row] < 0)
            continue;
        if (first[u] == none)
            first[u] = row;
        else if (fold[first[u]] != fold[row])
            fault(faults, "'%s' in fold %d and '%s' in fold %d belong "
                  "together", s->table->row[first[u]][s->id], fold[first[u]],
                  s->table->row[row][s->id], fold[row]);
    }
    free(first);
}

void
fold_check(const struct fold_set *s, const int *fold, int k,
           struct str_list *faults)
{
    size_t *n;

    if (k < 2) {
        str_list_add(faults, "there are no two folds");
        return;
    }
    n = mem_array((size_t)k, sizeof *n);
    for (size_t i = 0; i < s->n; i++)
        if (fold[i] >= 0)
            n[fold[i]]++;
    for (int f = 0; f < k; f++)
        if (n[f] == 0)
            fault(faults, "fold %d is empty", f);
    free(n);
    check_units(s, fold, faults);
    check_balance(s, fold, k, faults);
}

void
fold_counts(const struct fold_set *s, const int *fold, int k, struct table *t)
{
    static const char *const columns[] = { "fold", "n", "groups", NULL };
    static const char *const blank[] = { "", "", "" };
    size_t nc = s->classes.n, *n = class_counts(s, fold, k);
    size_t *last = mem_array(s->nunits, sizeof *last);

    table_init(t, columns);
    for (size_t f = 0; f < (size_t)k; f++) {
        size_t scans = 0, groups = 0;

        for (size_t i = 0; i < s->n; i++)
            if (fold[i] == (int)f) {
                scans++;
                groups += last[s->unit[i]] != f + 1;
                last[s->unit[i]] = f + 1;
            }
        table_add(t, blank);
        set_number(t, f, 0, f);
        set_number(t, f, 1, scans);
        set_number(t, f, 2, groups);
    }
    for (size_t c = 0; c < nc; c++) {
        char *name = str_format("n_%s", s->classes.item[c]);
        size_t column = table_column(t, name);

        for (size_t f = 0; f < (size_t)k; f++)
            set_number(t, f, column, n[f * nc + c]);
        free(name);
    }
    free(last);
    free(n);
}
