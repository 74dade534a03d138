/*
 * cpu: vector kernels of the CPU backend, one source for several machines.
 *
 * kernels/cpu.c is compiled once per instruction set (plain, avx2, avx512) and
 * per type of stored activations (f32, bf16); each gives one table of the
 * functions below.  Sums are kept in f32 over at most 1024 pixels, then in
 * double, in an order that depends on the shape alone: results have the same
 * bits for any number of threads.
 *
 * Pictures lie as pix.h says: block 8 or 16 (oneDNN's nChw8c and nChw16c) or c
 * (nhwc).  The channels behind the real ones stay zero.
 */
#ifndef BUSI_KERNELS_CPU_H
#define BUSI_KERNELS_CPU_H

#include "kernels/pix.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Batch normalisation, then optionally "+ z", then an activation. */
struct cpu_bn {
    struct pix s;
    int channels;               /* real ones */
    enum act act;
    const float *gamma, *beta;  /* [channels] */
    float *run_mean, *run_var;  /* [channels], moved by bn_train() */
    float *mean, *invstd;       /* [s.c] of the batch, kept for backward */
    float *scale, *shift;       /* [s.c], y = act(scale x + shift + z) */
    double *sums;               /* scratch, bn_sums() doubles */
    double *shared;             /* [1 + 2 * channels], for the halves */
};

/* A gradient may come in two parts that are to be added. */
struct cpu_bn_back {
    const void *x;              /* what bn read */
    const void *y;              /* what it made; used where z was added */
    void *dy;                   /* gradient of y; with z or dy2 it is */
    const void *dy2;            /*   overwritten by dy + dy2, masked */
    bool z;                     /* z was added */
    void *dz;                   /* not NULL: add z's gradient here */
    void *dx;                   /* may be x or, without z and dy2, dy */
    float *dgamma, *dbeta;      /* [channels] */
};

struct cpu_pool {
    struct pix in, out;
    int kernel, stride, pad;
};

/* A convolution's weight gradient from a plain picture (few channels). */
struct cpu_stem {
    int n, c, h, w;             /* x is f32 [n,c,h,w] */
    struct pix out;
    int kernel, stride, pad;
};

/* A 3x3 convolution of stride 1. */
struct cpu_wino {
    struct pix in, out;
    int ic, oc;                 /* real channels */
    int pad;                    /* 0 to 2 */
};

struct cpu_kernels {
    const char *name;           /* "avx2 f32" */
    int lanes;                  /* floats in a vector */
    size_t size;                /* bytes of a stored number */

    size_t (*bn_sums)(const struct cpu_bn *b);
    /* Normalise by the batch; z may be NULL, y may be x. */
    void (*bn_train)(const struct cpu_bn *b, const void *x, const void *z,
                     void *y);
    /* By scale and shift as they stand; z may be NULL. */
    void (*bn_apply)(const struct cpu_bn *b, const void *x, const void *z,
                     void *y);
    void (*bn_back)(const struct cpu_bn *b, const struct cpu_bn_back *g);

    /*
     * The same in halves, for a batch that lies in several places: *_sums
     * leaves in `shared` the count of a channel's numbers and two sums per
     * channel (x and x^2; dy and dy (x - mean)), which are to be added up over
     * all places before *_rest goes on with them.  dgamma and dbeta are those
     * of this place.
     */
    void (*bn_train_sums)(const struct cpu_bn *b, const void *x);
    void (*bn_train_rest)(const struct cpu_bn *b, const void *x,
                          const void *z, void *y);
    void (*bn_back_sums)(const struct cpu_bn *b, const struct cpu_bn_back *g);
    void (*bn_back_rest)(const struct cpu_bn *b, const struct cpu_bn_back *g);

    /* y = act(x + z); z may be NULL, y may be x or z. */
    void (*add)(const struct pix *s, enum act act, const void *x,
                const void *z, void *y);
    /* g = dy where act let x through, read off y; g may be dy. */
    void (*act_back)(const struct pix *s, enum act act, const void *y,
                     const void *dy, void *g);

    /* at: [out] which of the window's pixels it was, row by row. */
    void (*maxpool)(const struct cpu_pool *p, const void *x, void *y,
                    uint8_t *at);
    void (*maxpool_back)(const struct cpu_pool *p, const uint8_t *at,
                         const void *dy, void *dx);

    /* Adaptive bins; flat is f32 [n][channels * size * size]. */
    void (*avgpool)(const struct pix *s, int channels, int size,
                    const void *x, float *flat);
    void (*avgpool_back)(const struct pix *s, int channels, int size,
                         const float *flat, void *dx);

    /* dw: f32 [out channels rounded up][c][kernel][kernel], overwritten. */
    void (*stem_back)(const struct cpu_stem *s, const float *x,
                      const void *dy, float *dw, double *sums);
    size_t (*stem_sums)(const struct cpu_stem *s);

    /*
     * The same by Winograd's algorithm.  Packed filters and scratch memory, in
     * floats (for the threads that OpenMP has now), are the caller's.  Filters
     * are [oc][ic][3][3]; turned, as the gradient of the data wants them, with
     * dy's picture as `in` and dx's as `out`, they come as [ic][oc][3][3].
     * y = act(convolution + bias + the old y if sum); bias [out.c] may be NULL.
     */
    size_t (*wino_packed)(const struct cpu_wino *w);
    size_t (*wino_scratch)(const struct cpu_wino *w, bool weights);
    void (*wino_pack)(const struct cpu_wino *w, const float *filters,
                      bool turned, float *packed);
    void (*wino_forward)(const struct cpu_wino *w, const float *packed,
                         const float *bias, bool sum, enum act act,
                         const void *x, void *y, float *scratch);
    /* dw: f32 [oc][ic][3][3], overwritten. */
    void (*wino_weights)(const struct cpu_wino *w, const void *x,
                         const void *dy, float *dw, float *scratch);

    /* Sum over pictures and pixels: a bias's gradient. */
    void (*channel_sums)(const struct pix *s, int channels,
                         const void *dy, float *sum);

    /* n numbers (rounded up to a vector in both) to the stored type. */
    void (*narrow)(const float *from, void *to, size_t n);

    /* Between layouts: f32 [n,channels,h,w] and ours. */
    void (*pack)(const struct pix *s, int channels, const float *host,
                 void *x);
    void (*unpack)(const struct pix *s, int channels, const void *x,
                   float *host);
};

extern const struct cpu_kernels cpu_plain_f32, cpu_plain_bf16;
extern const struct cpu_kernels cpu_avx2_f32, cpu_avx2_bf16;
extern const struct cpu_kernels cpu_avx512_f32, cpu_avx512_bf16;

#endif
