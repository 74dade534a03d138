#include "data/mask.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAX_SIDE = 1 << 14 };     /* as everywhere; bounds time and memory */

struct png {
    const unsigned char *p, *end;   /* the chunk to read next */
    uint32_t w, h;
    int depth;                      /* bits of a sample */
    int colour;                     /* colour type: 0 2 3 4 6 */
    int samples;                    /* of a pixel, with alpha */
    bool interlaced;
    bool plain[256];                /* palette entry is black or white */
    z_stream z;
};

static uint32_t
be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

/* The data of the next chunk, NULL at the end of the file. */
static const unsigned char *
next_chunk(struct png *g, uint32_t *nbytes, const char **type)
{
    const unsigned char *p = g->p;

    if (g->end - p < 12 || be32(p) > (size_t)(g->end - p) - 12)
        return NULL;
    *nbytes = be32(p);
    *type = (const char *)p + 4;
    g->p += *nbytes + 12;
    return p + 8;
}

static bool
read_header(struct png *g)
{
    static const int samples[7] = { 1, 0, 3, 1, 2, 0, 4 };
    const unsigned char *d;
    const char *type;
    uint32_t n;

    if (g->end - g->p < 8 || memcmp(g->p, "\x89PNG\r\n\x1a\n", 8) != 0)
        return false;
    g->p += 8;
    d = next_chunk(g, &n, &type);
    if (d == NULL || n != 13 || memcmp(type, "IHDR", 4) != 0)
        return false;
    g->w = be32(d);
    g->h = be32(d + 4);
    g->depth = d[8];
    g->colour = d[9];
    g->interlaced = d[12] == 1;
    if (g->w == 0 || g->w > MAX_SIDE || g->h == 0 || g->h > MAX_SIDE ||
        g->colour > 6 || d[12] > 1)
        return false;
    g->samples = samples[g->colour];
    return g->samples > 0 &&
           (g->depth == 8 || (g->depth == 16 && g->colour != 3) ||
            (g->samples == 1 &&
             (g->depth == 1 || g->depth == 2 || g->depth == 4)));
}

static void
read_palette(struct png *g, const unsigned char *d, uint32_t n)
{
    for (uint32_t i = 0; i < n / 3 && i < 256; i++, d += 3)
        g->plain[i] = d[0] == d[1] && d[1] == d[2] &&
                      (d[0] == 0 || d[0] == 255);
}

/* Exactly n bytes of the pixel stream, from as many IDAT as it takes. */
static bool
inflate_bytes(struct png *g, unsigned char *to, size_t n)
{
    g->z.next_out = to;
    g->z.avail_out = (uInt)n;
    while (g->z.avail_out > 0) {
        const unsigned char *d;
        const char *type;
        uint32_t nbytes;
        int rc;

        if (g->z.avail_in == 0) {
            if ((d = next_chunk(g, &nbytes, &type)) == NULL)
                return false;
            if (memcmp(type, "PLTE", 4) == 0)
                read_palette(g, d, nbytes);
            if (memcmp(type, "IDAT", 4) != 0)
                continue;
            g->z.next_in = (unsigned char *)d;
            g->z.avail_in = nbytes;
        }
        rc = inflate(&g->z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END ? g->z.avail_out > 0 :
            rc != Z_OK && rc != Z_BUF_ERROR)
            return false;
    }
    return true;
}

static int
paeth(int a, int b, int c)
{
    int pa = abs(b - c), pb = abs(a - c), pc = abs(a + b - 2 * c);

    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/* PNG's filters undone; before both rows lie `step` zero bytes. */
static bool
unfilter(int filter, unsigned char *row, const unsigned char *up, size_t n,
         size_t step)
{
    for (size_t i = 0; i < n; i++) {
        int a = row[(ptrdiff_t)i - (ptrdiff_t)step], b = up[i];
        int c = up[(ptrdiff_t)i - (ptrdiff_t)step];

        switch (filter) {
        case 0: break;
        case 1: row[i] = (unsigned char)(row[i] + a); break;
        case 2: row[i] = (unsigned char)(row[i] + b); break;
        case 3: row[i] = (unsigned char)(row[i] + (a + b) / 2); break;
        case 4: row[i] = (unsigned char)(row[i] + paeth(a, b, c)); break;
        default: return false;
        }
    }
    return true;
}

/* Is every pixel of a row black or white? */
static bool
plain_row(const struct png *g, const unsigned char *row, uint32_t w)
{
    int colours = g->colour & 2 && g->colour != 3 ? 3 : 1;
    size_t step = (size_t)(g->samples * g->depth) / 8;
    size_t nbytes = (size_t)(colours * g->depth) / 8;
    unsigned max = (1u << g->depth) - 1;

    for (size_t x = 0; x < w; x++) {
        if (g->depth < 8 || g->colour == 3) {
            size_t bit = x * (size_t)g->depth;
            unsigned v = row[bit / 8] >> (8 - g->depth - (int)(bit % 8)) & max;

            if (g->colour == 3 ? !g->plain[v] : v != 0 && v != max)
                return false;
            continue;
        }
        if (row[x * step] != 0 && row[x * step] != 255)
            return false;
        for (size_t i = 1; i < nbytes; i++)
            if (row[x * step + i] != row[x * step])
                return false;
    }
    return true;
}

/* One pass of w x h pixels; without interlacing there is one. */
static bool
plain_pass(struct png *g, uint32_t w, uint32_t h)
{
    size_t bits = (size_t)g->samples * (size_t)g->depth;
    size_t step = bits < 8 ? 1 : bits / 8, n = (w * bits + 7) / 8;
    unsigned char *room = mem_array(2, 16 + n);
    unsigned char *row = room + 16, *up = row + n + 16;
    bool plain = w > 0;

    for (uint32_t y = 0; y < h && plain; y++) {
        unsigned char filter = 0, *swap = row;

        row = up;
        up = swap;
        plain = inflate_bytes(g, &filter, 1) && inflate_bytes(g, row, n) &&
                unfilter(filter, row, up, n, step) && plain_row(g, row, w);
    }
    free(room);
    g->z.next_out = NULL;       /* it pointed at what ends here */
    return plain || w == 0;
}

static bool
plain_picture(struct png *g)
{
    static const struct { uint32_t x, y, dx, dy; } adam7[7] = {
        { 0, 0, 8, 8 }, { 4, 0, 8, 8 }, { 0, 4, 4, 8 }, { 2, 0, 4, 4 },
        { 0, 2, 2, 4 }, { 1, 0, 2, 2 }, { 0, 1, 1, 2 }
    };

    if (!g->interlaced)
        return plain_pass(g, g->w, g->h);
    for (int i = 0; i < 7; i++)
        if (!plain_pass(g, (g->w + adam7[i].dx - 1 - adam7[i].x) / adam7[i].dx,
                        (g->h + adam7[i].dy - 1 - adam7[i].y) / adam7[i].dy))
            return false;
    return true;
}

bool
mask_look(const char *path)
{
    struct file_map map;
    struct err quiet = { 0 };
    struct png g;
    bool plain = false;

    if (file_map(&map, path, &quiet) != 0)
        return false;
    memset(&g, 0, sizeof g);
    g.p = map.data;
    g.end = map.data + map.nbytes;
    if (read_header(&g) && inflateInit(&g.z) == Z_OK) {
        plain = plain_picture(&g);
        inflateEnd(&g.z);
    }
    file_unmap(&map);
    return plain;
}
