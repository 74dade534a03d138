/*
 * exchange: gradients are summed over the ranks, in buckets, while the
 * backward pass goes on.
 *
 * The pass makes them from the end of the vector to its start.  As soon as the
 * last `bucket` numbers that were not sent yet are there, their sum is begun
 * (comm.h).  The sums have the same bits whatever the size of a bucket.
 */
#ifndef BUSI_LEARN_EXCHANGE_H
#define BUSI_LEARN_EXCHANGE_H

#include "backend/backend.h"
#include "comm/comm.h"

struct exchange {
    struct backend *backend;
    struct comm *comm;
    const struct graph *graph;
    float *grads;           /* [graph.nparams] of the backend */
    size_t bucket;          /* numbers */
    size_t sent;            /* of this step: [sent, nparams) is under way */
    bool idle;              /* this rank goes through the step without pictures:
                               what ready() is given counts as zeros */
};

/*
 * mb: megabytes in a bucket; 0: so many that a sum's latency is a twentieth of
 * its time, as measured now, between 1 and 32.  All ranks call it.
 */
int exchange_open(struct exchange *x, double mb, struct err *e);
/* Numbers in a bucket, of mb as above, by seconds of latency and bytes/s. */
size_t exchange_bucket(double mb, double latency, double rate);

/*
 * Of each step: ready() for each operation's gradients (a grads_ready of an
 * exchange), or nothing() for a rank without pictures, then end().  Of a whole
 * step of the backend's: its struct reduction.
 */
int exchange_ready(void *x, size_t begin, size_t end, struct err *e);
int exchange_nothing(struct exchange *x, struct err *e);
int exchange_end(void *x, struct err *e);

#endif
