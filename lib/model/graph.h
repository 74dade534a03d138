/*
 * graph: a network as an array of operations.
 *
 * Operation i makes value i.  A graph is built by nets.c or read from text,
 * and then finished, which fixes shapes, parameters and buffers.  It holds no
 * numbers: parameters, gradients and moments are flat float vectors of
 * `nparams` elements, running statistics one of `nbuffers`, and every
 * operation knows its offset in them.
 *
 * Values up to the (adaptive) average pool are pictures [N,C,H,W]; from it on
 * they are flat [N,F].  The loss is softmax cross-entropy of the last value.
 *
 * As text, one operation a line, `kind name inputs key=value ...`:
 *
 *     input x channels=1 size=224
 *     conv conv1 x out=64 kernel=7 stride=2 pad=3
 *     bn bn1 conv1
 *     relu relu1 bn1
 *     avgpool pool relu1 size=1
 *     linear fc pool out=3
 */
#ifndef BUSI_MODEL_GRAPH_H
#define BUSI_MODEL_GRAPH_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op_kind {
    OP_INPUT,       /* the pictures */
    OP_CONV,        /* kernel, stride, pad, groups; bias by choice */
    OP_BN,          /* batch normalisation */
    OP_RELU,
    OP_RELU6,       /* min(max(x, 0), 6) */
    OP_ADD,         /* in[0] + in[1] */
    OP_MAXPOOL,     /* kernel, stride, pad (with -infinity) */
    OP_AVGPOOL,     /* to size x size, PyTorch's adaptive bins; makes flat */
    OP_DROPOUT,     /* of flat values; p is the share that is dropped */
    OP_LINEAR,      /* flat to flat, always with bias */
    OP_XENT         /* softmax cross-entropy; the last operation */
};

enum { GRAPH_NAME = 64, GRAPH_DIMS = 4 };

/* Of every batch normalisation (backend.h); kernels/ has copies. */
#define BN_EPS 1e-5f
#define BN_MOMENTUM 0.1f

struct op {
    enum op_kind kind;
    char name[GRAPH_NAME];  /* prefix of its parameters' names */
    int in[2];              /* values read, -1: none */
    bool add[2];            /* its gradient of in[k] is added, not stored */
    int out;                /* conv, linear: channels or features made */
    int kernel, stride, pad, groups;
    int size;               /* input, avgpool: height and width */
    bool bias;              /* conv */
    double p;               /* dropout */
    double std;             /* linear: deviation of initial weights; 0: U */
    int c, h, w;            /* shape of the value, per picture; flat: h=w=1 */
    bool flat;              /* the value is [N,c], not [N,c,h,w] */
    int uses;               /* operations that read the value */
    size_t param;           /* offset of its parameters, in floats */
    size_t nparams;         /* weight, then bias */
    size_t nweights;        /* of nparams: before the bias */
    size_t buffer;          /* offset of running mean, then variance (bn) */
};

/* One named tensor of a state dict, as torchvision names it. */
struct param {
    char name[GRAPH_NAME + 16];
    int op;                 /* whose it is */
    bool buffer;            /* running statistics, not trained */
    size_t offset, n;       /* in floats, in params or in buffers */
    int ndims;
    int64_t dims[GRAPH_DIMS];   /* weights [K,C/groups,R,S] or [out,in] */
};

struct graph {
    char name[GRAPH_NAME];  /* "resnet18", or that of the text */
    struct op *op;          /* [nops] */
    int nops, room;
    struct param *param;    /* [nentries], in state-dict order */
    int nentries;
    size_t nparams;         /* floats in the flat parameter vector */
    size_t nbuffers;        /* floats in the flat buffer vector */
};

/* Start an empty graph. */
void graph_init(struct graph *g, const char *name);
void graph_release(struct graph *g);

/*
 * Add an operation and return its number.  The name is copied; attributes may
 * be set on the result of graph_last() until graph_finish().
 */
int graph_add(struct graph *g, enum op_kind kind, const char *name, int a,
              int b);
struct op *graph_last(struct graph *g);

/*
 * Append the loss, work out shapes, uses, add bits, parameters and buffers.
 * Errors: a shape that does not fit, a name used twice, a value unused.
 */
int graph_finish(struct graph *g, struct err *e);

/* Text form, without the loss; parse ends with graph_finish(). */
void graph_print(const struct graph *g, struct str *s);
int graph_parse(struct graph *g, const char *name, const char *text,
                struct err *e);

/* Multiply-adds of the forward pass for one picture: all, or one operation's. */
double graph_op_macs(const struct graph *g, int op);
double graph_macs(const struct graph *g);

/* Numbers of an operation's value, per picture. */
static inline size_t
op_floats(const struct op *o)
{
    return (size_t)o->c * (size_t)o->h * (size_t)o->w;
}

const struct op *graph_input(const struct graph *g);
int graph_classes(const struct graph *g);       /* outputs of the last layer */
const char *op_kind_name(enum op_kind kind);

#endif
