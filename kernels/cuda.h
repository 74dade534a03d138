/*
 * cuda: kernels of the GPU backend, and the C functions that launch them.
 *
 * Pictures lie as pix.h says, nhwc, c a multiple of 8, in bf16 or f32; pixels
 * of channels behind the real ones are zeros and stay zeros.  Flat values are
 * f32 [n][f] without gaps.  All pointers are to the GPU's memory; pictures and
 * scratch are aligned to 64 bytes, what lies in the flat parameter vector only
 * to 4.  A launcher enqueues on the stream (a cudaStream_t) and returns; what
 * fails is seen by cudaPeekAtLastError().
 *
 * Sums are made in f32 in an order that depends on the shape alone: no
 * atomics, the same bits in every run.  Sums over all pixels of a channel go
 * through `sums`, scratch of at least CUDA_SUMS floats for each channel.
 */
#ifndef BUSI_KERNELS_CUDA_H
#define BUSI_KERNELS_CUDA_H

#include "data/augment_map.h"
#include "kernels/pix.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CUDA_SUMS = 2 * 512,        /* floats of scratch for each channel */
    CUDA_DW_SUMS = 9 * 256,
    CUDA_STEPS = 2,             /* updates of a step */
    CUDA_LANES = 8              /* channels are rounded up to this */
};

/* ------------------------------------- pictures (cuda_bn*.cu, cuda_add.cu) */

/* Batch normalisation, then optionally "+ z", then an activation. */
struct cuda_bn {
    struct pix s;
    bool bf16;
    int channels;               /* real ones */
    enum act act;
    const float *gamma, *beta;  /* [channels] */
    float *run_mean, *run_var;  /* [channels], moved by bn_train() */
    float *mean, *invstd;       /* [s.c] of the batch, kept for backward */
    float *scale, *shift;       /* [s.c], y = act(scale x + shift + z) */
    float *sums;
};

/* A gradient may come in two parts that are to be added. */
struct cuda_bn_back {
    const void *x;              /* what bn read */
    const void *y;              /* what it made; NULL where no z was added */
    void *dy;                   /* gradient of y; with z or dy2 it is */
    const void *dy2;            /*   overwritten by dy + dy2, masked */
    void *dz;                   /* not NULL: add z's gradient here */
    void *dx;                   /* may be x or, without z, dy */
    float *dgamma, *dbeta;      /* [channels] */
};

/* Normalise by the batch; z may be NULL.  y may be x or z. */
void cuda_bn_train(const struct cuda_bn *b, const void *x, const void *z,
                   void *y, void *stream);
/* By the running statistics. */
void cuda_bn_eval(const struct cuda_bn *b, const void *x, const void *z,
                  void *y, void *stream);
void cuda_bn_back(const struct cuda_bn *b, const struct cuda_bn_back *g,
                  void *stream);

/* y = act(x + z + bias); z and bias ([channels]) may be NULL, y may be x. */
void cuda_add(const struct pix *s, bool bf16, enum act act, const void *x,
              const void *z, const float *bias, int channels, void *y,
              void *stream);
/* g = dy where act let y through, else 0; g may be dy. */
void cuda_act_back(const struct pix *s, bool bf16, enum act act,
                   const void *y, const void *dy, void *g, void *stream);
/* The same, and g's sum over pictures and pixels: a bias's gradient [channels].
 * With ACT_NONE nothing is stored: y and g may be NULL. */
void cuda_bias_back(const struct pix *s, bool bf16, int channels,
                    enum act act, const void *y, const void *dy, void *g,
                    float *sum, float *sums, void *stream);

/* ------------------------------------------------- pooling (cuda_*pool.cu) */

struct cuda_pool {
    struct pix in, out;
    bool bf16;
    int kernel, stride, pad;
};

/* at [n][h][w][c]: which of the window's pixels it was, row by row. */
void cuda_maxpool(const struct cuda_pool *p, const void *x, void *y,
                  uint8_t *at, void *stream);
