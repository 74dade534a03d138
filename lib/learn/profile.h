/*
 * profile: where the seconds of training go, and how near to the machine's
 * limit they are spent.
 */
#ifndef BUSI_LEARN_PROFILE_H
#define BUSI_LEARN_PROFILE_H

#include "backend/backend.h"

#include <stdio.h>

/* What the backend reaches at its best. */
struct profile_peak {
    double gflops;          /* a large 1x1 convolution, that is a product */
    double gbytes;          /* a copy of memory too large for caches, per
                               second, read and written */
};

/* Takes about half a second.  Plans of the backend are not in use meanwhile. */
int profile_peak(struct backend *b, struct profile_peak *p, struct err *e);

/*
 * Table of operations: name, kind, milliseconds a picture, share of the two
 * sums, GFLOP/s; those of no weight are left out.  spent[pass][op] are the
 * walk's sums over `images` > 0 pictures, and `by` (may be NULL) a plan that
 * explains what computed them.  Then a line that holds the sum against the
 * peak.
 */
void profile_ops(const struct graph *g, double *const spent[2], double images,
                 struct plan *by, const struct profile_peak *peak, FILE *to);

#endif
