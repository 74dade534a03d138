/* What other files say: scans, training, models, where it all comes from. */
#include "report/parts.h"

#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "data/image_file.h"
#include "learn/facts.h"
#include "learn/heat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The page, and whoever made it, learn what is not on it.  What the machine
 * lacks is no fault of the picture, and there is no page.
 */
static void
left_out(struct report *r, const char *path, const struct err *e)
{
    if (e->shortage) {
        err_copy(&r->failed, e);
        return;
    }
    page_paragraph(&r->page, "warn", "Left out: %s.", e->text);
    reject_add(&r->rejects, path, reject_reason(e), e->text);
}

/* ------------------------------------------------------------------- scans */

/* Rows of the manifest in which column a is `x` and, unless NULL, b is `y`. */
static size_t
count(const struct table *t, long a, const char *x, long b, const char *y)
{
    size_t n = 0;

    for (size_t i = 0; i < t->nrows; i++)
        n += strcmp(t->row[i][a], x) == 0 &&
             (y == NULL || strcmp(t->row[i][b], y) == 0);
    return n;
}

static void
classes_by_fold(struct report *r, const struct table *t)
{
    long label = table_find(t, "label"), fold = table_find(t, "fold");
    struct page_table out = { .caption = "Scans of each class" };
    struct tally labels = { 0 }, folds = { 0 };

    if (label < 0)
        return;
    tally_column(&labels, t, (size_t)label);
    if (fold >= 0)
        tally_column(&folds, t, (size_t)fold);
    out.columns = 2 + folds.name.n;
    page_cell(&out, "class");
    page_cell(&out, "scans");
    for (size_t f = 0; f < folds.name.n; f++)
        page_cell(&out, "fold %s", folds.name.item[f]);
    for (size_t c = 0; c < labels.name.n; c++) {
        const char *name = labels.name.item[c];

        page_cell(&out, "%s", name[0] != '\0' ? name : "(none)");
        page_cell(&out, "%zu", labels.count[c]);
        for (size_t f = 0; f < folds.name.n; f++)
            page_cell(&out, "%zu", count(t, label, name, fold,
                                         folds.name.item[f]));
    }
    page_table(&r->page, &out);
    tally_release(&labels);
    if (fold >= 0)
        tally_release(&folds);
}

static void
flow_row(struct page_table *t, const char *what, size_t n)
{
    page_cell(t, "%s", what);
    page_cell(t, "%zu", n);
}

/* Groups of more than one scan, and how many scans are in them. */
static void
group_rows(struct page_table *out, const struct table *t)
{
    long group = table_find(t, "group"), conflict = table_find(t, "conflict");
    struct tally groups = { 0 };
    size_t copies = 0, scans = 0;

    if (group < 0)
        return;
    tally_column(&groups, t, (size_t)group);
    for (size_t i = 0; i < groups.name.n; i++)
        if (groups.count[i] > 1) {
            copies++;
            scans += groups.count[i];
        }
    flow_row(out, "groups of near-copies", copies);
    flow_row(out, "scans in them", scans);
    if (conflict >= 0)
        flow_row(out, "scans in groups with more than one label",
                 count(t, conflict, "1", -1, NULL));
    tally_release(&groups);
}

void
part_scans(struct report *r)
{
    const struct table *t = &r->labels.table;
    struct page_table flow = { .caption = "Flow of the scans", .columns = 2 };
    size_t rejected = 0, marked = 0, known = 0;

    for (size_t i = 0; i < r->p.n; i++) {
        rejected += !r->p.row[i].ok;
        known += r->p.row[i].marks != NULL;
        marked += r->p.row[i].marks != NULL &&
                  r->p.row[i].marks[0] != '\0';
    }
    page_cell(&flow, "what");
    page_cell(&flow, "scans or groups");
    if (r->has_manifest) {
        flow_row(&flow, "scans in the manifest", t->nrows);
        group_rows(&flow, t);
    }
    flow_row(&flow, "scans given to a network", r->p.n);
    flow_row(&flow, "rejected", rejected);
    flow_row(&flow, "scored", r->p.n - rejected);
    if (known > 0)
        flow_row(&flow, "with marks drawn into them (calipers, text)", marked);
    page_table(&r->page, &flow);
    if (r->has_manifest)
        classes_by_fold(r, t);
    else
        page_paragraph(&r->page, "note", "Not given: -l MANIFEST, which has "
                       "groups, folds and the scans themselves.");
}

