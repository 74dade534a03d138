/* Expected CRCs: Pillow 13 and NumPy on the same noise. */
#include "check.h"
#include "noise.h"
#include "pictures.h"

#include "base/pool.h"
#include "data/image.h"
#include "data/sandbox.h"
#include "data/image_file.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static uint32_t
crc_of(const struct image *m)
{
    return (uint32_t)crc32(0, m->px, (uInt)(m->w * m->h * m->c));
}

static void
make_noise(struct image *m, int w, int h, int c, uint32_t seed)
{
    image_init(m, w, h, c);
    noise(m->px, (size_t)(w * h * c), seed);
}

START_TEST(resize_equals_pillow)
{
    static const struct {
        int w, h, c, to_w, to_h;
        uint32_t crc;
    } cases[] = {
        { 562, 471, 1, 256, 256, 0x54116b6a },
        { 562, 471, 3, 256, 256, 0xbf3c6249 },
        { 190, 335, 1, 256, 256, 0xabf0d5d4 },
        { 389, 594, 1, 256, 256, 0x3d298a1c },
        { 1048, 719, 1, 256, 256, 0xa5bc8495 },
        { 1, 300, 1, 256, 256, 0x56b431c2 },
        { 300, 1, 3, 64, 64, 0x039ff599 },
        { 1, 1, 1, 5, 3, 0xaa203c61 },
        { 37, 23, 3, 64, 80, 0x37c013be },
        { 256, 256, 1, 256, 256, 0xbee606e1 },
        { 300, 400, 1, 256, 341, 0x186a0933 },
        { 17, 900, 1, 20, 100, 0x5c5b3e0b },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct image from, to;

        make_noise(&from, cases[i].w, cases[i].h, cases[i].c,
                   (uint32_t)(cases[i].w * cases[i].h));
        image_resize(&to, &from, cases[i].to_w, cases[i].to_h);
        ck_assert_int_eq(to.w, cases[i].to_w);
        ck_assert_int_eq(to.h, cases[i].to_h);
        ck_assert_msg(crc_of(&to) == cases[i].crc, "case %zu", i);
        image_release(&from);
        image_release(&to);
    }
}
END_TEST

START_TEST(gray_equals_pillow)
{
    struct image rgb, gray, again;

    make_noise(&rgb, 64, 64, 3, 11);
    image_gray(&gray, &rgb);
    ck_assert_uint_eq(crc_of(&gray), 0x101c562c);
    image_release(&rgb);
    image_init(&again, 64, 64, 3);  /* three equal channels */
    for (int i = 0; i < 64 * 64; i++)
        memset(again.px + 3 * i, gray.px[i], 3);
    image_gray(&rgb, &again);       /* of which the luma is the value */
    ck_assert_uint_eq(crc_of(&rgb), 0x101c562c);
    image_release(&rgb);
    image_release(&gray);
    image_release(&again);
}
END_TEST

static void
decode_every_kind(void)
{
    struct err e = { 0 };

    for (size_t i = 0; i < sizeof pictures / sizeof pictures[0]; i++) {
        struct image m;

        e.status = 0;
        ck_assert_msg(image_decode(&m, pictures[i].data, pictures[i].nbytes,
                                   0, &e) == 0, "%s: %s", pictures[i].name,
                      e.text);
        ck_assert_msg(m.w == 9 && m.h == 7 && m.c == pictures[i].c, "%s",
                      pictures[i].name);
        ck_assert_msg(crc_of(&m) == pictures[i].crc, "%s: %08x",
                      pictures[i].name, (unsigned)crc_of(&m));
        image_release(&m);
    }
}
START_TEST(every_kind_decodes)
{
    decode_every_kind();
}
END_TEST

START_TEST(every_kind_decodes_in_a_child)
{
    struct err e = { 0 };

    ck_assert_int_eq(image_sandbox_open(&e), 0);
    decode_every_kind();
    sandbox_close();
}
END_TEST