void cuda_maxpool_back(const struct cuda_pool *p, const uint8_t *at,
                       const void *dy, void *dx, void *stream);
/* Adaptive bins of s to flat [n][channels * size * size]. */
void cuda_avgpool(const struct pix *s, bool bf16, int channels, int size,
                  const void *x, float *flat, void *stream);
void cuda_avgpool_back(const struct pix *s, bool bf16, int channels,
                       int size, const float *flat, void *dx, void *stream);

/* ---------------------------------------------- depthwise (cuda_dwconv.cu) */

struct cuda_dw {                /* kernel 3 x 3, one weight plane a channel */
    struct pix in, out;         /* in.c = out.c */
    bool bf16;
    int channels, stride, pad;
};

/* taps: the weights as cuda_pack_all() leaves them.  dw f32 [channels][3][3];
 * sums: scratch of CUDA_DW_SUMS floats for each channel. */
void cuda_dw_forward(const struct cuda_dw *d, const void *x,
                     const float *taps, void *y, void *stream);
void cuda_dw_data(const struct cuda_dw *d, const void *dy, const float *taps,
                  void *dx, void *stream);
void cuda_dw_weights(const struct cuda_dw *d, const void *x, const void *dy,
                     float *dw, float *sums, void *stream);

/* ----------------------------------------------------- flat (cuda_flat.cu) */

/* What changes from batch to batch; in the GPU's memory, so that a recorded
 * launch reads that of today. */
struct cuda_now {
    uint64_t seed;
    uint32_t epoch;
    int32_t fed;                /* pictures in the batch */
    uint32_t first;             /* of an epoch's rows: the batch's first here */
    int32_t all;                /* pictures in it, other ranks' too */
};

/* y = x / (1 - p) or 0, by the draws of backend.h; y may be x. */
struct cuda_dropout {
    int n, f, op;               /* pictures, features, number of the op */
    double p;
    const uint32_t *samples;    /* [n] */
    const struct cuda_now *now;
};
void cuda_dropout(const struct cuda_dropout *d, const float *x, float *y,
                  void *stream);
/* y = act(x) of n numbers; its gradient dx by y. */
void cuda_relu(size_t n, enum act act, const float *x, float *y,
               void *stream);
void cuda_relu_back(size_t n, enum act act, const float *y, const float *dy,
                    float *dx, void *stream);
/* to[i] += from[i] */
void cuda_accumulate(size_t n, const float *from, float *to, void *stream);

/*
 * Softmax probs [n][k] of z; out[0] becomes the loss and out[1] the number of
 * pictures whose largest probability is at their label; loss * all and that
 * are also added to out[2] and out[3], the sums of an epoch.  Pictures from
 * now->fed on count nothing and get dz = 0.
 */
struct cuda_xent {
    int n, k;
    const struct cuda_now *now;
    const float *targets;       /* [n][k]; zeros where there are none */
    const int32_t *labels;      /* [n]; -1: unknown */
};
void cuda_xent(const struct cuda_xent *x, const float *z, float *probs,
               double *out, void *stream);
void cuda_xent_back(const struct cuda_xent *x, const float *probs,
                    float *dz, void *stream);

/* --------------------------------- layouts (cuda_pack.cu, cuda_weights.cu) */

/* f32 [n,channels,h,w] to pictures, and back. */
void cuda_pack(const struct pix *s, bool bf16, int channels,
               const float *plain, void *x, void *stream);
void cuda_unpack(const struct pix *s, bool bf16, int channels, const void *x,
                 float *plain, void *stream);

/* f32 rows [n][f] to [n][round up f] of the stored type, and back; bias [f]
 * may be NULL. */
void cuda_pack_rows(int n, int f, bool bf16, const float *rows, void *x,
                    void *stream);
void cuda_unpack_rows(int n, int f, bool bf16, const void *x,
                      const float *bias, float *rows, void *stream);