/* ---------------------------------------------------------------- training */

/* A column of a log over the epochs. */
static void
add_log(struct plot *p, const struct table *t, const char *column,
        const char *title, enum plot_colour colour)
{
    long at = table_find(t, column);
    struct plot_line *l;

    if (at < 0)
        return;
    l = plot_add(p, title, colour, t->nrows);
    l->look = PLOT_THIN;
    for (size_t i = 0; i < t->nrows; i++) {
        l->x[i] = (double)i + 1;
        if (!str_real(t->row[i][at], &l->y[i]))
            l->y[i] = NAN;
    }
}

void
part_training(struct report *r)
{
    struct plot loss = { "epoch", "loss", 0, 0, 0, 0, NULL, 0 };
    struct plot acc = { "epoch", "accuracy", 0, 0, 0, 1, NULL, 0 };
    const struct str_list *paths = &r->c->logs;
    bool first = true;

    for (size_t i = 0; i < paths->n; i++) {
        struct table t = { 0 };
        struct err e = { 0 };

        if (table_read(&t, paths->item[i], &e) == 0) {
            report_source(r, "log", t.path, t.digest);
            describe_check_log(&t, &e);
        }
        if (e.status != 0) {
            left_out(r, paths->item[i], &e);
        } else {
            add_log(&loss, &t, "train_loss", first ? "train" : "", PLOT_BLUE);
            add_log(&loss, &t, "val_loss", first ? "validation" : "",
                    PLOT_ORANGE);
            add_log(&acc, &t, "train_acc", first ? "train" : "", PLOT_BLUE);
            add_log(&acc, &t, "val_acc", first ? "validation" : "",
                    PLOT_ORANGE);
            first = false;
        }
        table_release(&t);
    }
    if (paths->n == 0)
        page_paragraph(&r->page, "note", "Not given: --log, the logs of "
                       "busi-train.");
    if (!first) {
        str_add(&r->page, "<div class=\"plots\">\n");
        report_plot(r, &loss, "Loss by epoch, a line for each fold; the one "
                              "trained on is of changed pictures");
        report_plot(r, &acc, "Accuracy by epoch, a line for each fold");
        str_add(&r->page, "</div>\n");
        r->trained = !r->no_plots;
    }
    plot_release(&loss);
    plot_release(&acc);
}

/* ------------------------------------------------------- marks, plain folds */

static void
marks(struct report *r)
{
    struct page_table t = { .caption = "Scans with and without marks drawn "
                                       "into them", .columns = 3 };
    char *with = report_interval(r, "accuracy_marked", "all");
    char *without = report_interval(r, "accuracy_unmarked", "all");

    if (strcmp(with, "NA") == 0 && strcmp(without, "NA") == 0) {
        page_paragraph(&r->page, "note", "Marks are not known: make the "
                       "manifest with busi-prep --marks, and give it with "
                       "-l.");
    } else {
        page_cell(&t, "part");
        page_cell(&t, "accuracy");
        page_cell(&t, "scans");
        page_cell(&t, "marked");
        page_cell(&t, "%s", with);
        page_cell(&t, "%s", evaluate_cell(&r->metrics, "accuracy_marked",
                                          "all", "pooled", "n"));
        page_cell(&t, "unmarked");
        page_cell(&t, "%s", without);
        page_cell(&t, "%s", evaluate_cell(&r->metrics, "accuracy_unmarked",
                                          "all", "pooled", "n"));
        page_table(&r->page, &t);
    }
    free(with);
    free(without);
}

/* Folds keep groups together, as nobody can tell without all of them. */
static bool
groups_whole(const struct report *r)
{
    return r->has_manifest && r->labels.fold >= 0 && r->labels.group >= 0 &&
           r->p.grouped && !r->p.crossed;
}

