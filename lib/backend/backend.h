/*
 * backend: where a network is computed.
 *
 * A backend is a table of functions over its own memory.  The walk calls run()
 * for each operation, forward in order and backward in reverse; a backend may
 * do the work of several operations in one of them (batch-norm, add and ReLU,
 * say) and nothing in the others.  Chosen by name:
 *
 *     ref     plain C, the oracle of the tests
 *     cpu     oneDNN and own vector kernels
 *     cuda    cuDNN and own kernels
 *
 * All but ref are plugins (lib/busi/backend_NAME.so beside the program's
 * folder) that are opened when asked for, so that one program serves machines
 * with and without the libraries they need.
 *
 * Semantics, the same everywhere (they are PyTorch's):
 * - Batch normalisation: eps is BN_EPS; training normalises by the batch's
 *   biased variance and moves the running statistics by BN_MOMENTUM towards
 *   the batch's mean and unbiased variance; evaluation uses the running ones.
 * - Dropout: y = x / (1-p) where the draw of (seed, RNG_DROPOUT, epoch,
 *   sample), element number op * 2^20 + f, is >= p, else 0.
 * - Loss: L = -sum_{n,k} target[n,k] * log softmax(z)[n,k].  Class weights,
 *   label smoothing and the division by the global batch are in the targets;
 *   dL/dz[n,k] = softmax(z)[n,k] * sum_j target[n,j] - target[n,k].
 * - Gradients of parameters are stored, not added, by a backward pass.
 */
#ifndef BUSI_BACKEND_BACKEND_H
#define BUSI_BACKEND_BACKEND_H

#include "base/err.h"
#include "data/augment_map.h"
#include "model/graph.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* tf32: f32 that a GPU may round to 10 bits of mantissa as it multiplies. */
enum dtype_choice { DTYPE_AUTO, DTYPE_F32, DTYPE_BF16, DTYPE_TF32 };
enum mode { MODE_TRAIN, MODE_EVAL };
enum pass { PASS_FORWARD, PASS_BACKWARD };

struct backend_conf {
    enum dtype_choice dtype;    /* of activations; auto: what is fastest */
    int threads;                /* 0: as many as the machine has */
    int device;                 /* number of the GPU, -1: any */
    bool deterministic;         /* wanted: same bits whatever the threads */
    int shards;                 /* cpu: into so many a batch is cut
                                   (cpu_shards.h); 0: into what is best, for */
    size_t nparams;             /* training a network of so many floats */
    int batch;                  /* by so many pictures; 0: not for training */
    bool sync_bn;               /* batch-norm over all places that a batch
                                   lies in: see RUN_SHARE */
    bool recompute;             /* cpu: hold no batch-norm's value until the
                                   backward pass if it can be made again from
                                   its input; the same bits, less memory */
    bool keep;                  /* share no memory, so that peek() works */
};

/*
 * What run() returns besides 0 and -1: a batch-norm that is computed over
 * several plans (sync_bn) has left its sums in the plan's `sums`.  Add them up
 * over all plans, in place, and call run() again with the same arguments.
 */
enum { RUN_SHARE = 1 };

/* One batch, in host memory. */
struct feed {
    int n;                      /* pictures; as many as the plan's, or fewer
                                   in eval; with sync_bn also 0: the plan's
                                   sums are 0, its gradients worthless */
    const float *images;        /* [N,C,H,W], normalised */
    const float *targets;       /* [N,K]; NULL: no loss is wanted */
    const uint32_t *samples;    /* [N] numbers for dropout; NULL in eval */
    uint64_t seed;
    uint32_t epoch;
};

/* Vectors of one network in the backend's memory. */
struct vectors {
    float *params;              /* [graph.nparams] */
    float *buffers;             /* [graph.nbuffers] */
    float *grads;               /* [graph.nparams]; NULL in eval */
};

enum update_rule { UPDATE_SGD, UPDATE_ADAMW };

/*
 * One optimiser step over params[begin, end).  SGD as PyTorch's:
 * g += decay * w; m = momentum * m + g (m = g at step 1); w -= lr * m.
 * AdamW (Loshchilov, Hutter 2019): w -= lr * decay * w; m = b1 m + (1-b1) g;
 * v = b2 v + (1-b2) g^2; w -= lr / (1-b1^t) * m / (sqrt(v / (1-b2^t)) + eps).
 * EMA, where ema is given: ema += (1 - ema_decay) * (w - ema).
 */
struct update {
    enum update_rule rule;
    size_t begin, end;          /* floats */
    int64_t step;               /* t, from 1 */
    float lr, momentum, decay;
    float beta1, beta2, eps;    /* AdamW */
    float ema_decay;
    float *params, *grads;      /* backend memory, whole vectors */
    float *m, *v;               /* moments; v for AdamW only */
    float *ema;                 /* NULL: none */
};

/* Pictures that stay in the backend's memory. */
struct resident {
    size_t n;
    int c, h, w;
    const uint8_t *pixels;      /* [n,h,w,c] */
};

enum { UPDATES = 2 };           /* of a step: of body and head */