/*
 * Weights between the flat f32 vector, [k][c/groups][r][r], and what cuDNN
 * takes, [round up k][r][r][round up c], with zeros between groups.
 */
struct cuda_weights {
    int k, c, groups, r;
    bool bf16;
};
void cuda_unpack_weights(const struct cuda_weights *w, const void *packed,
                         float *flat, void *stream);

/*
 * All weights of a network in one launch: each as above, or, with `taps`
 * (depthwise 3 x 3), f32 [9][round up k], rounded to bf16 where w says so.
 */
struct cuda_packing {
    struct cuda_weights w;
    bool taps;
    const float *flat;
    size_t packed;              /* bytes behind the base */
    uint32_t block;             /* its first of the launch */
};
/* Blocks and bytes that one takes. */
uint32_t cuda_packing_blocks(const struct cuda_packing *p);
size_t cuda_packing_nbytes(const struct cuda_packing *p);
/* list [n] is in the GPU's memory, in order of `block`; `all` blocks. */
void cuda_pack_all(const struct cuda_packing *list, int n, uint32_t all,
                   void *base, void *stream);

/* ------------------------------------------------ optimiser (cuda_step.cu) */

/* What struct update of backend.h says, for params [0, n) from here on. */
struct cuda_step {
    bool adamw;
    size_t n;
    float lr, momentum, decay, beta1, beta2, eps, ema_decay;
    float rate, root;           /* lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t) */
    bool first;                 /* step 1: m = g */
    float *params, *m, *v, *ema;    /* v, ema: NULL where there are none */
    const float *grads;
};
/* A packed copy of the parameters; n = 0: there is none. */
struct cuda_copying {
    const struct cuda_packing *list;    /* [n] in the GPU's memory, in order of
                                           `block` and of `flat` */
    int n;
    char *base;                 /* what is packed is behind it */
};
/* s is in the GPU's memory, so that a recorded launch reads today's, of at
 * most n parameters; what moves is written to the copy too. */
void cuda_step(const struct cuda_step *s, size_t n,
               const struct cuda_copying *to, void *stream);

/* ---------------------------------------------- whole steps (cuda_turn.cu) */

/* An epoch, in the GPU's memory like all that it points to. */
struct cuda_epoch {
    const uint8_t *pixels;      /* [..][h][w][channels] */
    const uint32_t *rows;       /* [n] of the pixels */
    const struct augment_map *maps;     /* [n] */
    const struct augment_mix *mixes;    /* [n] or NULL */
    const float *targets;       /* [n][k] */
    const int32_t *labels;      /* [n] */
    const struct cuda_step *steps;      /* [batches][CUDA_STEPS] or NULL */
    uint32_t n, batch;          /* rows; of a batch, but for the last */
    uint32_t next;              /* the batch whose turn it is */
    uint32_t epoch;
    uint64_t seed;
};

/* Where a plan wants its batch. */
struct cuda_turn {
    int n, k;                   /* pictures, at most 1024; classes */
    int skip;                   /* of the batch, before them: other ranks' */
    struct cuda_epoch *from;
    struct cuda_now *now;
    float *targets;             /* [n][k] */
    int32_t *labels;
    uint32_t *samples;          /* [n] */
    struct cuda_step *step;     /* [CUDA_STEPS] */
};

/* Everything of the next batch but its pictures; then the one behind it is
 * next. */
void cuda_take_turn(const struct cuda_turn *t, void *stream);

/* Its pictures: the bits of augment_apply(), mixed where that is wanted,
 * rounded to the stored type. */
struct cuda_look {
    struct pix s;               /* of the network's input */
    bool bf16;
    int channels, h, w;         /* of the pixels */
    const struct cuda_epoch *from;
    const struct cuda_now *now;
};
void cuda_look(const struct cuda_look *l, void *x, void *stream);

#ifdef __cplusplus
}
#endif

#endif
