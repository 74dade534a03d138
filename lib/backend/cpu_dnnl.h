/*
 * cpu_dnnl: oneDNN's convolutions and matrix products (the only file that
 * knows oneDNN).
 *
 * Pictures lie as kernels/cpu.h says.  Channels that are no multiple of the
 * vector, and groups other than depthwise, are run as dense convolutions with
 * zeros in the weights: oneDNN 2.6 has fast kernels for nothing else.
 */
#ifndef BUSI_BACKEND_CPU_DNNL_H
#define BUSI_BACKEND_CPU_DNNL_H

#include "base/err.h"
#include "kernels/cpu.h"
#include "model/graph.h"

#include <stdbool.h>

struct dn;
struct dn_conv;

enum dn_pass { DN_FORWARD, DN_DATA, DN_WEIGHTS, DN_PASSES };

/* What the processor has, for choosing layouts and types. */
struct dn_cpu {
    bool avx2, avx512, amx;
    bool bf16;              /* can be computed with */
    bool fast_bf16;         /* by instructions of its own */
    char about[96];         /* "oneDNN 2.6.3, AVX2" */
};

struct dn_conf {
    const struct op *op;
    int n, c, h, w;         /* of the input; c: real channels */
    int lanes, block;       /* of the vector; block 0: nhwc */
    bool bf16;
    bool train;
    bool plain;             /* input is plain [n,c,h,w], no gradient of it */
    bool own_weights;       /* plain: weight gradient by the own kernel */
    enum act act;       /* done on the output */
    bool sum;               /* the output's old content is added first */
    bool bias;              /* also where op has none (folded batch-norm) */
};

void dn_cpu(struct dn_cpu *cpu);

struct dn *dn_open(struct err *e);
void dn_close(struct dn *d);

/* Memory that all may use within a call: at least so much, cache-aligned. */
void *dn_scratch(struct dn *d, size_t nbytes);

/*
 * Errors: EXIT_IO with oneDNN's status.  With `fast`, a primitive that would
 * fall to the reference implementation is refused.
 */
struct dn_conv *dn_conv_new(struct dn *d, const struct dn_conf *c, bool fast,
                            struct err *e);
void dn_conv_free(struct dn_conv *v);

/* Take new weights [K,C/groups,R,S] and bias [K] (NULL: none) in. */
int dn_conv_pack(struct dn_conv *v, const float *w, const float *bias);

int dn_conv_forward(struct dn_conv *v, const void *x, void *y);
int dn_conv_data(struct dn_conv *v, const void *dy, void *dx);
/* dw [K,C/groups,R,S]; db [K] or NULL. */
int dn_conv_weights(struct dn_conv *v, const void *x, const void *dy,
                    float *dw, float *db);

/* Name of the implementation, "" where there is none. */
const char *dn_conv_name(const struct dn_conv *v, enum dn_pass pass);

/* C[m,n] = A B + beta C, row-major; ta, tb: the factor is transposed. */
void dn_gemm(bool ta, bool tb, int m, int n, int k, const float *a,
             const float *b, float beta, float *c);

#endif