/* The numbers of --plain beside these. */
static void
plain_folds(struct report *r, const struct table *plain)
{
    static const char *const metrics[][2] = {
        { "accuracy", "all" }, { "balanced_accuracy", "all" },
        { "auroc", "macro" }
    };
    struct page_table t = { .caption = "The same training on folds that let "
                                       "near-copies cross", .columns = 3 };

    if (strcmp(evaluate_cell(plain, "accuracy", "all", "pooled", "value"),
               "NA") == 0) {
        err_set(&r->failed, EXIT_INVALID, "'%s' has no pooled accuracy: "
                "--plain takes what busi-eval says of plain folds",
                plain->path);
        return;
    }
    report_source(r, "plain folds", plain->path, plain->digest);
    page_cell(&t, "metric");
    page_cell(&t, groups_whole(r) ? "groups whole" : "these folds");
    page_cell(&t, "plain folds");
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
        page_cell(&t, "%s", metrics[i][0]);
        report_number(&t, evaluate_cell(&r->metrics, metrics[i][0],
                                        metrics[i][1], "pooled", "value"));
        report_number(&t, evaluate_cell(plain, metrics[i][0], metrics[i][1],
                                        "pooled", "value"));
    }
    page_table(&r->page, &t);
}

void
part_leaks(struct report *r)
{
    struct table plain = { 0 };

    marks(r);
    if (r->c->plain == NULL)
        page_paragraph(&r->page, "note", "Not given: --plain, metrics of the "
                       "same training on plain folds, which show what a leak "
                       "is worth.");
    else if (table_read(&plain, r->c->plain, &r->failed) == 0 &&
             table_need(&plain, "metric", &r->failed) >= 0)
        plain_folds(r, &plain);
    table_release(&plain);
}

/* ---------------------------------------------------------------- mistakes */

static int
by_confidence(const void *a, const void *b)
{
    const struct outcome *x = &(*(struct prediction *const *)a)->outcome;
    const struct outcome *y = &(*(struct prediction *const *)b)->outcome;
    double p = x->p[x->pred] - x->p[x->truth];
    double q = y->p[y->pred] - y->p[y->truth];

    return p > q ? -1 : p < q;
}

/* A picture, at most 160 pixels a side, as PNG, or why there is none. */
static bool
thumbnail(struct report *r, const char *path, const char *alt)
{
    struct image m = { 0 }, small = { 0 };
    struct err e = { 0 };
    void *png = NULL;
    size_t n = 0;

    if (image_load(&m, path, &e) == 0) {
        int most = m.w > m.h ? m.w : m.h;

        if (most > 160)
            image_resize(&small, &m, m.w * 160 / most > 0
                         ? m.w * 160 / most : 1,
                         m.h * 160 / most > 0 ? m.h * 160 / most : 1);
        if (image_encode_png(most > 160 ? &small : &m, &png, &n, &e) == 0)
            page_image(&r->page, "image/png", png, n, alt);
    }
    if (e.status != 0)
        left_out(r, path, &e);
    image_release(&m);
    image_release(&small);
    free(png);
    return e.status == 0;
}

static void
show_mistake(struct report *r, const struct prediction *p)
{
    const struct table *t = &r->labels.table;
    const struct outcome *o = &p->outcome;
    long row = r->has_manifest ? labels_find(&r->labels, p->id) : -1;
    long path = row >= 0 ? table_find(t, "path") : -1;

    str_add(&r->page, "<figure>");
    if (path >= 0)
        thumbnail(r, t->row[row][path], "scan");
    if (r->c->cam != NULL) {
        char *map = heat_path(r->c->cam, p->id);

        /* Maps may have been made of some folds alone. */
        if (access(map, F_OK) == 0)
            r->maps += thumbnail(r, map, "heat map");
        free(map);
    }
    str_add(&r->page, "<figcaption>");
    page_text(&r->page, p->id);
    str_add(&r->page, ": ");
    page_text(&r->page, r->p.classes.item[o->truth]);
    str_add(&r->page, " taken for ");
    page_text(&r->page, r->p.classes.item[o->pred]);
    str_addf(&r->page, " (%.2f, truth %.2f)</figcaption></figure>\n",
             o->p[o->pred], o->p[o->truth]);
}

