/*
 * cpu_conv: one convolution of the CPU backend, by oneDNN or, where that has
 * no fast way (3x3 without AVX-512), by our own kernels of Winograd's
 * algorithm.
 *
 * Numbers lie and errors are as backend/cpu_dnnl.h says.
 */
#ifndef BUSI_BACKEND_CPU_CONV_H
#define BUSI_BACKEND_CPU_CONV_H

#include "backend/cpu_dnnl.h"

struct cpu_conv;

/* w: its shape, of use where c is a 3x3 convolution of stride 1. */
struct cpu_conv *cpu_conv_new(struct dn *d, const struct cpu_kernels *k,
                              const struct dn_conf *c,
                              const struct cpu_wino *w, bool fast,
                              struct err *e);
void cpu_conv_free(struct cpu_conv *v);

/*
 * Take new weights [K,C/groups,R,S] and bias [K] (NULL: none) in.  In training
 * w is to stay as it is until the passes with it are done.
 */
int cpu_conv_pack(struct cpu_conv *v, const float *w, const float *bias);

int cpu_conv_forward(struct cpu_conv *v, const void *x, void *y);
int cpu_conv_data(struct cpu_conv *v, const void *dy, void *dx);
/* dw [K,C/groups,R,S]; db [K] or NULL. */
int cpu_conv_weights(struct cpu_conv *v, const void *x, const void *dy,
                     float *dw, float *db);

/* Name of the implementation, "" where there is none. */
const char *cpu_conv_name(const struct cpu_conv *v, enum dn_pass pass);

#endif
