/* noise.h: bytes that the generator of the expected values makes as well. */
#ifndef BUSI_TESTS_NOISE_H
#define BUSI_TESTS_NOISE_H

#include <stddef.h>
#include <stdint.h>

static inline void
noise(uint8_t *out, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (uint8_t)(seed >> 24);
    }
}

#endif