START_TEST(cmyk_becomes_rgb)
{
    struct err e = { 0 };
    struct image m;

    ck_assert_int_eq(image_decode(&m, jpeg_cmyk, sizeof jpeg_cmyk, 0, &e), 0);
    ck_assert_int_eq(m.c, 3);
    for (int i = 0; i < m.w * m.h * m.c; i++)
        ck_assert_int_ge(m.px[i], 250);     /* no ink is white */
    image_release(&m);
}
END_TEST

static void
refuses(const void *data, size_t nbytes, const char *words)
{
    struct err e = { 0 };
    struct image m;

    ck_assert_int_eq(image_decode(&m, data, nbytes, 0, &e), -1);
    ck_assert_int_eq(e.status, EXIT_INVALID);
    ck_assert_msg(strstr(e.text, words) != NULL, "'%s'", e.text);
    ck_assert_ptr_null(m.px);
}

START_TEST(others_are_refused)
{
    static const uint8_t photometric[] = { 6, 1, 3, 0, 1, 0, 0, 0 };
    uint8_t ycc[sizeof tiff], *at;
    enum { IHDR_END = 33 };
    static const uint8_t two_frames[] = {       /* a chunk acTL */
        0x00, 0x00, 0x00, 0x08, 0x61, 0x63, 0x54, 0x4c, 0x00, 0x00,
        0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0xf3, 0x8d, 0x93, 0x70
    };
    uint8_t apng[sizeof png_gray + sizeof two_frames];
    memcpy(apng, png_gray, IHDR_END);
    memcpy(apng + IHDR_END, two_frames, sizeof two_frames);
    memcpy(apng + IHDR_END + sizeof two_frames, png_gray + IHDR_END,
           sizeof png_gray - IHDR_END);
    refuses(gif, sizeof gif, "no PNG, JPEG");
    refuses("", 0, "empty");
    refuses("id\tpath\nx\ty\n", 12, "no PNG, JPEG");
    refuses(tiff_2, sizeof tiff_2, "2 pages");
    memcpy(ycc, tiff, sizeof tiff);
    at = memmem(ycc, sizeof ycc, photometric, sizeof photometric);
    ck_assert_ptr_nonnull(at);
    at[sizeof photometric] = 6;
    refuses(ycc, sizeof ycc, "YCbCr");
    refuses(apng, sizeof apng, "2 pages");
}
END_TEST

static void
put32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Of png_16, whose rows are stored. */
enum { DATA = 41, ROWS = DATA + 7, ROW = 19, PIXELS = 7 * ROW };

static void
put_sums(uint8_t copy[sizeof png_16])
{
    put32(copy + ROWS + PIXELS,
          (uint32_t)adler32(adler32(0, NULL, 0), copy + ROWS, PIXELS));
    put32(copy + ROWS + PIXELS + 4,
          (uint32_t)crc32(0, copy + DATA - 4, 4 + 7 + PIXELS + 4));
}

/* Without filters and with these bits. */
static void
dim(uint8_t copy[sizeof png_16], unsigned bits)
{
    memcpy(copy, png_16, sizeof png_16);
    for (int i = 0; i < PIXELS; i++)
        copy[ROWS + i] &= (uint8_t)(i % ROW == 0 ? 0
                                    : i % ROW % 2 ? bits >> 8 : bits);
    put_sums(copy);
}

/* Of one gray of 8 bits, in both bytes of 16. */
static void
spread(uint8_t copy[sizeof png_16], uint8_t gray)
{
    memcpy(copy, png_16, sizeof png_16);
    for (int i = 0; i < PIXELS; i++)
        copy[ROWS + i] = i % ROW == 0 ? 0 : gray;
    put_sums(copy);
}

