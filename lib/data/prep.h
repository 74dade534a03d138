/*
 * prep: scans into a dataset, by a recipe.
 *
 * Rows come in the manifest's order whatever the number of threads, and the
 * file's bytes depend on the manifest, the scans and the settings alone.  Scans
 * are decoded in blocks, so that memory holds a block of pictures and the
 * manifest, however many scans there are.
 */
#ifndef BUSI_DATA_PREP_H
#define BUSI_DATA_PREP_H

#include "base/err.h"
#include "data/recipe.h"

#include <stdbool.h>

struct prep {
    const char *manifest;   /* path or "-"; columns id, path, and if they are
                               there label and sha256 */
    const char *out;        /* the dataset */
    struct recipe recipe;
    bool f32;               /* normalised floats, else bytes */
    int threads;            /* 0: all cores */
    bool skip;              /* leave bad scans out, else fail */
    const char *rejects;    /* list of bad scans, or NULL */
    const char *marks;      /* the manifest with a column `marks` (marks.h)
                               goes here, or NULL */
    const char *classes;    /* comma-separated, or NULL: labels found */
};

/*
 * Returns EXIT_DONE, or EXIT_REJECTS when scans were left out, or -1.  Without
 * `skip` a bad scan fails the run, after all of them have been named.
 */
int prep_run(const struct prep *p, struct err *e);

#endif
