/*
 * err: how the library reports a failure.
 *
 * A function that can fail takes a `struct err *` as its last argument and
 * returns -1 (or NULL).  The error holds one sentence without a final stop and
 * the exit status that a program should end with.  Programs print it once, as
 * `busi-x: sentence`.  The first error set wins until err_clear().
 */
#ifndef BUSI_BASE_ERR_H
#define BUSI_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

/* Exit statuses, the same for all programs (man page busi(7)). */
enum {
    EXIT_DONE = 0,      /* all done */
    EXIT_REJECTS = 1,   /* done, some inputs were rejected and listed */
    EXIT_USAGE = 2,     /* wrong options or arguments */
    EXIT_INVALID = 3,   /* an input is invalid, corrupt or does not belong */
    EXIT_IO = 4,        /* cannot read, write or allocate */
    EXIT_NUMBERS = 5    /* NaN or infinity in the numbers */
};

struct err {
    int status;         /* 0: no error; else one of EXIT_* */
    bool shortage;      /* of descriptors, memory or processes: not the fault
                           of what was to be read */
    char text[1024];    /* one sentence, NUL-ended, cut if too long */
};

/* Set e (if it is not set yet) and return -1.  e may be NULL. */
int err_set(struct err *e, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, with ": " and the text of errno at the end; status EXIT_IO. */
int err_errno(struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Set `to` (if it is not set yet) to what `from` says, which is an error. */
int err_copy(struct err *to, const struct err *from);

void err_clear(struct err *e);

#endif
