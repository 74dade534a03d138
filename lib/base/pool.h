/*
 * pool: the same work on many items, in threads.
 */
#ifndef BUSI_BASE_POOL_H
#define BUSI_BASE_POOL_H

#include "base/err.h"

#include <stddef.h>

/* Processors this process may use. */
int pool_cores(void);

/*
 * How many cores this process can have for itself: those it kept busy since the
 * last measurement and those that stood idle meanwhile, from 1 to `most`.
 * Measured twice a second at most; `most` before that, and where /proc/stat
 * does not tell.  *r: zeros at first.
 */
struct pool_room {
    double at, own, idle, all;  /* seconds: clock, of this process, of cores */
    int cores;
};
int pool_room(struct pool_room *r, int most);

/*
 * Can so many threads run at a time?  Libraries that start their own end the
 * program where they cannot.  EXIT_IO.
 */
int pool_check(int threads, struct err *e);

/*
 * Call work(ctx, i, thread) for every i < n, in `threads` threads (at most n;
 * 0: all cores), items handed out in order one by one, and return when all are
 * done.  thread < threads.
 */
void pool_run(int threads, size_t n,
              void (*work)(void *ctx, size_t i, int thread), void *ctx);

/*
 * The same for work that can fail.  The error is that of the lowest item that
 * fails, whatever the threads; items behind it may be left out.
 */
int pool_try(int threads, size_t n,
             int (*work)(void *ctx, size_t i, int thread, struct err *e),
             void *ctx, struct err *e);

#endif
