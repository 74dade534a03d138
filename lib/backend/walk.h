/*
 * walk: forward and backward through a graph, on any backend.
 */
#ifndef BUSI_BACKEND_WALK_H
#define BUSI_BACKEND_WALK_H

#include "backend/backend.h"

/*
 * Run all operations on the batch fed last.  Where run() returns RUN_SHARE,
 * plan->share() adds the sums up and run() is called again.  ready may be NULL.
 * -1: the error is that of run(), share() or ready().
 */
int walk_forward(struct plan *p, struct err *e);
int walk_backward(struct plan *p, grads_ready *ready, void *ctx,
                  struct err *e);

#endif
