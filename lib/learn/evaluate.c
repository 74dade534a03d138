#include "learn/evaluate.h"

#include "base/log.h"
#include "base/mem.h"
#include "learn/stat.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const metric_name[METRIC_KINDS] = {
    [METRIC_ACCURACY] = "accuracy",
    [METRIC_BALANCED_ACCURACY] = "balanced_accuracy",
    [METRIC_MACRO_F1] = "macro_f1",
    [METRIC_MCC] = "mcc",
    [METRIC_KAPPA] = "kappa",
    [METRIC_BRIER] = "brier",
    [METRIC_NLL] = "nll",
    [METRIC_ECE] = "ece",
    [METRIC_AUROC] = "auroc",
    [METRIC_AUPRC] = "auprc",
    [METRIC_SENSITIVITY] = "sensitivity",
    [METRIC_SPECIFICITY] = "specificity",
    [METRIC_PPV] = "ppv",
    [METRIC_NPV] = "npv",
    [METRIC_F1] = "f1",
};

/* What --positive adds.  A threshold chosen here flatters: the name says so. */
static const struct {
    const char *name;
    enum metric_kind kind;
} binary[] = {
    { "binary_auroc", METRIC_AUROC },
    { "binary_sensitivity", METRIC_SENSITIVITY },
    { "binary_specificity", METRIC_SPECIFICITY },
    { "sensitivity_at_90_specificity_chosen_here", METRIC_AT_SPEC90 },
    { "sensitivity_at_95_specificity_chosen_here", METRIC_AT_SPEC95 },
};

static const char *const columns[] = {
    "metric", "class", "value", "lo", "hi", "n", NULL
};

/* Where rows go, and what they have in common. */
struct sheet {
    struct table *out;
    const struct str_list *classes;
    const char *fold;       /* NULL: the table has no such column */
    int positive;           /* -1: none */
};

enum { CELL = 32 };         /* room for a number */

static const char *
number(char cell[CELL], const char *fmt, double x)
{
    if (isnan(x))
        return "NA";
    snprintf(cell, CELL, fmt, x + 0.0);     /* + 0.0: no "-0" */
    return cell;
}

static void
add_cells(struct sheet *s, const char *metric, const char *class,
          const struct metric *m, const char *fmt)
{
    char value[CELL], lo[CELL], hi[CELL], n[CELL];
    const char *cells[] = {
        metric, class, number(value, fmt, m->value), number(lo, fmt, m->lo),
        number(hi, fmt, m->hi), number(n, "%.0f", m->n), s->fold
    };

    table_add(s->out, cells);
}

static void
add(struct sheet *s, const char *metric, const char *class,
    const struct metric *m)
{
    add_cells(s, metric, class, m, "%.6g");
}

static void
add_count(struct sheet *s, const char *metric, const char *class,
          double count, double n)
{
    add_cells(s, metric, class, &(struct metric){ count, NAN, NAN, n },
              "%.0f");
}

/* Every metric of [METRIC_KINDS * (k + 1)]. */
static void
add_metrics(struct sheet *s, const struct metric *m)
{
    int k = (int)s->classes->n;

    for (int i = 0; i < METRIC_AT_SPEC90; i++) {
        enum metric_kind kind = (enum metric_kind)i;

        if (i < METRIC_SENSITIVITY)
            add(s, metric_name[i], i < METRIC_AUROC ? "all" : "macro",
                &m[metric_at(kind, -1, k)]);
        for (int c = 0; i >= METRIC_AUROC && c < k; c++)
            add(s, metric_name[i], s->classes->item[c],
                &m[metric_at(kind, c, k)]);
    }
    for (size_t i = 0; s->positive >= 0 && i < ARRAY_LEN(binary); i++)
        add(s, binary[i].name, s->classes->item[s->positive],
            &m[metric_at(binary[i].kind, s->positive, k)]);
}

