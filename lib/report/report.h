/*
 * report: one self-contained HTML page about a cross-validation.
 *
 * Numbers are those of busi-eval (learn/evaluate.h): the page computes curves
 * and operating points only.  What a section needs and was not given is said in
 * its place.
 */
#ifndef BUSI_REPORT_REPORT_H
#define BUSI_REPORT_REPORT_H

#include "base/err.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

struct report_conf {
    const char *out;            /* the page; "-": stdout */
    const char *title;
    const char *manifest;       /* with labels, groups, folds, paths; or NULL */
    const char *plain;          /* metrics of plain folds, or NULL */
    const char *cam;            /* folder of heat maps, or NULL */
    const char *positive;       /* class of operating points; NULL: malignant
                                   if there is one, else the second */
    struct str_list logs, models, validation;
    const char *rejects;        /* logs and pictures that cannot be read; NULL:
                                   stderr */
    char *const *preds;         /* [npreds] */
    size_t npreds;
    uint64_t seed;              /* of the bootstrap */
    size_t nboot;
    const char *command;
};

/*
 * 0, or 1 if a log or a picture could not be read: the page says which, and is
 * whole apart from it.  Errors (-1) are those of the other files read and of
 * the page written.
 */
int report_write(const struct report_conf *c, struct err *e);

#endif
