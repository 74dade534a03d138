/* PNG pictures by our own reader, every chunk's CRC made right first. */
#include "fuzz.h"

#include "data/image_png.h"

#include <libdeflate.h>

static uint32_t
big(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

static void
mend(uint8_t *p, size_t n)
{
    for (size_t at = 8; n >= 12 && at <= n - 12;) {
        size_t length = big(p + at);
        uint32_t crc;

        if (length > n - 12 - at)
            return;
        crc = libdeflate_crc32(0, p + at + 4, length + 4);
        for (int k = 0; k < 4; k++)
            p[at + 8 + length + (size_t)k] = (uint8_t)(crc >> (24 - 8 * k));
        at += length + 12;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t *copy = (uint8_t *)fuzz_text(data, n);
    struct image m = { 0 };
    struct err e = { 0 };

    mend(copy, n);
    /* Large ones only cost time here. */
    if (image_png_check(copy, n, &e) == 0 && n > 24 &&
        (uint64_t)big(copy + 16) * big(copy + 20) < 1 << 20 &&
        image_png_decode(&m, copy, n, &e) == 0)
        image_release(&m);
    free(copy);
    return 0;
}