static void
add_confusion(struct sheet *s, const struct outcome *outcome, size_t n)
{
    int k = (int)s->classes->n;
    double *count = mem_array((size_t)k * (size_t)k, sizeof *count);

    metric_confusion(outcome, n, k, count);
    for (int t = 0; t < k; t++) {
        double row = 0;

        for (int y = 0; y < k; y++)
            row += count[t * k + y];
        for (int y = 0; y < k; y++) {
            char *cell = str_format("%s>%s", s->classes->item[t],
                                    s->classes->item[y]);

            add_count(s, "confusion", cell, count[t * k + y], row);
            free(cell);
        }
    }
    free(count);
}

enum { POOLED = -1 };

/* ------------------------------------------------------- parts of the scans */

static void
add_with(struct sheet *s, const char *metric, const char *class, double value,
         struct interval i, double n)
{
    add(s, metric, class, &(struct metric){ value, i.lo, i.hi, n });
}

static void
add_share(struct sheet *s, const char *metric, const char *class, double x,
          double n)
{
    add_with(s, metric, class, n > 0 ? x / n : NAN, stat_wilson(x, n), n);
}

/* Of all files, or of this one? */
static bool
takes(long file, size_t of)
{
    return file == POOLED || (size_t)file == of;
}

/* How many scans of each class are there, and right, with marks or without? */
static void
add_part(struct sheet *s, const struct predictions *p, long file, bool marked)
{
    size_t k = p->classes.n;
    double *n = mem_array(2 * k, sizeof *n), *right = n + k, all = 0, sum = 0;

    for (size_t i = 0; i < p->n; i++) {
        const struct prediction *r = &p->row[i];

        if (!r->ok || r->marks == NULL || (r->marks[0] != '\0') != marked ||
            !takes(file, r->file))
            continue;
        n[r->outcome.truth]++;
        right[r->outcome.truth] += r->outcome.truth == r->outcome.pred;
    }
    for (size_t c = 0; c < k; c++) {
        all += n[c];
        sum += right[c];
    }
    add_share(s, marked ? "accuracy_marked" : "accuracy_unmarked", "all", sum,
              all);
    for (size_t c = 0; c < k; c++)
        add_share(s, marked ? "sensitivity_marked" : "sensitivity_unmarked",
                  p->classes.item[c], right[c], n[c]);
    free(n);
}

static void
add_parts(struct sheet *s, const struct predictions *p, long file)
{
    double selected = 0, seen = 0, n = 0;
    bool known = false, chosen = false, shown = false;

    for (size_t i = 0; i < p->nfiles; i++) {
        chosen = chosen || p->file[i].nselected > 0;
        shown = shown || p->file[i].nseen > 0;
        if (takes(file, i))
            seen += (double)p->file[i].nseen;
    }
    for (size_t i = 0; i < p->n; i++) {
        const struct prediction *r = &p->row[i];

        known = known || (r->ok && r->marks != NULL);
        if (!r->ok || !takes(file, r->file))
            continue;
        n++;
        selected += r->selected;
    }
    if (chosen)
        add_count(s, "selected_on_test", "all", selected, n);
    if (shown)
        add_count(s, "seen_in_training", "all", seen, n);
    if (known) {
        add_part(s, p, file, true);
        add_part(s, p, file, false);
    }
}

/* -------------------------------------------------------------------- folds */

/*
 * The outcomes of one file, or of all, in order of ids; groups are numbered
 * anew, so that a fold draws from its own.
 */
static struct outcome *
select_file(const struct predictions *p, long file, size_t *n,
            size_t *nrejected, size_t *ngroups)
{
    struct outcome *o = mem_array(p->n, sizeof *o);
    uint32_t *number_of = mem_array(p->ngroups, sizeof *number_of);

    *n = *nrejected = *ngroups = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct prediction *r = &p->row[i];
        uint32_t *g = &number_of[r->outcome.group];

        if (!takes(file, r->file))
            continue;
        if (!r->ok) {
            ++*nrejected;
            continue;
        }
        if (*g == 0)
            *g = (uint32_t)++*ngroups;
        o[*n] = r->outcome;
        o[(*n)++].group = *g - 1;
    }
    free(number_of);
    return o;
}

