/* What the predictions say: summary, metrics, curves, operating points. */
#include "report/parts.h"

#include "base/mem.h"
#include "learn/stat.h"
#include "report/curves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *
class_name(const struct report *r, size_t c)
{
    return r->p.classes.item[c];
}

/* ----------------------------------------------------------------- summary */

static void
card(struct report *r, const char *metric, const char *class,
     const char *label)
{
    char *text = report_interval(r, metric, class), *open = strchr(text, '(');

    if (open != NULL)
        open[-1] = '\0';
    str_add(&r->page, "<div class=\"card\"><span>");
    page_text(&r->page, label);
    str_add(&r->page, "</span><b>");
    page_text(&r->page, text);
    str_add(&r->page, "</b><span>");
    if (open != NULL) {
        open[strlen(open) - 1] = '\0';
        page_text(&r->page, open + 1);
    }
    str_add(&r->page, "</span></div>\n");
    free(text);
}

void
part_summary(struct report *r)
{
    const char *positive = class_name(r, (size_t)r->positive);
    char *sensitivity = str_format("Sensitivity, %s", positive);
    char *specificity = str_format("Specificity, %s", positive);
    bool selected = false;
    size_t seen = 0;

    page_paragraph(&r->page, "note", "%s scans in %zu table%s of "
                   "predictions, each scored once. %s 95 %% intervals. "
                   "Research use only: not a medical device.",
                   evaluate_cell(&r->metrics, "n", "all", "pooled", "value"),
                   r->p.nfiles, r->p.nfiles == 1 ? "" : "s",
                   r->c->nboot > 0 ? "Values with" : "Some values have");
    for (size_t i = 0; i < r->p.nfiles; i++) {
        selected = selected || r->p.file[i].nselected > 0;
        seen += r->p.file[i].nseen;
    }
    if (seen > 0)
        page_paragraph(&r->page, "warn", "%zu of these scans had a part in the "
                       "training of what scored them: these are no test "
                       "results.", seen);
    if (r->lacking > 0)
        page_paragraph(&r->page, "warn", "%zu scans of the manifest were not "
                       "scored.", r->lacking);
    if (selected)
        page_paragraph(&r->page, "warn", "The epoch of a model was chosen on "
                       "its own test fold: results on that fold flatter it.");
    if (!r->p.grouped)
        page_paragraph(&r->page, "warn", "No groups of near-copies are known: "
                       "copies of test scans may have been trained on.");
    if (r->p.crossed)
        page_paragraph(&r->page, "warn", "Groups of near-copies cross the "
                       "folds: copies of test scans were trained on.");
    str_add(&r->page, "<div class=\"cards\">\n");
    card(r, "accuracy", "all", "Accuracy");
    card(r, "balanced_accuracy", "all", "Balanced accuracy");
    card(r, "auroc", "macro", "AUROC, mean of classes");
    card(r, "sensitivity", positive, sensitivity);
    card(r, "specificity", positive, specificity);
    card(r, "ece", "all", "Calibration error (ECE)");
    str_add(&r->page, "</div>\n");
    free(sensitivity);
    free(specificity);
}

/* ----------------------------------------------------------------- metrics */

static void
confusion(struct report *r)
{
    size_t k = r->p.classes.n;
    struct page_table t = { .caption = "Confusion matrix: rows are the truth, "
                                       "columns what was predicted",
                            .columns = k + 2 };

    page_cell(&t, "truth");
    for (size_t y = 0; y < k; y++)
        page_cell(&t, "%s", class_name(r, y));
    page_cell(&t, "sensitivity");
    for (size_t c = 0; c < k; c++) {
        char *share = report_interval(r, "sensitivity", class_name(r, c));

        page_cell(&t, "%s", class_name(r, c));
        for (size_t y = 0; y < k; y++) {
            char *pair = str_format("%s>%s", class_name(r, c),
                                    class_name(r, y));

            page_cell(&t, "%s", evaluate_cell(&r->metrics, "confusion", pair,
                                              "pooled", "value"));
            free(pair);
        }
        page_cell(&t, "%s", share);
        free(share);
    }
    page_table(&r->page, &t);
}

