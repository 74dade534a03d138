/*
 * scale: what N GPUs (or ranks) would give, computed rather than run.
 *
 * A step of one rank is forward, backward and update of its share of the batch.
 * The seconds of each operation are measured on this device with batches of
 * that share, or stated as a rate: then an operation takes as long as its
 * multiplications (forward a third, backward two; none of the picture's
 * gradient) and the others no time, so the rate to state is that of a whole
 * step.
 *
 * Gradients of S bytes are summed by a ring (Patarasuk, Yuan: Bandwidth optimal
 * all-reduce algorithms for clusters of workstations; 2009): every rank sends
 * and receives 2 (N-1)/N S bytes, in 2 (N-1) messages of one latency each,
 *
 *     seconds = 2 (N-1)/N S / rate + 2 (N-1) latency.
 *
 * They go in buckets (exchange.h), one after the other, each as soon as the
 * backward pass has made it; what lasts beyond that pass is exposed.  An
 * update waits for all of them.  Input, start-up, validation and saving are
 * left out: what a real run takes beyond this is theirs.
 */
#ifndef BUSI_LEARN_SCALE_H
#define BUSI_LEARN_SCALE_H

#include "backend/backend.h"

#include <stdio.h>

struct scale_conf {
    const char *gpus;           /* "2,4,8"; one GPU comes first anyway */
    const char *link;           /* "10GB/s,20us", "900MB/s": of each rank, and
                                   latency of a message, 20 us if not said */
    double gflops;              /* of a rank, stated; 0: measured here */
    double bucket_mb;           /* 0: 20 latencies' worth, 1 to 32 */
};

/* One step of N ranks. */
struct scale_step {
    double compute;             /* seconds: forward, backward, update */
    double exchange;            /* the ring, hidden or not */
    double exposed;             /* of it, not hidden */
    double step;
};

/*
 * seconds: [nops] forward and backward of a rank's share; update in seconds, rate
 * in bytes per second, latency in seconds, bucket in floats.
 */
void scale_step(const struct graph *g, double *const seconds[2],
                double update, int n, double rate, double latency,
                size_t bucket, struct scale_step *out);

/*
 * A table for a global batch and `rows` training rows: gpus, batch of each,
 * ms of computing, exchange and its exposed part, ms of a step, images/s,
 * speed-up over one, efficiency, seconds of an epoch.  EXIT_USAGE: a list or a
 * rate that cannot be read.
 */
int scale_say(const struct scale_conf *c, struct backend *b,
              const struct graph *g, const float *params, size_t batch,
              size_t rows, FILE *out, struct err *e);

#endif
