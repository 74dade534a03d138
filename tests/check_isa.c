/* check_isa: fast ways that some processors have, against the plain ones. */
#include "base/digest.c"        /* their static functions */
#include "data/image_png.c"
#include "base/rng.h"
#include "tests/check.h"

#include <stdio.h>

START_TEST(sha256)
{
#if defined(__x86_64__)
    uint32_t a[8], b[8];
    unsigned char bytes[64];
    struct rng r;

    if (!__builtin_cpu_supports("sha")) {
        printf("SKIP SHA instructions: this processor has none\n");
        return;
    }
    rng_init(&r, 1, RNG_AUGMENT, 0, 0);
    for (int i = 0; i < 8; i++)
        a[i] = b[i] = (uint32_t)rng_below(&r, UINT32_MAX);
    for (int i = 0; i < 10000; i++) {
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (unsigned char)rng_below(&r, 256);
        block_plain(a, bytes);
        block_sha(b, bytes);
        ck_assert_mem_eq(a, b, sizeof a);
    }
#endif
}
END_TEST

/* As section 9 of the PNG specification says it: bytes, one by one. */
static void
undo_by_the_book(uint8_t *rows, int h, size_t n, size_t bpp)
{
    for (int y = 0; y < h; y++, rows += n + 1)
        for (size_t i = 1; i <= n; i++) {
            int a = i > bpp ? rows[i - bpp] : 0;
            int b = y > 0 ? (rows - n - 1)[i] : 0;
            int c = y > 0 && i > bpp ? (rows - n - 1)[i - bpp] : 0;
            int p = a + b - c, pa = abs(p - a), pb = abs(p - b);
            int pc = abs(p - c);
            int nearest = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
            int add[5] = { 0, a, b, (a + b) / 2, nearest };

            rows[i] = (uint8_t)(rows[i] + add[rows[0]]);
        }
}

static void
fill(uint8_t *p, size_t n, uint32_t below, struct rng *r)
{
    for (size_t k = 0; k < n; k++)
        p[k] = (uint8_t)rng_below(r, below);
}

START_TEST(filters)
{
    enum { W = 40, H = 9, MOST = H * (4 * W + 1) + SLACK };
    uint8_t a[MOST], b[MOST], above[4 * W + SLACK];
    struct rng r;

    rng_init(&r, 2, RNG_AUGMENT, 0, 0);
    for (int i = 0; i < 4000; i++) {
        size_t bpp = (size_t)i % 4 + 1, n = bpp * (1 + rng_below(&r, W));
        int h = 1 + (int)rng_below(&r, H);
        /* Small steps too, so that distances are equal now and then. */
        uint32_t below = i % 8 < 4 ? 256 : 4;

        fill(a, sizeof a, below, &r);
        for (int y = 0; y < h; y++)
            a[(size_t)y * (n + 1)] = (uint8_t)(i % 3 > 0 ? PAETH
                                               : rng_below(&r, 5));
        memcpy(b, a, sizeof a);
        ck_assert_int_eq(undo_filters(a, h, n, bpp), 0);
        undo_by_the_book(b, h, n, bpp);
        ck_assert_mem_eq(a, b, sizeof a);

        /* The way of processors without SSE4.1. */
        memcpy(above, a + 1, n);
        memset(above + n, 7, SLACK);
        fill(a, 2 * (n + 1) + SLACK, below, &r);
        memcpy(a + 1, above, n);
        a[0] = 0;
        a[n + 1] = PAETH;
        memcpy(b, a, sizeof a);
        undo_by_the_book(b, 2, n, bpp);
        undo_paeth_of(a + n + 2, above, n, bpp);
        ck_assert_mem_eq(a, b, sizeof a);
    }
}
END_TEST

START_TEST(gray)
{
    uint8_t p[3 * 50];
    struct rng r;

    rng_init(&r, 3, RNG_AUGMENT, 0, 0);
    for (size_t i = 0; i < 50; i++)
        memset(p + 3 * i, (int)rng_below(&r, 256), 3);
    for (size_t n = 3; n <= sizeof p; n += 3) {
        ck_assert(is_gray(p, n));
        for (size_t i = 0; i < n; i++) {
            p[i] ^= 1;
            ck_assert(!is_gray(p, n));
            p[i] ^= 1;
        }
    }
}
END_TEST

CHECK_MAIN("isa", 20, sha256, filters, gray)
