/*
 * vectors: loops that are worth the machine's widest vectors.
 *
 * VECTORS before a function has it compiled for each width, with loops made
 * into vectors; the program takes the widest that the processor has.
 */
#ifndef BUSI_BASE_VECTORS_H
#define BUSI_BASE_VECTORS_H

#if defined(__x86_64__)
#define VECTORS \
    __attribute__((target_clones("avx512f", "avx2", "default"), \
                   optimize("O3")))
#else
#define VECTORS __attribute__((optimize("O3")))
#endif

#endif
