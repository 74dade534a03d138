/*
 * cuda_rng: the draws of base/rng.h on the GPU, bit for bit.
 */
#ifndef BUSI_KERNELS_CUDA_RNG_H
#define BUSI_KERNELS_CUDA_RNG_H

#include "kernels/cuda_dev.h"

/* Of enum rng_stream. */
enum { STREAM_AUGMENT = 2, STREAM_DROPOUT = 3 };

/* Words 4 * block .. 4 * block + 3 of (seed, stream, epoch, sample). */
static __device__ inline void
rng_words(uint64_t seed, uint32_t stream, uint32_t epoch, uint32_t sample,
          uint32_t block, uint32_t word[4])
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = block, c1 = sample, c2 = epoch, c3 = stream;

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)c0 * 0xD2511F53u;
        uint64_t p1 = (uint64_t)c2 * 0xCD9E8D57u;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
}

#endif
