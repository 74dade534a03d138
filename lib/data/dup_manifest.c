/* dup: a search over a manifest and what comes of it. */
#include "data/dup.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/reject.h"
#include "base/str.h"
#include "data/image_file.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 64,         /* scans between two steps of the progress bar */
    SHEET_PAIRS = 60,
    BINS = 20           /* of the histogram, 0..1 */
};

struct run {
    struct table *t;
    const struct dup_conf *conf;
    size_t path, id, n;
    size_t *row;            /* [n] row of each scan, in order of ids */
    struct dup_scan *scan;  /* [n] */
    struct err *fault;      /* [n] why a scan could not be read */
    struct dup_pairs pairs; /* scored */
    double threshold;
    size_t *group;          /* [n] */
    size_t first;           /* of the block in work */
};

/* The scans in order of their pixels, and the pairs of them. */
struct sorted {
    struct dup_scan *scan;
    struct dup_pairs *pairs;
};

/* ---------------------------------------------------------------- search */

static void
order_rows(struct run *r)
{
    struct lookup *id = table_sorted(r->t, r->id, lookup_natural);

    for (size_t i = 0; i < r->n; i++)
        r->row[i] = id[i].at;
    free(id);
}

static const char *
cell(const struct run *r, size_t i, size_t column)
{
    return r->t->row[r->row[i]][column];
}

static void
read_one(void *ctx, size_t k, int thread)
{
    struct run *r = ctx;
    size_t i = r->first + k;
    struct image m;

    (void)thread;
    if (image_load(&m, cell(r, i, r->path), &r->fault[i]) != 0)
        return;
    dup_scan_init(&r->scan[i], &m);
    image_release(&m);
}

static void
read_all(struct run *r)
{
    struct progress bar;

    progress_open(&bar, "scans", 0, r->n);
    for (r->first = 0; r->first < r->n; r->first += BLOCK) {
        size_t n = r->n - r->first < BLOCK ? r->n - r->first : BLOCK;

        pool_run(r->conf->threads, n, read_one, r);
        progress_step(&bar, r->first + n);
    }
    progress_close(&bar);
}

static void
score_one(void *ctx, size_t k, int thread)
{
    struct sorted *s = ctx;

    (void)thread;
    dup_score(s->scan, &s->pairs->item[k]);
}

static int
by_pixels(const void *p, const void *q)
{
    const struct lookup *a = p, *b = q;
    int order = strcmp(a->text, b->text);

    return order != 0 ? order : (a->at > b->at) - (a->at < b->at);
}

/*
 * Which of two scans is laid over the other tells in the second digit of a
 * score: their pixels decide it, not how they are named.  The fits are left
 * that way round.
 */
static void
find_pairs(struct run *r)
{
    struct sorted s = { mem_array(r->n, sizeof *s.scan), &r->pairs };
    struct lookup *order = mem_array(r->n, sizeof *order);

    for (size_t i = 0; i < r->n; i++)
        order[i] = (struct lookup){ r->scan[i].pixels, i };
    if (r->n > 0)
        qsort(order, r->n, sizeof *order, by_pixels);
    for (size_t i = 0; i < r->n; i++)
        s.scan[i] = r->scan[order[i].at];
    dup_candidates(s.scan, r->n, r->conf->threads, &r->pairs);
    pool_run(r->conf->threads, r->pairs.n, score_one, &s);
    for (size_t k = 0; k < r->pairs.n; k++) {
        struct dup_pair *p = &r->pairs.item[k];
        size_t a = order[p->a].at, b = order[p->b].at;

        p->a = a < b ? a : b;
        p->b = a < b ? b : a;
    }
    dup_pairs_sort(&r->pairs);
    free(order);
    free(s.scan);
}

/*
 * Frames of one file are of one patient, however little they look alike: ties
 * between them, which no threshold cuts.
 */