/* All rows of one file, or of all; returns the metrics. */
static struct metric *
evaluate_file(struct sheet *s, const struct predictions *p, long file,
              const struct evaluate_conf *c)
{
    size_t n, nrejected, ngroups;
    struct outcome *o = select_file(p, file, &n, &nrejected, &ngroups);
    struct metric *m = metric_measure(o, n, (int)p->classes.n, ngroups,
                                      c->seed, c->nboot);

    if (file == POOLED && nrejected > 0)
        log_warn("%zu of %zu rows were rejected and are left out", nrejected,
                 n + nrejected);
    add_count(s, "n", "all", (double)n, (double)n);
    add_count(s, "rejected", "all", (double)nrejected,
              (double)(n + nrejected));
    add_metrics(s, m);
    add_confusion(s, o, n);
    add_parts(s, p, file);
    free(o);
    return m;
}

static void
warn_absent(const struct predictions *p)
{
    bool *seen = mem_array(p->classes.n, sizeof *seen);

    for (size_t i = 0; i < p->n; i++)
        if (p->row[i].ok)
            seen[p->row[i].outcome.truth] = true;
    for (size_t c = 0; c < p->classes.n; c++)
        if (!seen[c])
            log_warn("no scan has the label '%s': means over the classes "
                     "leave it out", p->classes.item[c]);
    free(seen);
}

static void
warn_flattered(const struct predictions *p)
{
    for (size_t i = 0; i < p->nfiles; i++) {
        const struct prediction_file *f = &p->file[i];

        if (f->nselected > 0)
            log_warn("'%s': the epoch of what scored %zu scans was chosen on "
                     "its test fold, and results on that flatter it",
                     f->table.path, f->nselected);
        if (f->nseen > 0)
            log_warn("'%s': %zu scans had a part in the training of what "
                     "scored them: these are no test results", f->table.path,
                     f->nseen);
    }
    if (p->crossed)
        log_warn("groups of near-copies cross the folds: copies of test scans "
                 "were trained on, which flatters the results");
}

const char *
evaluate_fold(const struct predictions *p, size_t file, char text[FOLD_TEXT])
{
    bool named = false;

    for (size_t i = 0; i < p->nfiles; i++)
        named = named || p->file[i].fold != NULL;
    if (p->file[file].fold != NULL)
        return p->file[file].fold;
    snprintf(text, FOLD_TEXT, "%s%zu", named ? "#" : "", file);
    return text;
}

/* Mean and standard deviation of a metric over the folds that define it. */
static void
spread(struct metric *const *fold, size_t nfolds, size_t at,
       struct metric *mean, struct metric *sd)
{
    double n = 0, sum = 0, squares = 0;

    for (size_t i = 0; i < nfolds; i++)
        if (!isnan(fold[i][at].value)) {
            sum += fold[i][at].value;
            n++;
        }
    *mean = (struct metric){ n > 0 ? sum / n : NAN, NAN, NAN, n };
    for (size_t i = 0; i < nfolds; i++)
        if (!isnan(fold[i][at].value))
            squares += pow(fold[i][at].value - mean->value, 2);
    *sd = (struct metric){ n > 1 ? sqrt(squares / (n - 1)) : NAN, NAN, NAN,
                           n };
}

static void
add_folds(struct sheet *s, const struct predictions *p,
          const struct evaluate_conf *c)
{
    size_t nvalues = METRIC_KINDS * (p->classes.n + 1);
    struct metric **fold = mem_array(p->nfiles, sizeof *fold);
    struct metric *mean = mem_array(nvalues, sizeof *mean);
    struct metric *sd = mem_array(nvalues, sizeof *sd);

    for (size_t i = 0; i < p->nfiles; i++) {
        char text[FOLD_TEXT];

        s->fold = evaluate_fold(p, i, text);
        fold[i] = evaluate_file(s, p, (long)i, c);
    }
    for (size_t i = 0; i < nvalues; i++)
        spread(fold, p->nfiles, i, &mean[i], &sd[i]);
    s->fold = "mean";
    add_metrics(s, mean);
    s->fold = "sd";
    add_metrics(s, sd);
    for (size_t i = 0; i < p->nfiles; i++)
        free(fold[i]);
    free(fold);
    free(mean);
    free(sd);
}

