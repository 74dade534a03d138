/*
 * cudnn_conv: cuDNN's convolutions (with cudnn_conv.c the only place that
 * knows cuDNN).
 *
 * cuDNN is opened at run time; 9.8 or later.  Its backend (graph) API is asked
 * for engines that can do a convolution, those that break a promise below are
 * left out, and of the rest the fastest is taken, by timing; the first that
 * works, where the same bits are promised for every run.  What was chosen is
 * kept in $XDG_CACHE_HOME/busi (or ~/.cache/busi), one file for each GPU model,
 * cuDNN version and set of promises.
 *
 * Pictures are [N,H,W,C], weights [K,R,R,C], in bf16 or f32, sums in f32.  C
 * and K must be multiples of 8: with 3 channels cuDNN 9.19 itself pads to 8, in
 * every run (its plans ask for just that workspace).  A linear layer is the
 * case H = W = R = 1.
 */
#ifndef BUSI_BACKEND_CUDNN_CONV_H
#define BUSI_BACKEND_CUDNN_CONV_H

#include "backend/gpu.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct cudnn;
struct cudnn_plan;

enum conv_pass { CONV_FORWARD, CONV_DATA, CONV_WEIGHTS, CONV_PASSES };

struct cudnn_conf {
    struct gpu *gpu;        /* NULL: plans for the device below, to build and
                               not to run; the first that fits is taken */
    const char *device;     /* its properties, as cuDNN's JSON */
    bool deterministic;     /* same bits in every run */
    bool tf32;              /* f32 may be rounded to 10 bits of mantissa */
    size_t workspace;       /* bytes that a plan may ask for */
};

struct conv_shape {
    int n, c, h, w;         /* input; c rounded up to 8 */
    int k;                  /* output channels, rounded up to 8 */
    int kernel, stride, pad;
    bool bf16;
    bool bias_relu;         /* forward: y = max(x * w + bias, 0) */
};

/* Errors, EXIT_IO: there is no cuDNN, or it is too old. */
struct cudnn *cudnn_open(const struct cudnn_conf *c, struct err *e);
/* Plans end with it.  Saves what was chosen, if it can. */
void cudnn_close(struct cudnn *d);
/* "cuDNN 9.19.0" */
const char *cudnn_about(const struct cudnn *d);
/* What went wrong last, in cuDNN's words. */
void cudnn_why(const struct cudnn *d, char text[256]);

/*
 * A plan for one pass; the same for the same shape.  Errors, EXIT_IO: cuDNN
 * has no engine for it.
 */
const struct cudnn_plan *cudnn_plan(struct cudnn *d,
                                    const struct conv_shape *s,
                                    enum conv_pass pass, struct err *e);
/* Give back what timing needed, once all plans are there. */
void cudnn_planned(struct cudnn *d);

/* Bytes of scratch that cudnn_run() needs. */
size_t cudnn_workspace(const struct cudnn_plan *p);
/* "engine 38, 0.031 ms" */
const char *cudnn_explain(const struct cudnn_plan *p);

/*
 * Enqueue: forward y = x * w; data: dx (as x) of dy (as y) and w; weights: dw
 * (as w) of x and dy (as y).  What a pass makes is overwritten.  bias [K] is of
 * the stored type; NULL without bias_relu.
 */
int cudnn_run(struct cudnn *d, const struct cudnn_plan *p, void *x, void *w,
              void *bias, void *y, void *workspace);

#endif
