/*
 * parts: the sections of a report (shared by report.c and its sections).
 */
#ifndef BUSI_REPORT_PARTS_H
#define BUSI_REPORT_PARTS_H

#include "base/reject.h"
#include "learn/describe.h"
#include "learn/evaluate.h"
#include "learn/predictions.h"
#include "report/page.h"
#include "report/plot.h"
#include "report/report.h"

struct report {
    const struct report_conf *c;
    struct str page;
    struct predictions p;
    struct labels labels;       /* the manifest, if has_manifest */
    bool has_manifest;
    size_t lacking;             /* scans of it that no table has */
    struct description *model;  /* [digests.n], of --model */
    struct str_list digests;    /* theirs */
    struct table metrics;       /* of busi-eval */
    int positive;               /* class */
    bool no_plots;              /* gnuplot is not installed */
    struct page_table sources;  /* the files read, and their digests */
    struct reject rejects;      /* logs and pictures that could not be read */
    size_t maps;                /* heat maps shown */
    bool trained, points;       /* training, operating points are shown */
    struct err failed;          /* first error of a part: no page is made */
};

/* A cell with a number to three digits; what is none (NA) as it is. */
void report_number(struct page_table *t, const char *number);
/* "0.712 (0.675 to 0.746)", of the pooled folds. */
char *report_interval(const struct report *r, const char *metric,
                      const char *class);
/* Provenance will tell of this file, which was read. */
void report_source(struct report *r, const char *what, const char *path,
                   const char *digest);
/* A diagram with its caption, or why there is none; ends the plot. */
void report_plot(struct report *r, struct plot *p, const char *caption);

/*
 * Each fills its section of the page, or sets r->failed; the summary stands
 * before the first.
 */
void part_summary(struct report *r);
void part_scans(struct report *r);
void part_training(struct report *r);
void part_metrics(struct report *r);
void part_discrimination(struct report *r);
void part_calibration(struct report *r);
void part_operating(struct report *r);
void part_benefit(struct report *r);
void part_leaks(struct report *r);
void part_mistakes(struct report *r);
void part_models(struct report *r);
void part_checklists(struct report *r);
void part_provenance(struct report *r);

#endif
