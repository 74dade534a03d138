/*
 * cuda_units: one unit of a plan on the GPU, forward and backward.
 *
 * Convolutions by cuDNN, but for depthwise ones of 3 x 3; a linear layer is a
 * convolution of one pixel.  Groups other than depthwise are run dense, with
 * zeros in the weights.  All else by kernels/cuda.h.
 *
 * Convolutions read their weights from a packed copy (cuda_copy.h), one for
 * each vector of parameters, that all its plans share.
 */
#ifndef BUSI_BACKEND_CUDA_UNITS_H
#define BUSI_BACKEND_CUDA_UNITS_H

#include "backend/cuda_copy.h"
#include "backend/cudnn_conv.h"
#include "backend/gpu.h"
#include "backend/units.h"
#include "kernels/cuda.h"

/* Scratch on the GPU that plans share; it only grows. */
struct room {
    char *p;
    size_t nbytes;
};

struct cuda {
    struct backend head;
    struct gpu gpu;
    struct cudnn *dnn;
    struct unit_shape shape;
    bool bf16;
    struct room arena;      /* values and gradients of all plans */
    struct room dw;         /* packed gradient of one of them */
    struct room work;       /* cuDNN's */
    struct room sums;       /* the kernels' */
    struct room rows[2];    /* packed input and output of a linear layer */
    struct room plain;      /* a batch as it comes: f32 [n,c,h,w] */
    struct room held;       /* pixels of the resident pictures */
    struct room epoch;      /* what struct epoch points to */
    struct cuda_step *step; /* [CUDA_STEPS] of the updates asked for last */
    size_t span[CUDA_STEPS];    /* parameters that they may move */
    struct cuda_epoch *turns;   /* of the epoch that runs */
    struct cuda_epoch turn;     /* the same, as the host knows it */
    struct cuda_copy *copies;   /* packed parameters */
    const float *trained, *averaged;    /* params and ema of the epoch's steps;
                                           NULL: none */
    double *out;            /* [4]: loss, correct, and their sums */
    int channels, h, w;     /* of the resident pictures */
    bool no_graphs;         /* steps could not be recorded */
    uint64_t moved;         /* counts how often any of these has moved */
};

struct cuda_plan {
    struct unit_plan u;     /* its targets, samples are not used */
    float *vectors;         /* of all batch-norms */
    float *targets;         /* [n,K] of the last feed */
    int32_t *labels;        /* [n], -1: unknown */
    uint32_t *samples;      /* [n] */
    struct cuda_now *now;
    struct cuda_copy *copy; /* of its parameters */
    struct gpu_graph *graph;    /* a whole step, NULL: not recorded */
    uint64_t moved;         /* the backend's count as it was recorded */
    int steps;              /* whole steps done */
};

struct cuda_unit {
    const struct cudnn_plan *conv[CONV_PASSES];     /* NULL: not needed */
    struct cuda_packing packing;    /* of the weights; .w is always there */
    bool packed;            /* they are; else read where they stand */
    struct cuda_packing bias;   /* .flat NULL: not packed */
    bool fused;             /* with the convolution: bias and ReLU */
    struct cuda_bn norm;    /* OP_BN */
    bool depthwise;
};

/*
 * Choose and size everything that unit u needs; `vectors` is moved behind what
 * it takes.  Errors: EXIT_IO, no memory or no engine.
 */
int cuda_unit_open(struct cuda_plan *p, struct unit *u, float **vectors,
                   struct err *e);
/* Floats that cuda_unit_open() takes of the vectors. */
size_t cuda_unit_vectors(const struct cuda_plan *p, const struct unit *u);

/* Enqueue.  -1: cuDNN failed. */
int cuda_unit_forward(struct cuda_plan *p, struct unit *u);
int cuda_unit_backward(struct cuda_plan *p, struct unit *u);

/* The backend's step of an update: what cuda_step() reads. */
struct cuda_step cuda_step_of(const struct update *u);

/* Of backend.h; whole steps (cuda_epoch.c). */
int cuda_hold(struct backend *b, const struct resident *r, struct err *e);
int cuda_epoch_begin(struct backend *b, const struct epoch *x,
                     struct err *e);
int cuda_whole_step(struct plan *p, struct err *e);
int cuda_sums(struct backend *b, double *loss, double *correct,
              struct err *e);

/* Let r have nbytes at least. */
int cuda_room(struct cuda *c, struct room *r, size_t nbytes, struct err *e);

static inline struct cuda *
cuda_of(const struct cuda_plan *p)
{
    return (struct cuda *)p->u.head.backend;
}

static inline struct cuda_unit *
cuda_mine(const struct unit *u)
{
    return u->own;
}

/* What a slot of the arena, or a value, holds. */
static inline void *
cuda_slot(const struct cuda_plan *p, int slot)
{
    return cuda_of(p)->arena.p + p->u.arena.slot[slot].offset;
}

static inline void *
cuda_value(const struct cuda_plan *p, int v)
{
    return cuda_slot(p, p->u.value[v]);
}

#endif
