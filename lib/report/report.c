#include "report/report.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "report/parts.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------- used by all parts */

static void
shorten(char to[16], const char *number)
{
    double x;

    if (str_real(number, &x))
        snprintf(to, 16, "%.3f", x);
    else
        snprintf(to, 16, "%s", number);
}

void
report_number(struct page_table *t, const char *number)
{
    char text[16];

    shorten(text, number);
    page_cell(t, "%s", text);
}

char *
report_interval(const struct report *r, const char *metric, const char *class)
{
    static const char *const columns[] = { "value", "lo", "hi" };
    char cell[3][16];

    for (int i = 0; i < 3; i++)
        shorten(cell[i], evaluate_cell(&r->metrics, metric, class, "pooled",
                                       columns[i]));
    if (strcmp(cell[1], "NA") == 0)
        return str_format("%s", cell[0]);
    return str_format("%s (%s to %s)", cell[0], cell[1], cell[2]);
}

void
report_source(struct report *r, const char *what, const char *path,
              const char *digest)
{
    page_cell(&r->sources, "%s", what);
    page_cell(&r->sources, "%s", path);
    page_cell(&r->sources, "%s", digest);
}

void
report_plot(struct report *r, struct plot *p, const char *caption)
{
    struct str svg = { 0 };
    bool empty = plot_empty(p);
    int rc = 1;

    str_add(&r->page, "<figure>");
    if (!empty && !r->no_plots && r->failed.status == 0)
        rc = plot_svg(p, &svg, &r->failed);
    if (!empty && rc == 1 && !r->no_plots && r->failed.status == 0) {
        r->no_plots = true;
        log_warn("gnuplot is not installed: the page has no diagrams");
    }
    if (rc == 0)
        page_image(&r->page, "image/svg+xml", svg.text, svg.n, caption);
    else
        page_paragraph(&r->page, "note", "No diagram: %s.", empty
                       ? "there are no numbers" : "gnuplot is not installed");
    str_add(&r->page, "<figcaption>");
    page_text(&r->page, caption);
    str_add(&r->page, "</figcaption></figure>\n");
    str_release(&svg);
    plot_release(p);
}

/* -------------------------------------------------------------------- input */

static int
find_positive(struct report *r, struct err *e)
{
    const struct str_list *k = &r->p.classes;
    const char *name = r->c->positive != NULL ? r->c->positive : "malignant";

    r->positive = (int)str_list_find(k, name);
    if (r->positive < 0 && r->c->positive != NULL)
        return err_set(e, EXIT_USAGE, "there is no class '%s'", name);
    if (r->positive < 0)
        r->positive = k->n > 1 ? 1 : 0;
    return 0;
}

/* The folds of the manifest are those that the tables were scored by. */
static int
check_folds(const struct report *r, struct err *e)
{
    const struct labels *l = &r->labels;

    for (size_t i = 0; r->has_manifest && l->fold >= 0 && i < r->p.n; i++) {
        const struct prediction *p = &r->p.row[i];
        const struct prediction_file *f = &r->p.file[p->file];
        long row = labels_find(l, p->id);

        if (f->fold != NULL && row >= 0 &&
            strcmp(l->table.row[row][l->fold], f->fold) != 0)
            return err_set(e, EXIT_INVALID, "'%s' has '%s' in fold %s, and "
                           "'%s' in fold %s", l->table.path, p->id,
                           l->table.row[row][l->fold], f->table.path,
                           f->fold);
    }
    return 0;
}

static int
read_models(struct report *r, struct err *e)
{
    const struct str_list *paths = &r->c->models;
    const struct describe_conf conf = { false, false };

    r->model = mem_array(paths->n, sizeof *r->model);
    for (size_t i = 0; i < paths->n; i++) {
        if (describe_open(&r->model[i], paths->item[i], &conf, e) != 0)
            return -1;
        str_list_add(&r->digests, r->model[i].digest);
        if (r->model[i].kind != FILE_MODEL)
            return err_set(e, EXIT_INVALID, "'%s' is not a model",
                           paths->item[i]);
    }
    return 0;
}

static int
read_all(struct report *r, struct err *e)
{
    const struct report_conf *c = r->c;
    struct evaluate_conf conf = { .seed = c->seed, .nboot = c->nboot };

    if (c->manifest != NULL) {
        if (labels_read(&r->labels, c->manifest, e) != 0)
            return -1;
        r->has_manifest = true;
        report_source(r, "manifest", r->labels.table.path,
                      r->labels.table.digest);
    }
    for (size_t i = 0; i < c->npreds; i++) {
        if (predictions_add(&r->p, c->preds[i],
                            r->has_manifest ? &r->labels : NULL, e) != 0)
            return -1;
        report_source(r, "predictions", r->p.file[i].table.path,
                      r->p.file[i].table.digest);
    }
    if (predictions_settle(&r->p, e) != 0 || find_positive(r, e) != 0 ||
        check_folds(r, e) != 0 || read_models(r, e) != 0)
        return -1;
    if (r->has_manifest)
        r->lacking = predictions_lack(&r->p, &r->labels);
    return evaluate_table(&r->p, &conf, &r->metrics, e);
}

static int
write_page(struct report *r, struct err *e)
{
    static const struct {
        const char *heading;
        void (*add)(struct report *);
    } part[] = {
        { "Scans", part_scans }, { "Training", part_training },
        { "Results", part_metrics }, { "Discrimination", part_discrimination },
        { "Calibration", part_calibration },
        { "Operating points", part_operating },
        { "Decision curve", part_benefit },
        { "Shortcuts and leaks", part_leaks },
        { "Worst mistakes", part_mistakes }, { "Model card", part_models },
        { "Checklists", part_checklists }, { "Provenance", part_provenance }
    };

    page_open(&r->page, r->c->title);
    part_summary(r);
    for (size_t i = 0; i < ARRAY_LEN(part) && r->failed.status == 0; i++) {
        page_section(&r->page, part[i].heading);
        part[i].add(r);
        page_end(&r->page);
    }
    page_close(&r->page);
    return r->failed.status == 0 ? 0 : err_copy(e, &r->failed);
}

int
report_write(const struct report_conf *c, struct err *e)
{
    struct report r = {
        .c = c,
        .sources = { .caption = "SHA-256 of the files read", .columns = 3 }
    };
    struct file_out out;
    bool any;
    int rc;

    report_source(&r, "what", "file", "SHA-256");
    rc = reject_open(&r.rejects, c->rejects, e);
    if (rc == 0)
        rc = read_all(&r, e);
    if (rc == 0)
        rc = write_page(&r, e);
    any = r.rejects.n > 0;
    if (rc == 0)
        rc = reject_close(&r.rejects, e);
    if (rc == 0 && (rc = file_out_open(&out, c->out, e)) == 0) {
        fwrite(r.page.text, 1, r.page.n, out.stream);
        rc = file_out_close(&out, e);
    }
    reject_drop(&r.rejects);
    str_release(&r.page);
    str_list_release(&r.sources.cells);
    for (size_t i = 0; i < r.digests.n; i++)
        describe_release(&r.model[i]);
    free(r.model);
    str_list_release(&r.digests);
    table_release(&r.metrics);
    predictions_release(&r.p);
    labels_release(&r.labels);
    return rc == 0 && any ? 1 : rc;
}
