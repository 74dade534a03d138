/*
 * reject: inputs that a program leaves out, one line each.
 *
 *     path TAB reason TAB detail
 *
 * The reason is one word for scripts, the detail a sentence for people; cells
 * are escaped as in tables.  The lines go to stderr or to the file of
 * --rejects; a program that rejected anything ends with EXIT_REJECTS.
 */
#ifndef BUSI_BASE_REJECT_H
#define BUSI_BASE_REJECT_H

#include "base/err.h"
#include "base/file.h"

#include <stddef.h>

struct reject {
    struct file_out out;    /* unused when the lines go to stderr */
    size_t n;               /* lines so far */
};

/* path NULL: stderr. */
int reject_open(struct reject *r, const char *path, struct err *e);
void reject_add(struct reject *r, const char *path, const char *reason,
                const char *detail);
/*
 * The reason where reading a file failed: "unreadable", "invalid", or, this one
 * pointer, that the machine lacked something.  The file may be sound then: no
 * row is to say otherwise, and the run ends with EXIT_IO.
 */
extern const char reject_shortage[];
const char *reject_reason(const struct err *e);
int reject_close(struct reject *r, struct err *e);
/* Give up; harmless after close or on all zeros. */
void reject_drop(struct reject *r);

#endif