static void
metric_row(struct report *r, struct page_table *t, const char *metric,
           const char *class)
{
    char *text = report_interval(r, metric, class);

    page_cell(t, "%s", metric);
    page_cell(t, "%s", class);
    page_cell(t, "%s", text);
    free(text);
    if (r->p.nfiles == 1)
        return;
    report_number(t, evaluate_cell(&r->metrics, metric, class, "mean",
                                   "value"));
    report_number(t, evaluate_cell(&r->metrics, metric, class, "sd",
                                   "value"));
}

static void
by_fold(struct report *r)
{
    static const char *const metrics[][2] = {
        { "accuracy", "all" }, { "balanced_accuracy", "all" },
        { "auroc", "macro" }, { "nll", "all" }, { "ece", "all" }
    };
    struct page_table t = { .caption = "Each fold", .columns = 7 };

    page_cell(&t, "fold");
    page_cell(&t, "n");
    for (size_t j = 0; j < ARRAY_LEN(metrics); j++)
        page_cell(&t, "%s", metrics[j][0]);
    for (size_t i = 0; i < r->p.nfiles; i++) {
        char text[FOLD_TEXT];
        const char *fold = evaluate_fold(&r->p, i, text);

        page_cell(&t, "%s", fold);
        page_cell(&t, "%s", evaluate_cell(&r->metrics, "n", "all", fold,
                                          "value"));
        for (size_t j = 0; j < ARRAY_LEN(metrics); j++)
            report_number(&t, evaluate_cell(&r->metrics, metrics[j][0],
                                            metrics[j][1], fold, "value"));
    }
    page_table(&r->page, &t);
}

void
part_metrics(struct report *r)
{
    static const char *const over_all[] = {
        "accuracy", "balanced_accuracy", "macro_f1", "mcc", "kappa", "brier",
        "nll", "ece"
    };
    static const char *const per_class[] = {
        "auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "f1"
    };
    enum { MACRO = 2 };         /* so many of them have a mean of the classes */
    bool folds = r->p.nfiles > 1;
    struct page_table t = {
        .caption = folds ? "All metrics, pooled over the folds; mean and "
                           "standard deviation of the folds beside"
                         : "All metrics",
        .columns = folds ? 5 : 3
    };

    confusion(r);
    page_cell(&t, "metric");
    page_cell(&t, "class");
    page_cell(&t, "value (95 %% interval)");
    if (folds) {
        page_cell(&t, "fold mean");
        page_cell(&t, "fold sd");
    }
    for (size_t i = 0; i < ARRAY_LEN(over_all); i++)
        metric_row(r, &t, over_all[i], "all");
    for (size_t i = 0; i < ARRAY_LEN(per_class); i++) {
        if (i < MACRO)
            metric_row(r, &t, per_class[i], "macro");
        for (size_t c = 0; c < r->p.classes.n; c++)
            metric_row(r, &t, per_class[i], class_name(r, c));
    }
    page_table(&r->page, &t);
    if (folds)
        by_fold(r);
    page_paragraph(&r->page, "note", "Proportions: Wilson; AUROC of a class: "
                   "DeLong; the rest: %s%s. The first two take scans as "
                   "independent and are too narrow where copies abound.",
                   r->c->nboot == 0 ? "no interval without bootstrap"
                                    : "bootstrap over ",
                   r->c->nboot == 0 ? ""
                   : r->p.grouped   ? "groups of near-copies"
                                    : "scans");
}

/* ------------------------------------------------------------------ curves */

static void
add_diagonal(struct plot *p, const char *name)
{
    struct plot_line *l = plot_add(p, name, PLOT_GRAY, 2);

    l->look = PLOT_DASHED;
    l->x[0] = l->y[0] = 0;
    l->x[1] = l->y[1] = 1;
}