/* A TIFF file of two pixels with a gray channel and another. */
START_TEST(what_is_behind_the_colours)
{
    static const uint16_t tag[][3] = {      /* its kind: 3 of 16 bits */
        { 256, 3, 2 }, { 257, 3, 1 }, { 258, 3, 8 }, { 259, 3, 1 },
        { 262, 3, 1 }, { 273, 4, 146 }, { 277, 3, 2 }, { 278, 3, 1 },
        { 279, 4, 4 }, { 284, 3, 1 }, { 338, 3, 2 }
    };
    enum { TAGS = 11, EXTRA = 10 + 12 * (TAGS - 1) };
    static const uint8_t pixels[] = { 200, 128, 100, 255 };
    uint8_t file[146 + sizeof pixels] = "II*\0\10\0\0\0\13";
    struct err e = { 0 };
    struct image m;

    for (int i = 0; i < TAGS; i++) {
        uint8_t *at = file + 10 + 12 * i;

        at[0] = (uint8_t)tag[i][0];
        at[1] = (uint8_t)(tag[i][0] >> 8);
        at[2] = (uint8_t)tag[i][1];
        at[4] = tag[i][0] == 258 ? 2 : 1;
        at[8] = (uint8_t)tag[i][2];
        at[10] = tag[i][0] == 258 ? 8 : 0;
    }
    memcpy(file + 146, pixels, sizeof pixels);
    ck_assert_msg(image_decode(&m, file, sizeof file, 0, &e) == 0, "%s",
                  e.text);
    ck_assert_int_eq(m.c, 1);
    ck_assert_uint_eq(m.px[0], 100);
    ck_assert_uint_eq(m.px[1], 100);
    image_release(&m);
    file[EXTRA + 8] = 0;
    refuses(file, sizeof file, "neither colour nor alpha");
    file[EXTRA + 8] = 2;
    file[EXTRA + 4] = 2;
    refuses(file, sizeof file, "neither colour nor alpha");
    file[8] = TAGS - 1;         /* nothing is said of it */
    refuses(file, sizeof file, "neither colour nor alpha");
}
END_TEST

START_TEST(sixteen_bits_are_used)
{
    uint8_t copy[sizeof png_16];
    struct err e = { 0 };
    struct image m;

    dim(copy, 0x0fff);
    refuses(copy, sizeof copy, "only the low 12 are used: spread them");
    dim(copy, 0x3fff);
    refuses(copy, sizeof copy, "only the low 14 are used");
    for (unsigned bits = 0; bits <= 0x7fff; bits += 0x7fff) {
        dim(copy, bits);
        ck_assert_msg(image_decode(&m, copy, sizeof copy, 0, &e) == 0, "%s",
                      e.text);
        image_release(&m);
    }
    spread(copy, 51);
    ck_assert_int_eq(image_decode(&m, copy, sizeof copy, 0, &e), 0);
    ck_assert_uint_eq(m.px[0], 51);
    image_release(&m);
}
END_TEST

/* Every truncation of every kind; of JPEG, all but the end marker matters. */
START_TEST(truncations_are_refused)
{
    for (size_t i = 0; i < sizeof pictures / sizeof pictures[0]; i++)
        for (size_t n = 0; n < pictures[i].nbytes; n++) {
            struct image m;
            void *copy = malloc(n > 0 ? n : 1);

            memcpy(copy, pictures[i].data, n);
            ck_assert_msg(image_decode(&m, copy, n, 0, NULL) == -1,
                          "%s cut to %zu of %zu", pictures[i].name, n,
                          pictures[i].nbytes);
            free(copy);
        }
}
END_TEST

