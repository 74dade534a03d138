#include "comm/gpu_facts.h"

#include <stdint.h>

/* FNV-1a: Fowler, Noll, Vo, offset and prime of 64 bits. */
double
gpu_facts_number(const char *name)
{
    uint64_t h = 14695981039346656037u;

    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * 1099511628211u;
    return (double)(h >> 16);
}

static int
clash(const double *a, const double *b, int i, int j, struct err *e)
{
    int v = (int)a[FACT_VERSION], w = (int)b[FACT_VERSION];

    if (v != w)
        return err_set(e, EXIT_IO, "rank %d has NCCL %d.%d.%d, rank %d has "
                       "%d.%d.%d", i, v / 10000, v / 100 % 100, v % 100, j,
                       w / 10000, w / 100 % 100, w % 100);
    if (a[FACT_MACHINE] == b[FACT_MACHINE] && a[FACT_GPU] != 0 &&
        a[FACT_GPU] == b[FACT_GPU])
        return err_set(e, EXIT_IO, "ranks %d and %d are on the same GPU "
                       "(number %d); NCCL wants one for each", i, j,
                       (int)a[FACT_DEVICE]);
    return 0;
}

int
gpu_facts_check(const double *facts, int size, struct err *e)
{
    for (int j = 1; j < size; j++)
        for (int i = 0; i < j; i++)
            if (clash(facts + i * GPU_FACTS, facts + j * GPU_FACTS, i, j,
                      e) != 0)
                return -1;
    return 0;
}
