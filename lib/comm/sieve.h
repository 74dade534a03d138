/*
 * sieve: what mpirun and the ranks say on stderr, less mpirun's banners.
 *
 * Open MPI wraps a failure in paragraphs between two lines of dashes.  Those
 * that say that a rank ended badly become fields here; any other is printed
 * as it stands, and so is every line of the ranks.  The same line from several
 * ranks in a row is printed once.
 */
#ifndef BUSI_COMM_SIEVE_H
#define BUSI_COMM_SIEVE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdio.h>

/* All zeros, but `out`, at first. */
struct sieve {
    FILE *out;
    struct str line;        /* the line that is coming in */
    struct str last;        /* the last line printed */
    struct str banner;      /* the paragraph that is coming in */
    bool in_banner;
    bool missed;            /* a rank was said not to answer */
    bool strange;           /* a banner was printed */
    int rank, signal;       /* this rank was killed by this signal, or 0 */
    int status;             /* or ended with this status, or 0 */
    bool spoke;             /* a rank said anything */
};

void sieve_add(struct sieve *s, const char *bytes, size_t nbytes);
/* Print what is left and release. */
void sieve_end(struct sieve *s);

#endif
