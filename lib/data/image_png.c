#include "data/image_png.h"

#include "base/mem.h"
#include "base/vectors.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    SIGNATURE = 8,
    FRAME = 12,             /* a chunk's length, type and CRC */
    HEADER = 13,            /* bytes of IHDR */
    SLACK = 4,              /* bytes that may be read behind a row */
    PAETH = 4               /* the filter that costs most */
};

/* One chunk, and what lies behind it. */
struct chunk {
    const uint8_t *type, *data;
    size_t nbytes;
};

static uint32_t
be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
           (uint32_t)p[2] << 8 | p[3];
}

static bool
is_type(const struct chunk *c, const char *type)
{
    return memcmp(c->type, type, 4) == 0;
}

/*
 * The chunk at *p, if there is a whole one before end; *p moves behind it, and
 * to the end behind the last: what follows IEND is not the picture's.
 */
static bool
next_chunk(struct chunk *c, const uint8_t **p, const uint8_t *end)
{
    if (end - *p < FRAME || be32(*p) > (size_t)(end - *p) - FRAME)
        return false;
    c->nbytes = be32(*p);
    c->type = *p + 4;
    c->data = *p + 8;
    *p = is_type(c, "IEND") ? end : *p + c->nbytes + FRAME;
    return true;
}

int
image_png_check(const void *data, size_t nbytes, struct err *e)
{
    const uint8_t *p = data, *end = p + nbytes;
    struct chunk c;
    bool first = true;

    for (p += SIGNATURE; next_chunk(&c, &p, end); first = false) {
        if (libdeflate_crc32(0, c.type, 4 + c.nbytes) !=
            be32(c.data + c.nbytes))
            return err_set(e, EXIT_INVALID, "is damaged: CRC-32 of a part "
                           "of the PNG differs");
        if (is_type(&c, "acTL") && c.nbytes >= 4 && be32(c.data) > 1)
            return err_set(e, EXIT_INVALID, "has %u pages (an animated PNG); "
                           "one picture a file is taken", be32(c.data));
        if (first && (!is_type(&c, "IHDR") || c.nbytes != HEADER))
            break;
        if (is_type(&c, "IEND"))
            return 0;
    }
    return err_set(e, EXIT_INVALID, "is a PNG that is cut short or damaged");
}

/* ------------------------------------------------------------------ filters */

static void
undo_sub(uint8_t *row, size_t n, size_t bpp)
{
    for (size_t i = bpp; i < n; i++)
        row[i] = (uint8_t)(row[i] + row[i - bpp]);
}

static void
undo_up(uint8_t *row, const uint8_t *above, size_t n)
{
    for (size_t i = 0; i < n; i++)
        row[i] = (uint8_t)(row[i] + above[i]);
}

static void
undo_average(uint8_t *row, const uint8_t *above, size_t n, size_t bpp)
{
    for (size_t i = 0; i < bpp; i++)
        row[i] = (uint8_t)(row[i] + above[i] / 2);
    for (size_t i = bpp; i < n; i++)
        row[i] = (uint8_t)(row[i] + (row[i - bpp] + above[i]) / 2);
}

#if defined(__x86_64__)
/*
 * One pixel x: adds whichever of left a, above b, corner c is nearest to
 * a + b - c.  Branches on pixels cannot be predicted, hence the masks.
 */
static inline __attribute__((always_inline, target("sse4.1"))) __m128i
paeth(__m128i x, __m128i a, __m128i b, __m128i c)
{
    __m128i pa = _mm_sub_epi16(b, c), pb = _mm_sub_epi16(a, c);
    __m128i pc = _mm_abs_epi16(_mm_add_epi16(pa, pb)), least;

    pa = _mm_abs_epi16(pa);
    pb = _mm_abs_epi16(pb);
    least = _mm_min_epi16(pc, _mm_min_epi16(pa, pb));
    c = _mm_blendv_epi8(c, b, _mm_cmpeq_epi16(least, pb));
    c = _mm_blendv_epi8(c, a, _mm_cmpeq_epi16(least, pa));
    return _mm_add_epi8(x, c);
}

/* Two pixels, of four bytes whatever their size: rows must go on for three. */
static inline __attribute__((always_inline, target("sse4.1"))) __m128i
wide(const uint8_t *first, const uint8_t *second)
{
    int32_t p, q = 0;

    memcpy(&p, first, sizeof p);
    if (second != NULL)
        memcpy(&q, second, sizeof q);
    return _mm_cvtepu8_epi16(_mm_insert_epi32(_mm_cvtsi32_si128(p), q, 1));
}

static inline __attribute__((always_inline, target("sse4.1"))) void
narrow(uint8_t *first, uint8_t *second, __m128i v, size_t bpp)
{
    int64_t both = _mm_cvtsi128_si64(_mm_packus_epi16(v, v));
    int32_t p = (int32_t)both, q = (int32_t)(both >> 32);

    if (first != NULL)
        memcpy(first, &p, bpp);
    if (second != NULL)
        memcpy(second, &q, bpp);
}

