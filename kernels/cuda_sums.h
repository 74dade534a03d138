/*
 * cuda_sums: sums of two numbers for each channel, as batch-norm needs them.
 */
#ifndef BUSI_KERNELS_CUDA_SUMS_H
#define BUSI_KERNELS_CUDA_SUMS_H

#include "kernels/cuda_dev.h"

enum {
    PARTS = 384,            /* of a sum; two numbers each and coefficients */
    FINISH_C = 16, FINISH_P = 16    /* channels and parts of a block */
};
static_assert(2 * (int)PARTS + 3 <= (int)CUDA_SUMS, "scratch of a channel");

/* Sum both numbers of a channel over the parts [parts][2][c], in double.
 * Everyone of FINISH_C * FINISH_P threads must come. */
static __device__ inline void
add_parts(const float *sums, int c, int parts, int channel, double out[2])
{
    __shared__ double all[2][FINISH_P][FINISH_C];
    int p = (int)threadIdx.x / FINISH_C, k = (int)threadIdx.x % FINISH_C;

    for (int j = 0; j < 2; j++) {
        double sum = 0;

        if (channel < c)
            for (int i = p; i < parts; i += FINISH_P)
                sum += sums[((size_t)i * 2 + j) * c + channel];
        all[j][p][k] = sum;
    }
    __syncthreads();
    for (int j = 0; j < 2; j++) {
        out[j] = 0;
        for (int i = 0; i < FINISH_P; i++)
            out[j] += all[j][i][k];
    }
}

#endif
