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

START_TEST(paeth)
{
#if defined(__x86_64__)
    enum { N = 300 };
    uint8_t above[N + SLACK], a[N + SLACK], b[N + SLACK];
    struct rng r;

    if (!__builtin_cpu_supports("sse4.1")) {
        printf("SKIP SSE4.1: this processor has none\n");
        return;
    }
    rng_init(&r, 2, RNG_AUGMENT, 0, 0);
    for (int i = 0; i < 2000; i++) {
        size_t bpp = (size_t)i % 4 + 1;

        for (size_t k = 0; k < sizeof a; k++) {
            /* Small steps too, so that distances are equal now and then. */
            above[k] = (uint8_t)rng_below(&r, i % 8 < 4 ? 256 : 4);
            a[k] = b[k] = (uint8_t)rng_below(&r, i % 8 < 4 ? 256 : 4);
        }
        undo_paeth_fast(a, above, N, bpp);
        switch (bpp) {
        case 1: undo_paeth_of(b, above, N, 1); break;
        case 2: undo_paeth_of(b, above, N, 2); break;
        case 3: undo_paeth_of(b, above, N, 3); break;
        case 4: undo_paeth_of(b, above, N, 4); break;
        }
        ck_assert_mem_eq(a, b, sizeof a);
    }
#endif
}
END_TEST

CHECK_MAIN("isa", 20, sha256, paeth)