/*
 * Each pixel waits for the one before it.  So two rows are done at a time: in
 * one half of the vectors a row, in the other the row below it, one pixel
 * behind; or one row, and `below` is NULL.
 */
static inline __attribute__((always_inline, target("sse4.1"))) void
undo_paeth_sse(uint8_t *row, uint8_t *below, const uint8_t *above, size_t n,
               size_t bpp)
{
    __m128i b = wide(above, NULL), c;
    __m128i a = paeth(wide(row, NULL), _mm_setzero_si128(), b,
                      _mm_setzero_si128());

    narrow(row, NULL, a, bpp);
    for (size_t i = bpp; i < n; i += bpp) {
        uint8_t *behind = below != NULL ? below + i - bpp : NULL;

        c = b;
        b = _mm_unpacklo_epi64(wide(above + i, NULL), a);
        a = paeth(wide(row + i, behind), a, b, c);
        narrow(row + i, behind, a, bpp);
    }
    if (below != NULL) {
        below += n - bpp;
        c = b;
        b = _mm_unpacklo_epi64(b, a);
        narrow(NULL, below, paeth(wide(below, below), a, b, c), bpp);
    }
}
#endif

/* The channels of a pixel side by side, wide enough for differences. */
typedef int16_t lanes __attribute__((vector_size(8)));
typedef uint8_t pixel __attribute__((vector_size(4)));

static inline lanes
choose(lanes mask, lanes yes, lanes no)
{
    return (mask & yes) | (~mask & no);
}

static inline lanes
magnitude(lanes v)
{
    lanes sign = v >> 15;

    return (v ^ sign) - sign;
}

/* The same for all other processors. */
static inline __attribute__((always_inline)) void
undo_paeth_of(uint8_t *row, const uint8_t *above, size_t n, size_t bpp)
{
    lanes a = { 0 }, c = { 0 };

    for (size_t i = 0; i < n; i += bpp) {
        lanes b, x, pa, pb, pc, less;
        pixel p;

        memcpy(&p, above + i, sizeof p);
        b = __builtin_convertvector(p, lanes);
        memcpy(&p, row + i, sizeof p);
        x = __builtin_convertvector(p, lanes);
        pa = magnitude(b - c);
        pb = magnitude(a - c);
        pc = magnitude(a - c + (b - c));
        less = (lanes)(pb < pa);
        a = choose(less, b, a);
        pa = choose(less, pb, pa);
        a = (choose((lanes)(pc < pa), c, a) + x) & 255;
        c = b;
        p = __builtin_convertvector(a, pixel);
        memcpy(row + i, &p, bpp);
    }
}

#if defined(__x86_64__)
static __attribute__((target("sse4.1"))) void
undo_paeth_fast(uint8_t *row, uint8_t *below, const uint8_t *above, size_t n,
                size_t bpp)
{
    if (below != NULL)
        switch (bpp) {
        case 1: undo_paeth_sse(row, below, above, n, 1); break;
        case 2: undo_paeth_sse(row, below, above, n, 2); break;
        case 3: undo_paeth_sse(row, below, above, n, 3); break;
        case 4: undo_paeth_sse(row, below, above, n, 4); break;
        }
    else
        switch (bpp) {
        case 1: undo_paeth_sse(row, NULL, above, n, 1); break;
        case 2: undo_paeth_sse(row, NULL, above, n, 2); break;
        case 3: undo_paeth_sse(row, NULL, above, n, 3); break;
        case 4: undo_paeth_sse(row, NULL, above, n, 4); break;
        }
}
#endif

/* One row, and the one below it unless NULL. */
static void
undo_paeth(uint8_t *row, uint8_t *below, const uint8_t *above, size_t n,
           size_t bpp)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.1")) {
        undo_paeth_fast(row, below, above, n, bpp);
        return;
    }
#endif
    switch (bpp) {
    case 1: undo_paeth_of(row, above, n, 1); break;
    case 2: undo_paeth_of(row, above, n, 2); break;
    case 3: undo_paeth_of(row, above, n, 3); break;
    case 4: undo_paeth_of(row, above, n, 4); break;
    }
    if (below != NULL)
        undo_paeth(below, NULL, row, n, bpp);
}

/* Rows of a filter byte and n bytes each; the first is below one of zeros. */
static int
undo_filters(uint8_t *rows, int h, size_t n, size_t bpp)
{
    uint8_t *zeros = mem_array(n + SLACK, 1);
    const uint8_t *above = zeros;
    int rc = 0;

    for (int y = 0; y < h && rc == 0; y++, rows += n + 1) {
        uint8_t *row = rows + 1, *below = NULL;

        if (rows[0] == PAETH && y + 1 < h && rows[n + 1] == PAETH)
            below = row + n + 1;
        switch (rows[0]) {
        case 0: break;
        case 1: undo_sub(row, n, bpp); break;
        case 2: undo_up(row, above, n); break;
        case 3: undo_average(row, above, n, bpp); break;
        case PAETH: undo_paeth(row, below, above, n, bpp); break;
        default: rc = -1;
        }
        if (below != NULL) {            /* which is done as well */
            row = below;
            rows += n + 1;
            y++;
        }
        above = row;
    }
    free(zeros);
    return rc;
}