void
part_discrimination(struct report *r)
{
    struct plot roc = { "1 - specificity", "sensitivity", 0, 1, 0, 1, NULL, 0 };
    struct plot pr = { "recall", "precision", 0, 1, 0, 1, NULL, 0 };
    struct plot_line *l;

    for (size_t c = 0; c < r->p.classes.n; c++) {
        size_t n;
        struct scored *s = curves_sort(&r->p, (int)c, &n);
        enum plot_colour colour = (enum plot_colour)(c % PLOT_BLACK);

        l = plot_add(&roc, class_name(r, c), colour, n + 1);
        l->dashes = (int)(c / PLOT_BLACK);
        l->n = curves_roc(s, n, l->x, l->y);
        l = plot_add(&pr, class_name(r, c), colour, n + 1);
        l->dashes = (int)(c / PLOT_BLACK);
        l->n = curves_precision(s, n, l->x, l->y);
        free(s);
    }
    add_diagonal(&roc, "");
    str_add(&r->page, "<div class=\"plots\">\n");
    report_plot(r, &roc, r->p.nfiles > 1
                ? "ROC curves, each class against the rest, all folds pooled"
                : "ROC curves, each class against the rest");
    report_plot(r, &pr, "Precision and recall, each class against the rest");
    str_add(&r->page, "</div>\n");
}

void
part_calibration(struct report *r)
{
    struct plot p = { "probability of the predicted class", "share right", 0,
                      1, 0, 1, NULL, 0 };
    struct page_table t = { .caption = "The bins", .columns = 4 };
    double m[ECE_BINS];
    struct plot_line *l;
    char *ece = report_interval(r, "ece", "all");
    char *brier = report_interval(r, "brier", "all");

    page_paragraph(&r->page, "", "Expected calibration error %s (%d bins), "
                   "Brier score %s.", ece, ECE_BINS, brier);
    add_diagonal(&p, "perfect");
    l = plot_add(&p, "found", PLOT_BLUE, ECE_BINS);
    l->look = PLOT_MARKS;
    curves_reliability(&r->p, l->x, l->y, m);
    page_cell(&t, "bin");
    page_cell(&t, "scans");
    page_cell(&t, "probability");
    page_cell(&t, "share right");
    for (int b = 0; b < ECE_BINS; b++)
        if (m[b] > 0) {
            page_cell(&t, "%.2f to %.2f", b / (double)ECE_BINS,
                      (b + 1) / (double)ECE_BINS);
            page_cell(&t, "%.0f", m[b]);
            page_cell(&t, "%.3f", l->x[b]);
            page_cell(&t, "%.3f", l->y[b]);
        }
    str_add(&r->page, "<div class=\"plots\">\n");
    report_plot(r, &p, "Reliability: how often a decision of this probability "
                       "is right");
    str_add(&r->page, "<div>");
    page_table(&r->page, &t);
    str_add(&r->page, "</div></div>\n");
    free(ece);
    free(brier);
}

/* -------------------------------------------------------- operating points */

/* The validation table that the model of test file i made, or -1. */
static long
validation_of(const struct report *r, const struct predictions *v, size_t i)
{
    for (size_t j = 0; j < v->nfiles; j++)
        if (v->file[j].model != NULL && r->p.file[i].model != NULL &&
            strcmp(v->file[j].model, r->p.file[i].model) == 0)
            return (long)j;
    return -1;
}

static const char *
fact(const struct description *d, const char *key)
{
    for (size_t k = 0; k < d->facts.n; k++)
        if (strcmp(d->facts.fact[k].key, key) == 0)
            return d->facts.fact[k].text;
    return "";
}