static bool
any_map(const struct report *r)
{
    bool any = false;

    for (size_t i = 0; i < r->p.n && !any; i++) {
        char *map = heat_path(r->c->cam, r->p.row[i].id);

        any = access(map, F_OK) == 0;
        free(map);
    }
    return any;
}

void
part_mistakes(struct report *r)
{
    enum { SHOWN = 12 };
    const struct prediction **wrong = mem_array(r->p.n, sizeof *wrong);
    struct err e = { 0 };
    size_t n = 0;

    for (size_t i = 0; i < r->p.n; i++)
        if (r->p.row[i].ok &&
            r->p.row[i].outcome.pred != r->p.row[i].outcome.truth)
            wrong[n++] = &r->p.row[i];
    if (n > 0)
        qsort(wrong, n, sizeof *wrong, by_confidence);
    page_paragraph(&r->page, "", "%zu scans were taken for another class; "
                   "here are the %zu with the truth farthest behind.",
                   n, n < SHOWN ? n : SHOWN);
    if (r->c->cam == NULL)
        page_paragraph(&r->page, "note", "Not given: --cam, heat maps of "
                       "busi-predict.");
    str_add(&r->page, "<div class=\"scans\">\n");
    for (size_t i = 0; i < n && i < SHOWN; i++)
        show_mistake(r, wrong[i]);
    str_add(&r->page, "</div>\n");
    if (r->maps > 0)
        page_paragraph(&r->page, "note", "Beside a scan is its heat map: where "
                       "the networks found what speaks for the class that they "
                       "predicted, from purple over red to yellow the more. A "
                       "white line is the outline of the scan's masks.");
    if (r->c->cam != NULL && !any_map(r)) {
        err_set(&e, EXIT_IO, "'%s' has a heat map of none of these scans",
                r->c->cam);
        left_out(r, r->c->cam, &e);
    }
    free(wrong);
}

/* ------------------------------------------------------------------ models */

/*
 * Each model, alone or with others that were given behind each other and voted
 * together, made a table.  One that did not is told of; if it is the only one,
 * it does not belong here.
 */
static void
check_makers(struct report *r)
{
    size_t n = r->digests.n;
    bool *made = mem_array(n, sizeof *made);

    /* What bears no mark may be of any. */
    for (size_t i = 0; i < r->p.nfiles; i++)
        if (r->p.file[i].model == NULL)
            memset(made, true, n);
        else
            predictions_made_by(r->p.file[i].model, &r->digests, made);
    for (size_t i = 0; i < n; i++) {
        const char *path = r->c->models.item[i];

        if (made[i])
            continue;
        if (n == 1)
            err_set(&r->failed, EXIT_INVALID, "'%s' made none of the "
                    "predictions", path);
        log_warn("'%s' made none of the predictions", path);
        page_paragraph(&r->page, "warn", "%s made none of the predictions.",
                       path);
    }
    free(made);
}

/* A model's facts; all but the first can be folded up. */
static void
model_card(struct report *r, const struct description *d, bool fold)
{
    const char *path = d->path;
    struct page_table t = { .caption = path, .columns = 2 };
    char digest[DIGEST_HEX];

    if (digest_file(path, digest, &r->failed) != 0)
        return;
    report_source(r, "model", path, digest);
    page_cell(&t, "what");
    page_cell(&t, "value");
    for (size_t k = 1; k < d->facts.n; k++) {
        page_cell(&t, "%s", d->facts.fact[k].key);
        page_cell(&t, "%s", d->facts.fact[k].text);
    }
    if (fold) {
        str_add(&r->page, "<details open><summary>");
        page_text(&r->page, path);
        str_add(&r->page, "</summary>");
    }
    page_table(&r->page, &t);
    str_add(&r->page, fold ? "</details>\n" : "");
}

/* Does every row name its fold? */
static bool
all_folds(const struct report *r)
{
    size_t i = 0;

    while (i < r->p.n && r->p.row[i].fold[0] != '\0')
        i++;
    return i == r->p.n;
}

