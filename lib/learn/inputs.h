/*
 * inputs: the scans that a prediction goes through, one after the other.
 *
 * They are rows of a dataset, or pictures named by paths: files, folders (all
 * pictures below, in natural order), or lines of the standard input, which is
 * read as it comes.  Masks by name (scan.h) are passed over.  A file's id is
 * its path without leading "./", that of one found in a folder is its path
 * below it.
 */
#ifndef BUSI_LEARN_INPUTS_H
#define BUSI_LEARN_INPUTS_H

#include "base/table.h"
#include "data/dataset.h"
#include "learn/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
    char *id;
    char *path;             /* opens the file; NULL: a row of the dataset */
    const char *scan;       /* of a row: the file that it was, or NULL; it need
                               not be there; not owned */
    size_t row;             /* of the dataset */
    const char *label, *fold, *group;   /* "": unknown; not owned */
    const char *reason;     /* why it cannot be scored, or NULL */
    char *detail;           /* the same as a sentence */
    bool seen;              /* by a model in its training */
};

void input_release(struct input *i);
/* Give the reason; the detail is copied. */
void input_reject(struct input *i, const char *reason, const char *detail);

struct input_list {
    struct input *item;     /* [n]; those before `at` have been handed out */
    size_t n, room, at;
};

struct inputs {
    struct input_list given, below;     /* below: of a folder on stdin */
    size_t total;           /* SIZE_MAX: not known, stdin is read */
    size_t masks;           /* named, and passed over */
    bool nul;               /* lines of stdin end with NUL */
    bool end;               /* of stdin */
    char *text;             /* [room], of it [begin, nbytes) not used yet */
    size_t begin, nbytes, room;
    int stop[2];            /* a pipe: readable once we are to stop */
    bool cut;               /* a signal ended them before their end */
    struct table folds;
    bool has_folds, has_groups;
};

/*
 * Paths, ended with NULL; "-", or none at all, is the standard input.
 * inputs_close() after an error, too, here and below.
 */
int inputs_open_paths(struct inputs *in, char *const *paths, bool nul,
                      struct err *e);

/* Which rows of a dataset, and may they be scored? */
struct input_rows {
    const struct dataset *data;     /* must outlive the inputs */
    const char *folds;              /* the fold table, or NULL: all rows */
    int64_t fold;                   /* rows of this test fold */
    const struct model *models;     /* [nmodels] that are to score them */
    const char *const *names;       /* [nmodels] files of the models */
    size_t nmodels;
    bool seen;                      /* also rows that a model has seen */
};

/*
 * Errors (EXIT_INVALID, the files named): the table lacks a row of the
 * dataset, or has it with another SHA-256 or label; no row is of that fold; a
 * model had one in its training.
 */
int inputs_open_rows(struct inputs *in, const struct input_rows *r,
                     struct err *e);
void inputs_close(struct inputs *in);

enum input_next { INPUT_END, INPUT_THERE, INPUT_LATER };

/*
 * The next one, which the caller releases.  Without `wait`, INPUT_LATER when it
 * is not known yet whether there is one.  INPUT_END also when we are asked to
 * end (base/stop.h).  -1: stdin cannot be read.
 */
int inputs_next(struct inputs *in, bool wait, struct input *out,
                struct err *e);

/* From another thread: let a waiting inputs_next() return INPUT_END. */
void inputs_stop(struct inputs *in);

#endif