/* Was the validation fold of test file i trained on, as --model knows? */
static bool
trained_on(const struct report *r, size_t i)
{
    bool *made = mem_array(r->digests.n, sizeof *made), trained = false;

    predictions_made_by(r->p.file[i].model, &r->digests, made);
    for (size_t m = 0; m < r->digests.n; m++)
        trained = trained ||
                  (made[m] &&
                   (strcmp(fact(&r->model[m], "select"), "none") == 0 ||
                    strcmp(fact(&r->model[m], "fold"),
                           r->p.file[i].fold) != 0));
    free(made);
    return trained;
}

/*
 * Is table j of the fold that busi-train chooses by, for test file i?  Other
 * rows were trained on.
 */
static bool
is_validation(const struct report *r, size_t i, const struct predictions *v,
              size_t j)
{
    const struct table *t = &r->labels.table;
    int64_t test, fold, k = 0;

    if (!str_int(r->p.file[i].fold, &test) ||
        !str_int(v->file[j].fold, &fold))
        return false;
    for (size_t row = 0; row < t->nrows; row++) {
        int64_t f;

        if (str_int(t->row[row][r->labels.fold], &f) && f >= k)
            k = f + 1;
    }
    return k > 2 && fold == (test + 1) % k;
}

/* Is a scan of test file i in validation file j as well?  Rows are by id. */
static bool
share_scans(const struct report *r, size_t i, const struct predictions *v,
            size_t j)
{
    for (size_t a = 0, b = 0; a < r->p.n && b < v->n;) {
        int order = strcmp(r->p.row[a].id, v->row[b].id);

        if (order == 0 && r->p.row[a].file == i && v->row[b].file == j)
            return true;
        a += order <= 0;
        b += order >= 0;
    }
    return false;
}

static size_t
keep_file(struct scored *s, size_t n, size_t file)
{
    size_t m = 0;

    for (size_t i = 0; i < n; i++)
        if (s[i].file == file)
            s[m++] = s[i];
    return m;
}

/* Why no threshold can be chosen on these tables, or NULL. */
static const char *
why_no_points(const struct report *r, const struct predictions *v)
{
    for (size_t i = 0; i < r->p.nfiles; i++) {
        long j = validation_of(r, v, i);

        if (j >= 0 && (!r->has_manifest || r->labels.fold < 0 ||
                       r->p.file[i].fold == NULL || v->file[j].fold == NULL))
            return "Which fold a model was validated on is known by -l "
                   "MANIFEST with folds, and tables that say their own: no "
                   "operating points.";
        if (j < 0 || !is_validation(r, i, v, (size_t)j) ||
            trained_on(r, i) ||
            share_scans(r, i, v, (size_t)j))
            return "The validation tables are not of the same models as the "
                   "test tables, or not of the folds that these chose their "
                   "epochs by: no operating points.";
    }
    return NULL;
}

/*
 * Test counts, each fold at the threshold that its validation fold gives; none
 * where one gives none.
 */
static struct counts
count_points(const struct report *r, const struct predictions *v,
             double least)
{
    struct counts sum = { 0 };
    bool known = true;

    for (size_t i = 0; i < r->p.nfiles; i++) {
        size_t j = (size_t)validation_of(r, v, i), ntest, nval;
        struct scored *test = curves_sort(&r->p, r->positive, &ntest);
        struct scored *val = curves_sort(v, r->positive, &nval);
        struct counts c;
        double threshold;

        ntest = keep_file(test, ntest, i);
        nval = keep_file(val, nval, j);
        threshold = curves_threshold(val, nval, least);
        c = curves_at(test, ntest, threshold);
        known = known && !isnan(threshold);
        sum.tp += c.tp;
        sum.fp += c.fp;
        sum.npos += c.npos;
        sum.nneg += c.nneg;
        free(test);
        free(val);
    }
    return known ? sum : (struct counts){ 0 };
}

