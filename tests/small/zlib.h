/*
 * zlib.h: for machines with a GPU that lack zlib: its CRC-32, bit by byte.
 *
 * Compiled in by `make gpu` where there is no zlib; the files are the same.
 */
#ifndef BUSI_TESTS_SMALL_ZLIB_H
#define BUSI_TESTS_SMALL_ZLIB_H

#include <stddef.h>
#include <stdint.h>

typedef unsigned char Bytef;
typedef unsigned long uLong;

static inline uLong
crc32_z(uLong crc, const Bytef *p, size_t n)
{
    static uint32_t table[256];
    uint32_t c = ~(uint32_t)crc;

    if (table[1] == 0)
        for (uint32_t i = 255; i > 0; i--) {
            uint32_t v = i;

            for (int k = 0; k < 8; k++)
                v = v >> 1 ^ (v & 1 ? 0xEDB88320u : 0);
            table[i] = v;
        }
    for (size_t i = 0; i < n; i++)
        c = c >> 8 ^ table[(c ^ p[i]) & 255];
    return (uint32_t)~c;
}

#endif
