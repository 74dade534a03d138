#include "data/image_bmp.h"

#include <stdbool.h>
#include <string.h>

enum { FILE_HEADER = 14, OLD_HEADER = 40, V4_HEADER = 56, MASKS = 54 };
enum { BI_RGB = 0, BI_BITFIELDS = 3 };

struct bmp {
    const uint8_t *px;          /* rows of `stride` bytes, as in the file */
    size_t stride;
    int w, h, bits;
    bool top_down, alpha;
    uint8_t palette[256][3];    /* red, green, blue */
    uint32_t ncolors;
};

static uint32_t
le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static int
bad(struct err *e, const char *why)
{
    return err_set(e, EXIT_INVALID, "cannot be decoded: bmp: %s", why);
}

/* The masks of 32-bit pixels must be those of everybody. */
static int
read_masks(struct bmp *b, const uint8_t *p, uint32_t header, size_t nbytes,
           struct err *e)
{
    if (b->bits != 32 || nbytes < MASKS + 16)
        return bad(e, "a kind of pixel that is not taken");
    if (le32(p + MASKS) != 0xff0000 || le32(p + MASKS + 4) != 0xff00 ||
        le32(p + MASKS + 8) != 0xff)
        return bad(e, "bit fields that are not taken");
    b->alpha = header >= V4_HEADER && le32(p + MASKS + 12) == 0xff000000;
    return 0;
}

static int
read_palette(struct bmp *b, const uint8_t *p, size_t from, size_t to,
             struct err *e)
{
    if (b->ncolors == 0)
        b->ncolors = 1u << b->bits;
    if (b->ncolors > 1u << b->bits || from > to ||
        (to - from) / 4 < b->ncolors)
        return bad(e, "a damaged palette");
    for (uint32_t i = 0; i < b->ncolors; i++)
        for (int k = 0; k < 3; k++)
            b->palette[i][k] = p[from + 4 * i + 2 - k];
    return 0;
}

static int
read_size(struct bmp *b, const uint8_t *p, struct err *e)
{
    int32_t w = (int32_t)le32(p + 18), h = (int32_t)le32(p + 22);
    int64_t high = h < 0 ? -(int64_t)h : h;

    if (image_check_size(w, high, e) != 0)
        return -1;
    b->w = w;
    b->h = (int)high;
    b->top_down = h < 0;
    return 0;
}

static int
read_header(struct bmp *b, const uint8_t *p, size_t nbytes, struct err *e)
{
    uint32_t header, at, how;

    if (nbytes < FILE_HEADER + OLD_HEADER)
        return bad(e, "it is cut off");
    header = le32(p + 14);
    at = le32(p + 10);
    how = le32(p + 30);
    b->bits = p[28] | p[29] << 8;
    b->ncolors = le32(p + 46);
    if (header < OLD_HEADER || header > 1024 || p[26] != 1 || p[27] != 0)
        return bad(e, "a header that is not taken");
    if (read_size(b, p, e) != 0)
        return -1;
    if (how == BI_BITFIELDS ? read_masks(b, p, header, nbytes, e) != 0
                            : how != BI_RGB)
        return bad(e, "a compression that is not taken");
    if (b->bits != 1 && b->bits != 4 && b->bits != 8 && b->bits != 24 &&
        b->bits != 32)
        return bad(e, "a depth that is not taken");
    b->stride = ((size_t)b->w * (size_t)b->bits + 31) / 32 * 4;
    if (at < FILE_HEADER + header || at > nbytes ||
        (nbytes - at) / b->stride < (size_t)b->h)
        return bad(e, "it is cut off");
    b->px = p + at;
    return b->bits > 8 ? 0 : read_palette(b, p, FILE_HEADER + header, at, e);
}

/* One row of indices; false: a color that the palette lacks. */
static bool
put_indexed(const struct bmp *b, const uint8_t *row, uint8_t *to, int c)
{
    int per_byte = 8 / b->bits;

    for (int x = 0; x < b->w; x++, to += c) {
        int shift = 8 - b->bits * (x % per_byte + 1);
        uint32_t v = row[x / per_byte] >> shift & ((1u << b->bits) - 1);

        if (v >= b->ncolors)
            return false;
        memcpy(to, b->palette[v], (size_t)c);
    }
    return true;
}

static void
put_direct(const struct bmp *b, const uint8_t *row, uint8_t *to)
{
    int step = b->bits / 8;

    for (int x = 0; x < b->w; x++, row += step)
        for (int k = 2; k >= 0; k--)
            *to++ = image_on_black(row[k], b->alpha ? row[3] : 255);
}

static bool
gray(const struct bmp *b)
{
    if (b->bits > 8)
        return false;
    for (uint32_t i = 0; i < b->ncolors; i++)
        if (b->palette[i][0] != b->palette[i][1] ||
            b->palette[i][0] != b->palette[i][2])
            return false;
    return true;
}

int
image_bmp_decode(struct image *m, const void *data, size_t nbytes,
                 struct err *e)
{
    struct bmp b = { 0 };

    memset(m, 0, sizeof *m);
    if (read_header(&b, data, nbytes, e) != 0)
        return -1;
    image_init(m, b.w, b.h, gray(&b) ? 1 : 3);
    for (int y = 0; y < b.h; y++) {
        const uint8_t *row = b.px + (size_t)y * b.stride;
        size_t line = (size_t)(b.top_down ? y : b.h - 1 - y);
        uint8_t *to = m->px + line * (size_t)(m->w * m->c);

        if (b.bits > 8) {
            put_direct(&b, row, to);
        } else if (!put_indexed(&b, row, to, m->c)) {
            image_release(m);
            return bad(e, "a color that its palette lacks");
        }
    }
    return 0;
}
