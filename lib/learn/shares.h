/*
 * shares: where the time of several ranks went, and where to look first.
 */
#ifndef BUSI_LEARN_SHARES_H
#define BUSI_LEARN_SHARES_H

#include "comm/comm.h"

#include <stdio.h>

/* Of the training steps of one rank, in seconds. */
struct shares {
    double input;               /* batches made ready */
    double compute;             /* forward, backward, update */
    double waiting;             /* for ranks that computed longer */
    double exchange;            /* of gradients, as far as not hidden */
};

/*
 * A line per rank, and one that names what costs most besides computing; rank 0
 * prints, all ranks call it.
 */
int shares_say(struct comm *c, const struct shares *mine, FILE *out,
               struct err *e);

#endif
