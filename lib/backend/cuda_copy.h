/*
 * cuda_copy: parameters once more, packed as the convolutions read them.
 *
 * The kernel that updates parameters writes their copy in the same pass.  Only
 * what came another way (from the host, or into the moving average) is packed
 * before it is read next: once, however many batches read it.
 */
#ifndef BUSI_BACKEND_CUDA_COPY_H
#define BUSI_BACKEND_CUDA_COPY_H

#include "base/err.h"
#include "kernels/cuda.h"

#include <stdbool.h>
#include <stddef.h>

struct cuda;
struct cuda_plan;
struct graph;

struct cuda_copy {
    struct cuda_copy *next;
    const struct graph *graph;
    const float *params;        /* whose copy it is */
    int uses;                   /* plans */
    struct cuda_copying to;
    uint32_t blocks;            /* of the launch that packs all */
    bool fresh;                 /* it holds what params hold */
};

/*
 * Give plan p, whose units are open, its copy: where each weight is packed is
 * set in them.  Errors: EXIT_IO, no memory.
 */
int cuda_copy_open(struct cuda_plan *p, struct err *e);
/* Of a plan that may have none. */
void cuda_copy_close(struct cuda_plan *p);

/* Pack, unless the copy is fresh. */
void cuda_copy_freshen(struct cuda *c, struct cuda_copy *k);
/* params [n] were changed by other means. */
void cuda_copy_stale(struct cuda *c, const float *params, size_t n);
/* The copy that updates of params write, or NULL. */
struct cuda_copy *cuda_copy_of(const struct cuda *c, const float *params);
/* An update has moved params and ema (may be NULL) and has written `written`
 * (may be NULL): other copies of theirs are not fresh. */
void cuda_copy_moved(struct cuda *c, const float *params, const float *ema,
                     const struct cuda_copy *written);

#endif