void
part_models(struct report *r)
{
    if (r->digests.n == 0)
        page_paragraph(&r->page, "note", "Not given: --model, the models that "
                       "made the predictions.");
    for (size_t i = 0; i < r->digests.n && r->failed.status == 0; i++)
        model_card(r, &r->model[i], i > 0);
    if (r->failed.status == 0)
        check_makers(r);
    page_paragraph(&r->page, "", "Intended use: research on classification of "
                   "breast ultrasound. Not intended: any decision about a "
                   "patient. %sWhat scores well here may fail elsewhere.",
                   all_folds(r) ? "Trained and tested on scans of one "
                                  "collection. " : "");
}

/* -------------------------------------------------------------- checklists */

/*
 * An item, and where the page says what it asks for if that is on it; NULL: the
 * author must.  Needed are m: models, t: training, c: heat maps of mistakes, v:
 * operating points, p: metrics of plain folds, k: several tables, l: a manifest
 * with labels, f: and with folds, g: groups that none of these cuts, b:
 * replicates of the bootstrap.
 */
struct item {
    const char *number, *what, *filled, *needs;
};

static bool
given(const struct report *r, const char *needs)
{
    const struct report_conf *c = r->c;
    bool labels = r->has_manifest && r->labels.label >= 0, all = true;

    for (; needs != NULL && *needs != '\0'; needs++)
        all = all && (*needs == 'm'   ? c->models.n > 0
                      : *needs == 't' ? r->trained
                      : *needs == 'c' ? r->maps > 0
                      : *needs == 'v' ? r->points
                      : *needs == 'p' ? c->plain != NULL
                      : *needs == 'k' ? c->npreds > 1
                      : *needs == 'l' ? labels
                      : *needs == 'f' ? labels && r->labels.fold >= 0
                      : *needs == 'b' ? c->nboot > 0
                                      : groups_whole(r));
    return all;
}

static void
checklist(struct report *r, const char *caption, const struct item *item,
          size_t n)
{
    struct page_table t = { .caption = caption, .columns = 3 };

    page_cell(&t, "item");
    page_cell(&t, "what");
    page_cell(&t, "where");
    for (size_t i = 0; i < n; i++) {
        page_cell(&t, "%s", item[i].number);
        page_cell(&t, "%s", item[i].what);
        page_cell(&t, "%s", item[i].filled != NULL &&
                  given(r, item[i].needs) ? item[i].filled
                                          : "for the author");
    }
    page_table(&r->page, &t);
}

/* Tejani et al., Radiology: Artificial Intelligence 6(4), 2024. */
static const struct item claim[] = {
    { "1", "Title or abstract names the AI method", NULL, NULL },
    { "2", "Structured summary", NULL, NULL },
    { "3", "Scientific and clinical background", NULL, NULL },
    { "4", "Aims and hypotheses", NULL, NULL },
    { "5", "Prospective or retrospective", NULL, NULL },
    { "6", "Study goal", NULL, NULL },
    { "7", "Data sources", NULL, NULL },
    { "8", "Inclusion and exclusion criteria", NULL, NULL },
    { "9", "Data preprocessing", "Model card: recipe", "m" },
    { "10", "Selection of data subsets", "Model card: recipe (crop)", "m" },
    { "11", "De-identification", NULL, NULL },
    { "12", "Missing data", "Scans: rejected", NULL },
    { "13", "Image acquisition protocol", NULL, NULL },
    { "14", "Definition of the reference standard", NULL, NULL },
    { "15", "Rationale of the reference standard", NULL, NULL },
    { "16", "Source of reference annotations", NULL, NULL },
    { "17", "Annotation of the test set", NULL, NULL },
    { "18", "Variability of raters", NULL, NULL },
    { "19", "Assignment to partitions", "Scans: classes by fold", "f" },
    { "20", "Level at which partitions are disjoint",
      "Scans: groups of near-copies (patients are not known)", "g" },
    { "21", "Intended sample size", NULL, NULL },
    { "22", "Model description", "Model card: network, parameters", "m" },
    { "23", "Software and packages", "Provenance: version", NULL },
    { "24", "Initialisation of parameters", "Model card: seed; init, if any", "m" },
    { "25", "Training approach", "Model card: command; Training", "mt" },
    { "26", "Selection of the final model", "Model card: select, epoch", "m" },
    { "27", "Ensembling", NULL, NULL },
    { "28", "Metrics of performance", "Results", NULL },
    { "29", "Significance and uncertainty", "Results: 95 % intervals", "b" },
    { "30", "Robustness or sensitivity analysis", "Shortcuts and leaks", "p" },
    { "31", "Explainability", "Worst mistakes: heat maps", "c" },
    { "32", "Evaluation on internal data", "Results: cross-validation", "k" },
    { "33", "Testing on external data", NULL, NULL },
    { "34", "Trial registration", NULL, NULL },
    { "35", "Numbers included and excluded", "Scans: flow", NULL },
    { "36", "Demographic and clinical characteristics", NULL, NULL },
    { "37", "Performance on all partitions", "Training; Results", "t" },
    { "38", "Estimates and their precision", "Results", "b" },
    { "39", "Failure analysis", "Worst mistakes", NULL },
    { "40", "Limitations", NULL, NULL },
    { "41", "Implications for practice", NULL, NULL },
    { "42", "Full study protocol", NULL, NULL },
    { "43", "Availability of software, model and data", NULL, NULL },
    { "44", "Funding", NULL, NULL }
};

