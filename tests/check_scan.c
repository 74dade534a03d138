/* Masks that carry no name: PNG files of black and white alone. */
#include "check.h"

#include "base/mem.h"
#include "base/str.h"
#include "data/scan.h"

#include <stdbool.h>
#include <unistd.h>
#include <zlib.h>

enum { GRAY, RGB = 2, PALETTE, GRAY_ALPHA, RGB_ALPHA = 6 };

/* One row of w pixels, without the byte for its filter. */
struct picture {
    bool mask;
    uint8_t colour, depth, w;
    const char *row;
};

static const struct picture pictures[] = {
    { true, GRAY, 1, 8, "\xa5" },
    { true, GRAY, 2, 4, "\xc3" }, { false, GRAY, 2, 4, "\xc7" },
    { true, GRAY, 4, 2, "\xf0" }, { false, GRAY, 4, 2, "\xe0" },
    { true, GRAY, 8, 2, "\xff\0" }, { true, GRAY, 8, 2, "\0\0" },
    { true, GRAY, 8, 1, "\xff" }, { false, GRAY, 8, 2, "\0\xfe" },
    { true, GRAY, 16, 2, "\xff\xff\0\0" },
    { false, GRAY, 16, 2, "\xff\xff\x80\0" },
    { true, RGB, 8, 2, "\xff\xff\xff\0\0\0" },
    { false, RGB, 8, 2, "\xff\xff\xff\xff\0\0" },   /* red */
    { false, RGB, 8, 2, "\0\0\0\x01\x01\x01" },
    { true, RGB, 16, 1, "\xff\xff\xff\xff\xff\xff" },
    { false, RGB, 16, 1, "\xff\xff\0\0\0\0" },
    /* of black, white and red */
    { true, PALETTE, 1, 8, "\xa5" },
    { true, PALETTE, 2, 4, "\x10" }, { false, PALETTE, 2, 4, "\x12" },
    { true, PALETTE, 8, 2, "\0\1" }, { false, PALETTE, 8, 2, "\1\2" },
    /* what cannot be seen is black */
    { true, GRAY_ALPHA, 8, 2, "\xff\xff\x80\0" },
    { false, GRAY_ALPHA, 8, 1, "\xff\x80" },
    { true, RGB_ALPHA, 8, 2, "\xff\xff\xff\xff\xff\xff\xff\0" },
    { false, RGB_ALPHA, 8, 1, "\xff\xff\xff\x80" },
    { false, RGB_ALPHA, 8, 1, "\xff\0\0\xff" },
    { true, RGB_ALPHA, 16, 1, "\xff\xff\xff\xff\xff\xff\xff\xff" },
};

static void
put32(struct str *s, uint32_t v)
{
    const uint8_t b[] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16),
                          (uint8_t)(v >> 8), (uint8_t)v };

    str_add_bytes(s, b, sizeof b);
}

static void
put_chunk(struct str *s, const char *type, const void *data, size_t nbytes)
{
    size_t start = s->n + 4;

    put32(s, (uint32_t)nbytes);
    str_add(s, type);
    str_add_bytes(s, data, nbytes);
    put32(s, (uint32_t)crc32(0, (uint8_t *)s->text + start,
                             (uInt)(s->n - start)));
}

static void
make_png(struct str *s, const struct picture *p)
{
    static const uint8_t samples[] = { 1, 0, 3, 1, 2, 0, 4 };
    const uint8_t head[13] = { 0, 0, 0, p->w, 0, 0, 0, 1, p->depth, p->colour };
    size_t nrow = (size_t)(p->w * samples[p->colour] * p->depth + 7) / 8;
    uint8_t row[32] = { 0 }, packed[64];
    uLongf npacked = sizeof packed;

    memcpy(row + 1, p->row, nrow);
    ck_assert_int_eq(compress(packed, &npacked, row, nrow + 1), Z_OK);
    str_add(s, "\x89PNG\r\n\x1a\n");
    put_chunk(s, "IHDR", head, sizeof head);
    if (p->colour == PALETTE)
        put_chunk(s, "PLTE", "\0\0\0\xff\xff\xff\xff\0\0",
                  p->depth == 1 ? 6 : 9);
    put_chunk(s, "IDAT", packed, npacked);
    put_chunk(s, "IEND", "", 0);
}

/* Is a file of these bytes taken for a mask? */
static bool
is_mask(const void *data, size_t nbytes)
{
    char path[] = "/tmp/check-scan-XXXXXX.png";
    int fd = mkstemps(path, 4);
    struct scan_list l = { 0 };
    struct err e = { 0 };
    bool mask;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, data, nbytes), (ssize_t)nbytes);
    close(fd);
    ck_assert_int_eq(scan_add(&l, path, NULL, &e), 0);
    ck_assert_int_eq(scan_read(&l, true, &e), 0);
    ck_assert_ptr_null(l.item[0].reason);
    mask = l.item[0].mask == SCAN_MASK_CONTENT;
    scan_release(&l);
    unlink(path);
    return mask;
}

START_TEST(black_and_white_in_every_kind)
{
    for (size_t i = 0; i < ARRAY_LEN(pictures); i++) {
        struct str s = { 0 };

        make_png(&s, &pictures[i]);
        ck_assert_msg(is_mask(s.text, s.n) == pictures[i].mask, "picture %zu",
                      i);
        str_release(&s);
    }
}
END_TEST

START_TEST(damaged_ones_are_none)
{
    struct str s = { 0 };

    make_png(&s, &pictures[0]);
    for (size_t n = 1; n < s.n; n++)
        ck_assert_msg(!is_mask(s.text, n), "cut at %zu", n);
    for (size_t at = 0; at < s.n; at++) {
        s.text[at] ^= 4;
        ck_assert_msg(!is_mask(s.text, s.n), "damaged at %zu", at);
        s.text[at] ^= 4;
    }
    ck_assert(is_mask(s.text, s.n));
    str_release(&s);
}
END_TEST

CHECK_MAIN("scan", 60, black_and_white_in_every_kind, damaged_ones_are_none)