int
evaluate_table(const struct predictions *p, const struct evaluate_conf *c,
               struct table *out, struct err *e)
{
    struct sheet s = { out, &p->classes, NULL, -1 };

    if (c->positive != NULL)
        s.positive = (int)str_list_find(&p->classes, c->positive);
    if (c->positive != NULL && s.positive < 0)
        return err_set(e, EXIT_USAGE, "--positive: '%s' has no class '%s'",
                       p->file[0].table.path, c->positive);
    warn_absent(p);
    warn_flattered(p);
    if (!p->grouped)
        log_note("no column group: every scan is its own, and intervals are "
                 "too narrow if there are near-copies");
    table_init(out, columns);
    if (p->nfiles > 1) {
        table_column(out, "fold");
        s.fold = "pooled";
    }
    free(evaluate_file(&s, p, POOLED, c));
    if (p->nfiles > 1)
        add_folds(&s, p, c);
    return 0;
}

/* --------------------------------------------------------------- comparison */

/* The pairs that both files scored, as two arrays. */
static size_t
select_pairs(const struct predictions *p, struct outcome *a,
             struct outcome *b)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n; i += 2)
        if (p->row[i].ok && p->row[i + 1].ok) {
            a[n] = p->row[i].outcome;
            b[n++] = p->row[i + 1].outcome;
        }
    return n;
}

/* Are there pairs of one group? */
static bool
share_groups(const struct predictions *p)
{
    void *seen = NULL;
    bool shared = false;

    for (size_t i = 0; i < p->n; i += 2)
        if (p->row[i].ok && p->row[i + 1].ok && p->row[i].group != NULL)
            shared = !str_set_add(&seen, p->row[i].group) || shared;
    str_set_release(&seen);
    return shared;
}

static void
compare_decisions(struct sheet *s, const struct outcome *a,
                  const struct outcome *b, size_t n)
{
    const struct interval none = { NAN, NAN };
    size_t only_a = 0, only_b = 0, both = 0;
    double d = (double)n;

    for (size_t i = 0; i < n; i++) {
        bool x = a[i].pred == a[i].truth, y = b[i].pred == b[i].truth;

        only_a += x && !y;
        only_b += y && !x;
        both += x && y;
    }
    add_share(s, "accuracy_a", "all", (double)(both + only_a), d);
    add_share(s, "accuracy_b", "all", (double)(both + only_b), d);
    add_with(s, "accuracy_difference", "all",
             ((double)only_a - (double)only_b) / d,
             stat_paired(only_a, only_b, n), d);
    add_count(s, "only_a_right", "all", (double)only_a, d);
    add_count(s, "only_b_right", "all", (double)only_b, d);
    add_with(s, "mcnemar_p", "all",
             n > 0 ? stat_mcnemar(only_a, only_b) : NAN, none, d);
}

static void
compare_auroc(struct sheet *s, const struct outcome *a,
              const struct outcome *b, size_t n, int c)
{
    const char *class = s->classes->item[c];
    const struct interval none = { NAN, NAN };
    double *va = mem_array(n, sizeof *va), *vb = mem_array(n, sizeof *vb);
    bool *positive = mem_array(n, sizeof *positive);
    struct auc x = metric_auroc(a, n, c, va), y = metric_auroc(b, n, c, vb);
    struct auc d;

    for (size_t i = 0; i < n; i++) {
        positive[i] = a[i].truth == c;
        va[i] -= vb[i];
    }
    d = stat_delong(va, positive, n);
    add_with(s, "auroc_a", class, x.area,
             stat_normal(x.area, x.variance, 0, 1), (double)n);
    add_with(s, "auroc_b", class, y.area,
             stat_normal(y.area, y.variance, 0, 1), (double)n);
    add_with(s, "auroc_difference", class, d.area,
             stat_normal(d.area, d.variance, -1, 1), (double)n);
    add_with(s, "delong_p", class,
             d.variance > 0 ? stat_two_sided(d.area / sqrt(d.variance)) : NAN,
             none, (double)n);
    free(va);
    free(vb);
    free(positive);
}

