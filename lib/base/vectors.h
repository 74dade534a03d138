/*
 * vectors: loops that are worth the machine's widest vectors.
 *
 * VECTORS before a function has it compiled for each width, with loops made
 * into vectors; the program takes the widest that the processor has.
 * VECTORS_SHUFFLE picks elements, counted through both vectors of bytes.
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
#define VECTORS_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else                           /* gcc has that name from 12 on only */
#define VECTORS __attribute__((VECTORS_WIDE, optimize("O3")))
#define VECTORS_SHUFFLE(a, b, ...) \
    __builtin_shuffle(a, b, (__typeof__(a)){ __VA_ARGS__ })
#endif

#endif
