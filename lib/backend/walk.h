/*
 * walk: forward and backward through a graph, on any backend.
 */
#ifndef BUSI_BACKEND_WALK_H
#define BUSI_BACKEND_WALK_H

#include "backend/backend.h"

/* Called once the gradients of params[begin, end) have been enqueued. */
typedef int walk_ready(void *ctx, size_t begin, size_t end, struct err *e);

int walk_forward(struct plan *p, struct err *e);

/* ready may be NULL. */
int walk_backward(struct plan *p, walk_ready *ready, void *ctx,
                  struct err *e);

#endif
