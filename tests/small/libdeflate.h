/*
 * libdeflate.h: for machines with a GPU that lack libdeflate: its CRC-32.
 *
 * Compiled in by `make gpu` where there is none; the files are the same.
 */
#ifndef BUSI_TESTS_SMALL_LIBDEFLATE_H
#define BUSI_TESTS_SMALL_LIBDEFLATE_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t
libdeflate_crc32(uint32_t crc, const void *data, size_t n)
{
    static uint32_t table[256];
    const uint8_t *p = data;
    uint32_t c = ~crc;

    if (table[1] == 0)
        for (uint32_t i = 255; i > 0; i--) {
            uint32_t v = i;

            for (int k = 0; k < 8; k++)
                v = v >> 1 ^ (v & 1 ? 0xEDB88320u : 0);
            table[i] = v;
        }
    for (size_t i = 0; i < n; i++)
        c = c >> 8 ^ table[(c ^ p[i]) & 255];
    return ~c;
}

#endif
