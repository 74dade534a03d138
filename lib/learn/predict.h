/*
 * predict: scans in, a table of probabilities out.
 *
 * Columns: id, label, status (ok, or in one word why not), pred, p_CLASS (one
 * per class, in the models' order); with a fold table fold, and group if it
 * has that; select where a model's epoch was chosen on its own test fold; seen
 * where rows that a model has seen are allowed; cam_inside and mask_area where
 * heat maps are made (heat.h: inside, area); and model, the first digits of the
 * digest of all that decides the numbers.
 * Probabilities are printed so that they read back as the same float.
 *
 * Rows come in the order of the inputs.  While the networks work on one block
 * of scans, threads decode the next; memory holds two blocks, however many
 * scans there are.
 */
#ifndef BUSI_LEARN_PREDICT_H
#define BUSI_LEARN_PREDICT_H

#include "backend/backend.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct predict {
    struct str_list models;     /* files */
    const char *data;           /* dataset, or NULL: paths */
    const char *folds;          /* fold table, or NULL */
    int64_t fold;               /* of the rows wanted */
    char *const *paths;         /* ended with NULL; none: stdin */
    bool nul;                   /* paths on stdin end with NUL */
    const char *out;            /* the table; "-": stdout */
    const char *resume;         /* a table to be added to, or NULL */
    const char *rejects;        /* list of bad scans, or NULL: stderr */
    int tta;                    /* views of each scan */
    const char *cam;            /* folder for heat maps, or NULL */
    int batch;                  /* scans in a block */
    int jobs;                   /* threads that decode; 0: all cores */
    const char *device;         /* of backend_open() */
    struct backend_conf backend;
    bool allow_train_rows;      /* score what a model has seen in training */
};

/*
 * Returns EXIT_DONE, or EXIT_REJECTS when scans could not be scored, or -1.
 * What has been written to a stream by then stays written.  With `resume` the
 * table has the rows so far also after an error; SIGTERM and SIGINT end it at
 * the next block, and the status is 128 + the signal; rows left by a killed
 * run are kept, and scans without scores tried again if they are named again.
 */
int predict_run(const struct predict *p, struct err *e);

#endif
