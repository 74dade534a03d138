/*
 * cpu_plan: how the CPU backend runs a graph.
 *
 * Operations are joined into units: a convolution with its activation; a
 * batch-norm with what is added behind it and the activation; in evaluation a
 * convolution with the batch-norm folded into its weights and all that
 * follows.  A unit runs at its last operation.  Step t is operation t forward,
 * 2 * nops - 1 - t operation t backward.
 *
 * Gradients: a unit writes that of its input into a slot of its own, or over
 * something that is not needed any more.  A second gradient of the same value
 * goes to a second slot where the maker is a batch-norm, which adds the two as
 * it reads them.
 */
#ifndef BUSI_BACKEND_CPU_PLAN_H
#define BUSI_BACKEND_CPU_PLAN_H

#include "backend/arena.h"
#include "backend/backend.h"
#include "backend/cpu_dnnl.h"

enum { NONE = -1 };

struct unit {
    enum op_kind kind;      /* what it does first */
    int op;                 /* the operation that starts it */
    int bn;                 /* eval: batch-norm folded into a convolution */
    int z;                  /* value added */
    int last;               /* operation at which it runs; its value */
    enum cpu_act act;
    struct dn_conv *conv;
    struct cpu_bn norm;     /* OP_BN; its vectors are own memory */
    float *own;             /* memory behind norm, and folded weights */
    uint64_t version;       /* of the vectors that were packed, 0: none */
    int at;                 /* OP_MAXPOOL: slot of the places */
    int dx[2];              /* slots to which input gradients are written */
    bool dx_add[2];         /* ... by adding to what is there */
    int dx_into[2];         /* NONE, or slot to add dx[k] to afterwards */
};

struct layout {
    struct cpu_pix s;       /* of pictures */
    bool plain;             /* f32 or bf16 [n,c,h,w]: the input alone */
    size_t nbytes;
};

struct cpu_plan {
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

struct cpu_shape {          /* of the machine */
    int lanes, block;       /* block 0: nhwc */
    size_t size;            /* bytes of a stored number */
    bool keep;
};

/* Join operations and place all slots; fills the plan but for its units'
 * convolutions.  Returns the bytes of activation memory. */
size_t cpu_plan_make(struct cpu_plan *p, const struct cpu_shape *m);
void cpu_plan_release(struct cpu_plan *p);

#endif
