/*
 * units: how a backend with fused kernels runs a graph.
 *
 * Operations are joined into units: a convolution with its activation; a
 * batch-norm with what is added behind it and the activation; in evaluation,
 * where the backend folds batch-norm into weights, a convolution with it and
 * all that follows.  A unit runs at its last operation.  Step t is operation t
 * forward, 2 * nops - 1 - t operation t backward.
 *
 * Gradients: a unit writes that of its input into a slot of its own, or over
 * something that is not needed any more.  A second gradient of the same value
 * goes to a second slot where the maker is a batch-norm, which adds the two as
 * it reads them.
 */
#ifndef BUSI_BACKEND_UNITS_H
#define BUSI_BACKEND_UNITS_H

#include "backend/arena.h"
#include "backend/backend.h"
#include "kernels/pix.h"

#include <stdbool.h>
#include <stdint.h>

enum { NONE = -1 };

struct unit {
    enum op_kind kind;      /* what it does first */
    int op;                 /* the operation that starts it */
    int bn;                 /* eval: batch-norm folded into a convolution */
    int z;                  /* value added */
    int last;               /* operation at which it runs; its value */
    enum act act;
    int at;                 /* OP_MAXPOOL: slot of the places */
    int again;              /* OP_CONV: slot in which its input, a batch-norm's
                               value, is made again for its backward, or NONE */
    int dx[2];              /* slots to which input gradients are written */
    bool dx_add[2];         /* ... by adding to what is there */
    int dx_into[2];         /* NONE, or slot to add dx[k] to afterwards */
    void *own;              /* the backend's part */
};

struct layout {
    struct pix s;           /* of pictures */
    bool plain;             /* f32 or bf16 [n,c,h,w]: the input alone */
    size_t nbytes;
};

struct unit_plan {
    struct plan head;
    struct unit *unit;      /* [nunits], in the order in which they run */
    int nunits;
    int *unit_at;           /* [nops] number of the unit run there, or NONE */
    struct layout *layout;  /* [nops] of each value */
    int *value;             /* [nops] slot, NONE where fused away */
    int *grad[2];           /* [nops] slots of the gradient's two parts */
    int *value_end;         /* [nops] step at which it is overwritten */
    int *grad_end;
    struct arena arena;
    float *targets;         /* [n,K] of the last feed */
    bool has_targets;
    uint32_t *samples;      /* [n] */
    uint64_t seed;
    uint32_t epoch;
    double loss;
    int step;               /* last one done */
};

struct unit_shape {          /* of the machine */
    int lanes, block;       /* block 0: nhwc */
    size_t size;            /* bytes of a stored number of a picture */
    bool keep;              /* share no memory */
    bool recompute;         /* where a convolution alone reads a batch-norm */
    bool fold;              /* in evaluation, batch-norm into weights */
};

/*
 * Join operations and place all slots, behind the layouts' `plain`, which the
 * caller has set.  Returns the bytes of activation memory.
 */
size_t units_make(struct unit_plan *p, const struct unit_shape *m);
/* Everything but the units' own parts, p itself among it. */
void units_release(struct unit_plan *p);

/* Numbers of value v, of all the plan's pictures. */
size_t units_floats(const struct unit_plan *p, int v);

/* Begin the step of an operation: the unit to run, NULL: none runs there. */
struct unit *units_begin(struct unit_plan *p, int op, enum pass pass);

/* To the host, what a slot holds of value v's shape, of the pictures fed. */
typedef void units_fetch(struct unit_plan *p, int v, int slot, float *host);

/* peek() of backend.h. */
int units_peek(struct unit_plan *p, int v, bool gradient, float *host,
               units_fetch *fetch);

#endif