static void
share_cell(struct page_table *t, double x, double n)
{
    struct interval i = stat_wilson(x, n);

    if (n > 0)
        page_cell(t, "%.3f (%.3f to %.3f)", x / n, i.lo, i.hi);
    else
        page_cell(t, "NA");
}

static void
point_rows(struct report *r, const struct predictions *v)
{
    static const double least[] = { 0.90, 0.95 };
    struct page_table t = {
        .caption = "Thresholds chosen on each model's validation fold, then "
                   "applied to its test fold; counts pooled", .columns = 4
    };
    const char *why = why_no_points(r, v);

    if (why != NULL) {
        page_paragraph(&r->page, "warn", "%s", why);
        return;
    }
    page_cell(&t, "specificity wanted");
    page_cell(&t, "sensitivity reached");
    page_cell(&t, "specificity reached");
    page_cell(&t, "scans");
    for (size_t i = 0; i < ARRAY_LEN(least); i++) {
        struct counts c = count_points(r, v, least[i]);

        page_cell(&t, "%.2f", least[i]);
        share_cell(&t, c.tp, c.npos);
        share_cell(&t, c.nneg - c.fp, c.nneg);
        page_cell(&t, "%.0f", c.npos + c.nneg);
    }
    page_table(&r->page, &t);
    r->points = true;
}

static int
read_validation(struct report *r, struct predictions *v)
{
    const struct str_list *paths = &r->c->validation;

    for (size_t i = 0; i < paths->n; i++) {
        if (predictions_add(v, paths->item[i],
                            r->has_manifest ? &r->labels : NULL,
                            &r->failed) != 0)
            return -1;
        report_source(r, "validation", v->file[i].table.path,
                      v->file[i].table.digest);
    }
    if (predictions_settle(v, &r->failed) != 0)
        return -1;
    if (str_list_same(&v->classes, &r->p.classes))
        return 0;
    return err_set(&r->failed, EXIT_INVALID, "'%s' has other classes than the "
                   "predictions, or in another order", paths->item[0]);
}

void
part_operating(struct report *r)
{
    struct predictions v = { 0 };

    page_paragraph(&r->page, "", "Calling a scan %s from a threshold on its "
                   "probability.", class_name(r, (size_t)r->positive));
    if (r->c->validation.n == 0)
        page_paragraph(&r->page, "note", "Not given: --validation, tables of "
                       "each model on its validation fold. A threshold chosen "
                       "on test scans would flatter.");
    else if (read_validation(r, &v) == 0)
        point_rows(r, &v);
    predictions_release(&v);
}

void
part_benefit(struct report *r)
{
    enum { POINTS = 60 };
    struct plot p = { "threshold probability", "net benefit", 0, 0.6, 0, 0,
                      NULL, 0 };
    struct plot_line *net, *all;
    double top = 0;
    size_t n;
    struct scored *s = curves_sort(&r->p, r->positive, &n);

    page_paragraph(&r->page, "", "Net benefit of acting on what is called %s, "
                   "in true positives per scan, against acting on all scans "
                   "and on none (Vickers and Elkin 2006).",
                   class_name(r, (size_t)r->positive));
    plot_add(&p, "networks", PLOT_BLUE, POINTS);
    plot_add(&p, "all", PLOT_ORANGE, POINTS);
    net = &p.line[0];
    all = &p.line[1];
    all->look = PLOT_DASHED;
    for (int i = 0; i < POINTS; i++) {
        double t = 0.01 * (i + 1);

        net->x[i] = all->x[i] = t;
        net->y[i] = curves_benefit(s, n, t, false);
        all->y[i] = curves_benefit(s, n, t, true);
        top = fmax(top, fmax(net->y[i], all->y[i]));
    }
    p.lo_y = -0.1 * top;
    p.hi_y = 1.1 * top;
    str_add(&r->page, "<div class=\"plots\">\n");
    report_plot(r, &p, "Decision curve; acting on none has benefit 0");
    str_add(&r->page, "</div>\n");
    free(s);
}
