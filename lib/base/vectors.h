/*
 * vectors: loops that are worth the machine's widest vectors.
 *
 * VECTORS before a function has it compiled for each width, with loops made
 * into vectors; the program takes the widest that the processor has.
 */
#ifndef BUSI_BASE_VECTORS_H
#define BUSI_BASE_VECTORS_H

#if defined(__x86_64__)
#define VECTORS_WIDE target_clones("avx512f", "avx2", "default")
#else
#define VECTORS_WIDE
#endif
#ifdef __clang__                /* makes loops into vectors as it is */
#define VECTORS __attribute__((VECTORS_WIDE))
#else
#define VECTORS __attribute__((VECTORS_WIDE, optimize("O3")))
#endif

#endif
