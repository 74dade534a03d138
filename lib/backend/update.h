/*
 * update: one optimiser step on vectors in host memory.
 *
 * The formulas stand with struct update in backend.h.  Elements do not depend
 * on each other, so a backend with threads gives each a range of its own.
 */
#ifndef BUSI_BACKEND_UPDATE_H
#define BUSI_BACKEND_UPDATE_H

#include "backend/backend.h"

/* Step params[begin, end).  Gradients are only read. */
void update_host(const struct update *u);

#endif
