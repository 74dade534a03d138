/*
 * gpu_facts: may these ranks' GPUs work together?
 *
 * Every rank says what it has as a few whole numbers, which fit a double; all
 * ranks have all of them and come to the same verdict.
 */
#ifndef BUSI_COMM_GPU_FACTS_H
#define BUSI_COMM_GPU_FACTS_H

#include "base/err.h"

/* [GPU_FACTS] of each rank. */
enum gpu_fact {
    FACT_VERSION,               /* of NCCL: 22809 for 2.28.9 */
    FACT_MACHINE,               /* a number of the machine's name */
    FACT_GPU,                   /* place of the GPU on its bus; 0: unknown */
    FACT_DEVICE,                /* its number, for people */
    GPU_FACTS
};

/* facts: [size][GPU_FACTS].  Errors, EXIT_IO, name two ranks. */
int gpu_facts_check(const double *facts, int size, struct err *e);

/* Of a name, such as a machine's: below 2^48. */
double gpu_facts_number(const char *name);

#endif