static void
tie_frames(const struct run *r, struct dup_pairs *ties)
{
    struct lookup *f = mem_array(r->n, sizeof *f);
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++) {
        int64_t number;
        char *file = image_path(cell(r, i, r->path), &number);

        if (number > 0)
            f[n++] = (struct lookup){ file, i };
        else
            free(file);
    }
    qsort(f, n, sizeof *f, lookup_bytes);
    for (size_t i = 1; i < n; i++)
        if (strcmp(f[i - 1].text, f[i].text) == 0)
            dup_pairs_add(ties, &(struct dup_pair){
                .a = f[i - 1].at, .b = f[i].at, .score = 2 });
    for (size_t i = 0; i < n; i++)
        free((char *)f[i].text);
    free(f);
}

static void
search(struct run *r)
{
    struct dup_pairs ties = { 0 };

    find_pairs(r);
    r->threshold = r->conf->threshold > 0 ? r->conf->threshold
                                          : dup_threshold(&r->pairs);
    for (size_t k = 0; k < r->pairs.n; k++)
        dup_pairs_add(&ties, &r->pairs.item[k]);
    tie_frames(r, &ties);
    dup_groups(&ties, r->threshold, r->n, r->group);
    free(ties.item);
}

/* --------------------------------------------------------------- results */

/* Two labels in a group are a conflict; no label is none. */
static void
find_conflicts(const struct run *r, bool *conflict)
{
    long label = table_find(r->t, "label");
    const char **seen = mem_array(r->n, sizeof *seen);

    for (size_t i = 0; label >= 0 && i < r->n; i++) {
        const char *text = cell(r, i, (size_t)label);
        const char **known = &seen[r->group[i]];

        if (*text == '\0')
            continue;
        if (*known == NULL)
            *known = text;
        else if (strcmp(*known, text) != 0)
            conflict[r->group[i]] = true;
    }
    free(seen);
}

/*
 * Groups in the input may be patients: warn if this search splits one.  Groups
 * named after one of their scans come from an earlier busi-dup.
 */
static void
warn_of_groups(const struct run *r)
{
    struct lookup *f = mem_array(r->n, sizeof *f);
    long group = table_find(r->t, "group");
    size_t apart = 0;

    for (size_t i = 0; group >= 0 && i < r->n; i++)
        f[i] = (struct lookup){ cell(r, i, (size_t)group), i };
    if (group >= 0)
        qsort(f, r->n, sizeof *f, lookup_bytes);
    for (size_t i = 0, end; group >= 0 && i < r->n; i = end) {
        bool ours = f[i].text[0] == '\0', split = false;

        for (end = i; end < r->n && strcmp(f[end].text, f[i].text) == 0;
             end++) {
            ours = ours || strcmp(cell(r, f[end].at, r->id), f[i].text) == 0;
            split = split || r->group[f[end].at] != r->group[f[i].at];
        }
        apart += split && !ours;
    }
    if (apart > 0)
        log_warn("the column group had %zu groups of its own, which are apart "
                 "now; if they are patients, name it otherwise and deal the "
                 "folds by it", apart);
    free(f);
}

static void
add_columns(struct run *r, const bool *conflict)
{
    size_t group = table_column(r->t, "group");
    size_t column = table_column(r->t, "conflict");

    for (size_t i = 0; i < r->n; i++) {
        table_set(r->t, r->row[i], group, cell(r, r->group[i], r->id));
        table_set(r->t, r->row[i], column, conflict[r->group[i]] ? "1" : "0");
    }
}

static int
save_pairs(const struct run *r, struct err *e)
{
    static const char *const columns[] = {
        "id_a", "id_b", "score", "kind", NULL
    };
    struct table t;
    int rc;

    table_init(&t, columns);
    for (size_t k = 0; k < r->pairs.n; k++) {
        const struct dup_pair *p = &r->pairs.item[k];
        char *score;

        if (p->score < r->threshold)
            continue;
        score = str_format("%.4f", p->score);
        table_add(&t, (const char *const[]){
            cell(r, p->a, r->id), cell(r, p->b, r->id), score,
            dup_kind_name(p->kind)
        });
        free(score);
    }
    rc = table_save(&t, r->conf->pairs, e);
    table_release(&t);
    return rc;
}

