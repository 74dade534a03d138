/*
 * child: another program, run on bytes.
 *
 * It sees them on its standard input, may take 2 GB and a minute of a
 * processor, outlives a ^C, and whatever it does stays its own: what it wrote
 * comes back.
 */
#ifndef BUSI_BASE_CHILD_H
#define BUSI_BASE_CHILD_H

#include "base/err.h"
#include "base/str.h"

enum { CHILD_NOT_FOUND = 127, CHILD_KILLED };

/*
 * Run args (up to a NULL, 16 at most; [0] is looked for in PATH) to its end and
 * add to *out and *said its standard output and error.  Returns its status, as
 * a shell has it, CHILD_KILLED also of one that wrote more than `limit` bytes.
 * Error (EXIT_IO): it cannot be run at all.
 */
int child_run(const char *const *args, const void *in, size_t nbytes,
              size_t limit, struct str *out, struct str *said, struct err *e);

#endif