/* Collins et al., BMJ 385:e078378, 2024; items as headings. */
static const struct item tripod[] = {
    { "1", "Title", NULL, NULL },
    { "2", "Abstract", NULL, NULL },
    { "3", "Background", NULL, NULL },
    { "4", "Objectives", NULL, NULL },
    { "5", "Data: sources, dates", NULL, NULL },
    { "6", "Participants: setting, eligibility, treatment", NULL, NULL },
    { "7", "Data preparation", "Model card: recipe", "m" },
    { "8", "Outcome", NULL, NULL },
    { "9", "Predictors", "Model card: recipe (pixels alone)", "m" },
    { "10", "Sample size", "Scans: numbers; justification for the author", NULL },
    { "11", "Missing data", "Scans: rejected", NULL },
    { "12", "Analytical methods", "Model card: command; Results", "m" },
    { "13", "Class imbalance",
      "Scans: numbers of each class; Results: balanced", "l" },
    { "14", "Fairness", NULL, NULL },
    { "15", "Model output", "Calibration; Operating points", "v" },
    { "16", "Training versus evaluation data", "Scans: classes by fold", "f" },
    { "17", "Ethical approval", NULL, NULL },
    { "18", "Open science", NULL, NULL },
    { "19", "Patient and public involvement", NULL, NULL },
    { "20", "Results: participants", "Scans: numbers; rest for the author", NULL },
    { "21", "Model development", "Scans: classes by fold", "f" },
    { "22", "Full model specification", "Model card; the model file", "m" },
    { "23", "Model performance", "Results", NULL },
    { "24", "Model updating", NULL, NULL },
    { "25", "Interpretation", NULL, NULL },
    { "26", "Limitations", NULL, NULL },
    { "27", "Usability in current care", NULL, NULL }
};

void
part_checklists(struct report *r)
{
    page_paragraph(&r->page, "", "What this page can fill in of two reporting "
                   "guidelines; the rest is for the author.");
    str_add(&r->page, "<details open><summary>CLAIM 2024</summary>");
    checklist(r, "Checklist for Artificial Intelligence in Medical Imaging, "
                 "2024 update", claim, ARRAY_LEN(claim));
    str_add(&r->page, "</details>\n<details open><summary>TRIPOD+AI</summary>");
    checklist(r, "TRIPOD+AI statement, 2024, by main items", tripod,
              ARRAY_LEN(tripod));
    str_add(&r->page, "</details>\n");
}

/* -------------------------------------------------------------- provenance */

void
part_provenance(struct report *r)
{
    const struct report_conf *c = r->c;

    page_paragraph(&r->page, "", "busi-report %s; bootstrap of %zu "
                   "replicates, seed %llu.", BUSI_VERSION, c->nboot,
                   (unsigned long long)c->seed);
    str_add(&r->page, "<p><code>");
    page_text(&r->page, c->command);
    str_add(&r->page, "</code></p>\n");
    page_table(&r->page, &r->sources);
}