static int
save_sheet(const struct run *r, struct err *e)
{
    struct image m;
    int rc;

    dup_sheet(r->scan, &r->pairs, r->threshold, SHEET_PAIRS, &m);
    rc = image_save_png(&m, r->conf->sheet, e);
    image_release(&m);
    return rc;
}

static void
tell(const struct run *r, const bool *conflict)
{
    size_t bin[BINS] = { 0 }, copies = 0, groups = 0, conflicts = 0;
    size_t *members = mem_array(r->n, sizeof *members);

    for (size_t k = 0; k < r->pairs.n; k++) {
        double score = r->pairs.item[k].score;
        int b = score < 0 ? 0 : (int)(score * BINS);

        bin[b < BINS ? b : BINS - 1]++;
        copies += score >= r->threshold;
    }
    for (size_t i = 0; i < r->n; i++)
        members[r->group[i]]++;
    for (size_t i = 0; i < r->n; i++) {
        groups += members[i] > 1;
        conflicts += conflict[i];
    }
    for (int b = 0; b < BINS; b++)
        log_note("score %.2f to %.2f: %zu pairs", (double)b / BINS,
                 (double)(b + 1) / BINS, bin[b]);
    log_note("threshold %.3f%s", r->threshold,
             r->conf->threshold > 0 ? "" : " (middle of the widest gap)");
    log_note("%zu scans, %zu pairs, %zu groups of copies, %zu of them with "
             "more than one label", r->n, copies, groups, conflicts);
    free(members);
}

static int
list_faults(const struct run *r, struct err *e)
{
    struct reject list = { 0 };
    bool any;

    if (reject_open(&list, r->conf->rejects, e) != 0)
        return -1;
    for (size_t i = 0; i < r->n; i++)
        if (r->fault[i].status != 0)
            reject_add(&list, cell(r, i, r->path),
                       reject_reason(&r->fault[i]), r->fault[i].text);
    any = list.n > 0;
    if (reject_close(&list, e) != 0)
        return -1;
    return any ? EXIT_REJECTS : EXIT_DONE;
}

/* Most likely the paths are relative to another folder. */
static int
check_read(const struct run *r, struct err *e)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->fault[i].shortage)
            return err_copy(e, &r->fault[i]);
    for (size_t i = 0; i < r->n; i++)
        if (r->fault[i].status == 0)
            return 0;
    if (r->n == 0)
        return 0;
    if (list_faults(r, e) >= 0)
        err_set(e, EXIT_INVALID, "not one of %zu scans can be read: no "
                "manifest is written", r->n);
    return -1;
}

static int
finish(struct run *r, struct err *e)
{
    bool *conflict = mem_array(r->n, sizeof *conflict);
    int status = -1;

    find_conflicts(r, conflict);
    tell(r, conflict);
    warn_of_groups(r);
    add_columns(r, conflict);
    if ((r->conf->pairs == NULL || save_pairs(r, e) == 0)
        && (r->conf->sheet == NULL || save_sheet(r, e) == 0))
        status = list_faults(r, e);
    free(conflict);
    return status;
}

int
dup_manifest(struct table *t, const struct dup_conf *c, struct err *e)
{
    struct run r = { .t = t, .conf = c, .n = t->nrows };
    long id = table_need(t, "id", e), path = table_need(t, "path", e);
    int status;

    if (id < 0 || path < 0)
        return -1;
    r.id = (size_t)id;
    r.path = (size_t)path;
    r.row = mem_array(r.n, sizeof *r.row);
    r.scan = mem_array(r.n, sizeof *r.scan);
    r.fault = mem_array(r.n, sizeof *r.fault);
    r.group = mem_array(r.n, sizeof *r.group);
    order_rows(&r);
    read_all(&r);
    status = check_read(&r, e);
    if (status == 0) {
        search(&r);
        status = finish(&r, e);
    }
    for (size_t i = 0; i < r.n; i++)
        dup_scan_release(&r.scan[i]);
    free(r.row);
    free(r.scan);
    free(r.fault);
    free(r.group);
    free(r.pairs.item);
    return status;
}