/* What is to be said of the scans of a and of b, if there is any of either. */
static void
add_each(struct sheet *s, const char *metric, const double count[2], size_t n)
{
    for (int i = 0; i < 2 && count[0] + count[1] > 0; i++) {
        char *name = str_format("%s_%c", metric, "ab"[i]);

        add_count(s, name, "all", count[i], (double)n);
        free(name);
    }
}

void
evaluate_compare(const struct predictions *p, struct table *out)
{
    struct sheet s = { out, &p->classes, NULL, -1 };
    struct outcome *a = mem_array(p->n / 2, sizeof *a);
    struct outcome *b = mem_array(p->n / 2, sizeof *b);
    size_t n = select_pairs(p, a, b);
    double selected[2] = { 0 }, seen[2] = { 0 };

    table_init(out, columns);
    warn_flattered(p);
    if (n > 0 && share_groups(p))
        log_warn("there are groups of several scans, which a comparison takes "
                 "as independent: its P values and intervals are too small");
    if (n < p->n / 2)
        log_warn("%zu of %zu scans were rejected and are left out",
                 p->n / 2 - n, p->n / 2);
    add_count(&s, "n", "all", (double)n, (double)n);
    add_count(&s, "rejected", "all", (double)(p->n / 2 - n),
              (double)(p->n / 2));
    compare_decisions(&s, a, b, n);
    for (int c = 0; c < (int)p->classes.n; c++)
        compare_auroc(&s, a, b, n, c);
    for (size_t i = 0; i < p->n; i++)
        if (p->row[i - i % 2].ok && p->row[i - i % 2 + 1].ok) {
            selected[i % 2] += p->row[i].selected;
            seen[i % 2] += p->row[i].seen;
        }
    add_each(&s, "selected_on_test", selected, n);
    add_each(&s, "seen_in_training", seen, n);
    free(a);
    free(b);
}

/* -------------------------------------------------------------- the table */

const char *
evaluate_cell(const struct table *t, const char *metric, const char *class,
              const char *fold, const char *column)
{
    long m = table_find(t, "metric"), c = table_find(t, "class");
    long f = table_find(t, "fold"), v = table_find(t, column);

    for (size_t i = 0; i < t->nrows && m >= 0 && c >= 0 && v >= 0; i++)
        if (strcmp(t->row[i][m], metric) == 0 &&
            strcmp(t->row[i][c], class) == 0 &&
            strcmp(f < 0 ? "pooled" : t->row[i][f], fold) == 0)
            return t->row[i][v];
    return "NA";
}

static bool
is_number(const char *column)
{
    return strcmp(column, "value") == 0 || strcmp(column, "lo") == 0 ||
           strcmp(column, "hi") == 0 || strcmp(column, "n") == 0;
}

void
evaluate_json(const struct table *t, FILE *f)
{
    struct str s = { 0 };

    fputs("[\n", f);
    for (size_t i = 0; i < t->nrows; i++) {
        s.n = 0;
        for (size_t j = 0; j < t->ncolumns; j++) {
            const char *x = t->row[i][j];

            str_addf(&s, "%s\"%s\": ", j > 0 ? ", " : "", t->column[j]);
            if (!is_number(t->column[j]))
                str_add_json(&s, x);
            else
                str_add(&s, strcmp(x, "NA") == 0 ? "null" : x);
        }
        fprintf(f, "  {%s}%s\n", s.text, i + 1 < t->nrows ? "," : "");
    }
    fputs("]\n", f);
    str_release(&s);
}
