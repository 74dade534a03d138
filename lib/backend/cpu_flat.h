/*
 * cpu_flat: what the CPU backend does to flat values, f32 [n][f]: activations,
 * dropout, the linear layers, and the loss.
 */
#ifndef BUSI_BACKEND_CPU_FLAT_H
#define BUSI_BACKEND_CPU_FLAT_H

#include "backend/units.h"

/* Where the numbers of a unit lie. */
struct cpu_flat {
    const float *x;         /* its input */
    float *y;               /* its value */
    const float *dy;        /* gradients; backward alone */
    float *dx;
};

void cpu_flat_forward(struct unit_plan *p, const struct unit *u,
                      const struct cpu_flat *f);
void cpu_flat_backward(struct unit_plan *p, const struct unit *u,
                       const struct cpu_flat *f);

#endif
