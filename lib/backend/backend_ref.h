/*
 * backend_ref: the oracle, in plain C.
 *
 * float32 in NCHW, sums in double, one thread, nothing fused: every value and
 * every gradient (that of the pictures too) is kept and can be peeked at.
 * ResNet-18 takes a few seconds a picture.  Peeking at the loss gives the
 * softmax.
 */
#ifndef BUSI_BACKEND_BACKEND_REF_H
#define BUSI_BACKEND_BACKEND_REF_H

#include "backend/backend.h"

extern const struct backend_class backend_ref_class;

#endif