/* Rows of it in the order in which they are trained (or read) on. */
struct epoch {
    size_t n, batch;            /* rows; of a batch, but for the last */
    size_t first;               /* batch to begin with */
    int classes;                /* K */
    const uint32_t *rows;       /* [n], also their numbers for dropout */
    const struct augment_map *maps;     /* [n] how each is changed */
    const struct augment_mix *mixes;    /* [n] and then mixed; NULL: not so */
    const float *targets;       /* [n,K] */
    const int32_t *labels;      /* [n] */
    const struct update *updates;       /* [batches][UPDATES]; NULL: none;
                                           begin = end: left out */
    uint64_t seed;
    uint32_t epoch;
};

/* Called once the gradients of params [begin, end) have been enqueued. */
typedef int grads_ready(void *ctx, size_t begin, size_t end, struct err *e);

/*
 * Gradients that are summed over ranks within a whole step: ready() from the
 * last parameters to the first, and end() behind all of them: what is enqueued
 * then comes after the sums.  Where a step is recorded, so are these, and they
 * must not wait.
 */
struct reduction {
    grads_ready *ready;
    int (*end)(void *ctx, struct err *e);
    void *ctx;
};

struct backend;
struct plan;

struct backend_class {
    const char *name;
    bool host;                  /* vectors lie in host memory */
    struct backend *(*open)(const struct backend_conf *c, struct err *e);
    void (*close)(struct backend *b);
    /* Vectors of n floats in the backend's memory, zeros at first. */
    float *(*alloc)(struct backend *b, size_t n, struct err *e);
    void (*release)(struct backend *b, float *p);   /* NULL: nothing happens */
    void (*put)(struct backend *b, float *to, const float *host, size_t n);
    void (*get)(struct backend *b, float *host, const float *from, size_t n);
    /*
     * Prepare a graph for batches of exactly n pictures.  Plans of one backend
     * share their activation memory: only one is in use at a time.
     */
    struct plan *(*plan)(struct backend *b, const struct graph *g, int n,
                         enum mode mode, const struct vectors *v,
                         struct err *e);
    void (*unplan)(struct plan *p);     /* NULL: nothing happens */
    /* Take a batch in.  In eval mode n may be less than the plan's. */
    void (*feed)(struct plan *p, const struct feed *f);
    int (*run)(struct plan *p, int op, enum pass pass, struct err *e);
    /*
     * Softmax [N,K] of the batch and its loss, until the next feed; either
     * may be NULL.
     */
    void (*result)(struct plan *p, float *probs, double *loss);
    void (*update)(struct backend *b, const struct update *u);
    void (*sync)(struct backend *b);
    /*
     * For tests and heat maps: a value, or in a train plan its gradient, as
     * f32 [N,C,H,W].  -1 where the plan does not have it at this moment
     * (fused away, not made yet, or overwritten).  NULL where batches are
     * cut into shards, which are for training.
     */
    int (*peek)(struct plan *p, int op, bool gradient, float *host);
    /* What computes an operation, for profiles and tests; "" if nothing of
     * note.  NULL: the backend does not say. */
    void (*explain)(struct plan *p, int op, char text[128]);
    /* The GPU's number and its cudaStream_t; NULL: there is none. */
    void (*gpu)(struct backend *b, int *device, void **stream);
    /*
     * Whole steps with no traffic between host and backend; all four NULL
     * where there is nothing to gain.  hold() copies the pictures, epoch()
     * all that the batches need; what they are given is free again then.
     * step() enqueues the next batch: pictures and forward, in a train plan
     * backward, reduction and update too; a plan is of as many pictures as the
     * batch, or as this rank's part of it, or in eval mode of more.  sums()
     * waits and gives, over the batches since epoch(), loss times pictures of
     * the whole batch and the pictures here that were right.
     */
    int (*hold)(struct backend *b, const struct resident *r, struct err *e);
    int (*epoch)(struct backend *b, const struct epoch *x, struct err *e);
    int (*step)(struct plan *p, struct err *e);
    int (*sums)(struct backend *b, double *loss, double *correct,
                struct err *e);
};

struct backend {
    const struct backend_class *class;
    const char *dtype;          /* "f32", "bf16" or "tf32": what was chosen */
    char about[160];            /* library, version, instruction set, and what
                                   was not as fast as it could be */
};

/* The plan's head; backends put it first in their own struct. */
struct plan {
    struct backend *backend;
    const struct graph *graph;
    enum mode mode;
    int n;                      /* pictures it was made for */
    int fed;                    /* pictures of the last feed */
    struct vectors v;
    size_t nbytes;              /* activation memory of the backend */
    double *sums;               /* [nsums] after RUN_SHARE */
    size_t nsums;
    /* Adds up sums over the other ranks; NULL: there are none. */
    int (*share)(void *ctx, double *sums, size_t n, struct err *e);
    void *share_ctx;
    const struct reduction *reduction;  /* of whole steps; NULL: one rank */
    int skip;                   /* whole steps: pictures of the batch that are
                                   before the plan's, other ranks' */
    double *spent[2];           /* [nops] seconds by pass, to which the walk
                                   adds; NULL: it does not look at the clock */
};

/*
 * Open by name: "ref", "cpu", "cuda", "cuda:N" (GPU number N), or "auto": cuda
 * where there is one, else cpu; a note says why cuda was passed over.  Errors:
 * EXIT_IO and which piece is missing; EXIT_USAGE for any other name.
 */
struct backend *backend_open(const char *name, const struct backend_conf *c,
                             struct err *e);
void backend_close(struct backend *b);

/* What a plugin exports: a `const struct backend_class *`. */
#define BACKEND_SYMBOL "busi_backend_class"

#endif