/* ------------------------------------------------------------------- pixels */

/* Are all pixels of three bytes three times the same? */
VECTORS
static bool
is_gray(const uint8_t *p, size_t n)
{
    uint8_t differ = 0;

    for (size_t i = 0; i < n; i += 3)
        differ |= (uint8_t)((p[i] ^ p[i + 1]) | (p[i] ^ p[i + 2]));
    return differ == 0;
}

static void
put_row_on_black(uint8_t *to, const uint8_t *from, int w, int c, int bpp)
{
    for (int x = 0; x < w; x++, from += bpp)
        for (int i = 0; i < c; i++)
            *to++ = image_on_black(from[i], from[c]);
}

VECTORS
static void
put_row(uint8_t *restrict to, const uint8_t *restrict from, int w, int c,
        int bpp)
{
    if (bpp == c)
        memcpy(to, from, (size_t)w * (size_t)c);
    else if (bpp == 3)          /* gray */
        for (int x = 0; x < w; x++)
            to[x] = from[3 * x];
    else
        put_row_on_black(to, from, w, c, bpp);
}

/* The pixels' stream in one piece: *own is to be freed. */
static const uint8_t *
gather(const uint8_t *p, const uint8_t *end, size_t *nbytes, uint8_t **own)
{
    const uint8_t *start = p, *only = NULL;
    struct chunk c;
    size_t n = 0, pieces = 0;

    *own = NULL;
    while (next_chunk(&c, &p, end))
        if (is_type(&c, "IDAT")) {
            only = c.data;
            n += c.nbytes;
            pieces++;
        }
    *nbytes = n;
    if (pieces <= 1)
        return only;
    *own = mem_alloc(n);
    for (n = 0, p = start; next_chunk(&c, &p, end);)
        if (is_type(&c, "IDAT")) {
            memcpy(*own + n, c.data, c.nbytes);
            n += c.nbytes;
        }
    return *own;
}

/* Is it of a kind taken here?  Then bpp is the bytes of a pixel. */
static bool
taken(const uint8_t *p, const uint8_t *end, int *bpp)
{
    static const int channels[7] = { 1, 0, 3, 0, 2, 0, 4 };
    const uint8_t *header = p + 8;
    struct chunk c;

    if (header[8] != 8 || header[9] > 6 || header[10] != 0 ||
        header[11] != 0 || header[12] != 0 ||
        image_check_size(be32(header), be32(header + 4), NULL) != 0)
        return false;
    *bpp = channels[header[9]];
    /* A transparent colour is left to the library. */
    while (next_chunk(&c, &p, end))
        if (is_type(&c, "tRNS"))
            return false;
    return *bpp > 0;
}

/* Exactly nbytes, with the checksum behind them right. */
static int
inflate(uint8_t *to, size_t nbytes, const uint8_t *packed, size_t npacked)
{
    struct libdeflate_decompressor *d;
    enum libdeflate_result got;

    /* Deflate packs at most 1 to 1032: less cannot make these pixels. */
    if (npacked < nbytes / 1032)
        return -1;
    d = libdeflate_alloc_decompressor();
    if (d == NULL)
        return -1;
    got = libdeflate_zlib_decompress(d, packed, npacked, to, nbytes, NULL);
    libdeflate_free_decompressor(d);
    return got == LIBDEFLATE_SUCCESS ? 0 : -1;
}

int
image_png_decode(struct image *m, const void *data, size_t nbytes,
                 struct err *e)
{
    const uint8_t *p = (const uint8_t *)data + SIGNATURE;
    const uint8_t *end = (const uint8_t *)data + nbytes, *packed;
    uint8_t *own, *rows;
    size_t npacked, row, all;
    int bpp, w, h, rc;

    if (!taken(p, end, &bpp))
        return 1;
    w = (int)be32(p + 8);
    h = (int)be32(p + 12);
    row = (size_t)w * (size_t)bpp;
    all = (row + 1) * (size_t)h;
    packed = gather(p, end, &npacked, &own);
    rows = mem_alloc(all + SLACK);
    rc = inflate(rows, all, packed, npacked);
    free(own);
    if (rc == 0)
        rc = undo_filters(rows, h, row, (size_t)bpp);
    if (rc == 0) {
        bool gray = bpp <= 3;

        for (int y = 0; y < h && gray && bpp == 3; y++)
            gray = is_gray(rows + (size_t)y * (row + 1) + 1, row);
        image_init(m, w, h, gray ? 1 : 3);
        for (int y = 0; y < h; y++)
            put_row(m->px + (size_t)y * (size_t)(w * m->c),
                    rows + (size_t)y * (row + 1) + 1, w, m->c, bpp);
    }
    free(rows);
    return rc == 0 ? 0 : err_set(e, EXIT_INVALID, "is a PNG whose pixels are "
                                 "damaged");
}