START_TEST(flipped_bits_of_png_are_refused)
{
    for (size_t i = 0; i < sizeof pictures / sizeof pictures[0]; i++) {
        uint8_t *copy;

        if (strncmp(pictures[i].name, "png", 3) != 0)
            continue;
        copy = malloc(pictures[i].nbytes);
        memcpy(copy, pictures[i].data, pictures[i].nbytes);
        for (size_t bit = 0; bit < 8 * pictures[i].nbytes; bit++) {
            struct image m;

            copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
            ck_assert_msg(image_decode(&m, copy, pictures[i].nbytes, 0,
                                       NULL) == -1, "%s bit %zu",
                          pictures[i].name, bit);
            copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        free(copy);
    }
}
END_TEST

/* BMP: a size, a depth, an offset, a palette that cannot be. */
START_TEST(bad_bmp_is_refused)
{
    static const struct {
        int at, value;
        const char *words;
    } change[] = {
        { 20, 1, "limit" }, { 21, 0x80, "no pixels" }, { 24, 1, "limit" },
        { 28, 2, "depth" }, { 30, 1, "compression" }, { 11, 255, "cut off" },
        { 14, 12, "header" }, { 46, 2, "palette" },
        { 47, 2, "palette" }, { 11, 1, "palette" }
    };
    uint8_t copy[sizeof bmp_gray];

    for (size_t i = 0; i < sizeof change / sizeof change[0]; i++) {
        memcpy(copy, bmp_gray, sizeof copy);
        copy[change[i].at] = (uint8_t)change[i].value;
        refuses(copy, sizeof copy, change[i].words);
    }
    memcpy(copy, bmp_palette, sizeof bmp_palette);
    copy[46] = 2;
    refuses(copy, sizeof bmp_palette, "palette lacks");
}
END_TEST

/* A PNG header that promises 16384 x 4096 with a few bytes of pixels. */
START_TEST(bombs_are_refused)
{
    uint8_t copy[sizeof png_gray];
    uint32_t crc;

    for (int huge = 0; huge < 2; huge++) {
        memcpy(copy, png_gray, sizeof copy);
        memcpy(copy + 16, huge ? "\0\1\0\0\0\1\0\0" : "\0\0\x40\0\0\0\x10\0",
               8);
        crc = (uint32_t)crc32(0, copy + 12, 17);
        for (int i = 0; i < 4; i++)
            copy[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
        refuses(copy, sizeof copy, huge ? "limit" : "pixels are damaged");
    }
}
END_TEST

struct crowd {
    atomic_int wrong;
};

static void
decode_some(void *ctx, size_t i, int thread)
{
    struct crowd *c = ctx;
    struct err e = { 0 };
    struct image m;
    size_t n = sizeof png_interlaced - (i % 2);     /* odd ones are cut */

    (void)thread;
    if (image_decode(&m, png_interlaced, n, 0, &e) != -(int)(i % 2))
        c->wrong++;
    else if (i % 2 == 0)
        image_release(&m);
    /* One that libvips itself refuses, next to one it takes. */
    n = sizeof webp - 8 * (i % 2);
    if (image_decode(&m, webp, n, 0, &e) != -(int)(i % 2))
        c->wrong++;
    else if (i % 2 == 0)
        image_release(&m);
}

START_TEST(threads_keep_their_own_verdicts)
{
    struct crowd c = { 0 };
    pool_run(4, 200, decode_some, &c);
    ck_assert_int_eq(c.wrong, 0);
}
END_TEST

START_TEST(png_out_and_in)
{
    char path[] = "/tmp/check-image-XXXXXX";
    struct err e = { 0 };
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    close(fd);
    for (int c = 1; c <= 3; c += 2) {
        struct image m, back;

        make_noise(&m, 33, 21, c, 9);
        ck_assert_int_eq(image_save_png(&m, path, &e), 0);
        ck_assert_int_eq(image_load(&back, path, &e), 0);
        ck_assert_int_eq(back.c, c);
        ck_assert_mem_eq(back.px, m.px, (size_t)(33 * 21 * c));
        image_release(&m);
        image_release(&back);
    }
    unlink(path);
    ck_assert_int_eq(image_load(&(struct image){ 0 }, path, &e), -1);
    ck_assert_int_eq(e.status, EXIT_IO);
    e.status = 0;
    ck_assert_int_eq(image_load(&(struct image){ 0 }, "/tmp", &e), -1);
    ck_assert_int_eq(e.status, EXIT_IO);
}
END_TEST

CHECK_MAIN("image", 60, resize_equals_pillow, gray_equals_pillow,
           every_kind_decodes, every_kind_decodes_in_a_child, cmyk_becomes_rgb,
           others_are_refused, what_is_behind_the_colours,
           sixteen_bits_are_used, truncations_are_refused,
           flipped_bits_of_png_are_refused, bombs_are_refused,
           bad_bmp_is_refused, threads_keep_their_own_verdicts,
           png_out_and_in)
