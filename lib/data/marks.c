#include "data/marks.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>

/* ----------------------------------------------------------------- calipers */

enum {
    CROSS_LEVEL = 110,          /* least brightness of a cross */
    CROSS_EVEN = 36,            /* most that an arm is darker than the centre */
    CROSS_RISE = 24,            /* least that it is brighter than its sides */
    CROSS_SKEW = 2,             /* pixels by which arms may differ */
    CROSS_ARM = 6               /* stroke widths that an arm stays below */
};

static uint8_t
at(const struct image *g, int x, int y)
{
    return g->px[(size_t)y * (size_t)g->w + (size_t)x];
}

/*
 * Length of the arm from (x, y) in direction (dx, dy): as long as it is bright
 * and, beyond the crossing, both sides at distance f are dark.
 */
static int
arm(const struct image *g, int x, int y, int dx, int dy, int f, int level)
{
    int most = CROSS_ARM * f, t = 1;

    for (; t <= most; t++) {
        int px = x + t * dx, py = y + t * dy;
        int v;

        if (px < f || py < f || px >= g->w - f || py >= g->h - f)
            break;
        v = at(g, px, py);
        if (v < level - CROSS_EVEN || v > level + CROSS_EVEN)
            break;
        if (t > f && (v - at(g, px + f * dy, py + f * dx) < CROSS_RISE ||
                      v - at(g, px - f * dy, py - f * dx) < CROSS_RISE))
            break;
    }
    return t - 1;
}

/* A cross that was found. */
struct cross {
    int x, y;                   /* centre */
    bool clear;                 /* with arms longer than those of letters */
};

enum { CROSSES = 16 };          /* no need to find more */

/* Length of the arms of a cross at (x, y) with strokes narrower than f, or 0. */
static int
cross_at(const struct image *g, int x, int y, int f)
{
    static const int way[4][2] = { { 1, 0 }, { -1, 0 }, { 0, 1 }, { 0, -1 } };
    int level = at(g, x, y), least = 1000, most = 0;

    for (int k = 0; k < 4; k++) {
        int sx = k & 1 ? f : -f, sy = k & 2 ? f : -f;

        if (level - at(g, x + sx, y + sy) < CROSS_RISE)
            return 0;
    }
    for (int k = 0; k < 4; k++) {
        int n = arm(g, x, y, way[k][0], way[k][1], f, level);

        least = n < least ? n : least;
        most = n > most ? n : most;
        if (least < f + 2)
            return 0;
    }
    return most - least <= CROSS_SKEW && most < CROSS_ARM * f ? least : 0;
}

static bool
is_known(const struct cross *c, size_t n, int x, int y)
{
    for (size_t i = 0; i < n; i++)
        if (abs(c[i].x - x) < 8 && abs(c[i].y - y) < 8)
            return true;
    return false;
}

static size_t
find_crosses(const struct image *g, struct cross to[CROSSES])
{
    static const int width[] = { 2, 3, 5 };
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(width); i++) {
        int f = width[i];

        for (int y = 2 * f; y < g->h - 2 * f; y++)
            for (int x = 2 * f; x < g->w - 2 * f; x++) {
                int length = at(g, x, y) < CROSS_LEVEL ? 0
                           : cross_at(g, x, y, f);

                if (length > 0 && n < CROSSES && !is_known(to, n, x, y))
                    to[n++] = (struct cross){ x, y, length > f + 2 };
            }
    }
    return n;
}

/* --------------------------------------------------------------------- text */

enum {
    GLYPH_LEVEL = 190,          /* least brightness of a character's pixel */
    GLYPH_RISE = 50,            /* least contrast to what is two pixels off */
    GLYPH_SPREAD = 20,          /* most deviation of its brightness */
    GLYPH_LOW = 7, GLYPH_HIGH = 40,     /* heights, pixels */
    TOP = 24,                   /* share of the height left to the scanner */
    GLYPHS = 4096               /* looked at, at most */
};

struct glyph {
    int x0, y0, x1, y1;         /* inclusive */
};

/*
 * Bright pixels that are joined, from number `start` on, are set to 2 in `mask`
 * and listed in pixel[n].
 */
static struct glyph
fill(uint8_t *mask, int w, int h, int start, int *pixel, size_t *n)
{
    struct glyph g = { start % w, start / w, start % w, start / w };
    size_t listed = 0;

    *n = 0;
    pixel[listed++] = start;
    mask[start] = 2;
    while (*n < listed) {
        int x = pixel[*n] % w, y = pixel[*n] / w;

        ++*n;
        g.x0 = x < g.x0 ? x : g.x0;
        g.x1 = x > g.x1 ? x : g.x1;
        g.y0 = y < g.y0 ? y : g.y0;
        g.y1 = y > g.y1 ? y : g.y1;
        for (int k = 0; k < 9; k++) {
            int px = x + k % 3 - 1, py = y + k / 3 - 1;

            if (px < 0 || py < 0 || px >= w || py >= h ||
                mask[py * w + px] != 1)
                continue;
            mask[py * w + px] = 2;
            pixel[listed++] = py * w + px;
        }
    }
    return g;
}

/* Are the pixels of one brightness, and those around much darker? */
static bool
sharp(const struct image *m, const int *pixel, size_t n)
{
    static const int way[4][2] = { { 2, 0 }, { -2, 0 }, { 0, 2 }, { 0, -2 } };
    double sum = 0, squares = 0;
    size_t edge = 0, steep = 0;

    for (size_t i = 0; i < n; i++) {
        int x = pixel[i] % m->w, y = pixel[i] / m->w, v = at(m, x, y);

        sum += v;
        squares += v * v;
        for (int k = 0; k < 4; k++) {
            int px = x + way[k][0], py = y + way[k][1];

            if (px < 0 || py < 0 || px >= m->w || py >= m->h ||
                at(m, px, py) >= GLYPH_LEVEL)
                continue;
            edge++;
            steep += v - at(m, px, py) >= GLYPH_RISE;
        }
    }
    sum /= (double)n;
    return edge > 0 && 10 * steep >= 8 * edge &&
           squares / (double)n - sum * sum < GLYPH_SPREAD * GLYPH_SPREAD;
}

/* Has it the size of a character, and none of a caliper or the border? */
static bool
fits(const struct glyph *g, size_t n, const struct image *m,
     const struct cross *cross, size_t ncrosses)
{
    int h = g->y1 - g->y0 + 1, w = g->x1 - g->x0 + 1;

    if (h < GLYPH_LOW || h > GLYPH_HIGH || w > 2 * h || w < 2 ||
        (double)n < 0.2 * w * h || g->y0 < m->h / TOP)
        return false;
    for (size_t i = 0; i < ncrosses; i++)
        if (cross[i].x >= g->x0 && cross[i].x <= g->x1 &&
            cross[i].y >= g->y0 && cross[i].y <= g->y1)
            return false;
    return true;
}

/* Does b follow a in a line of text? */
static bool
follows(const struct glyph *a, const struct glyph *b)
{
    int ha = a->y1 - a->y0 + 1, hb = b->y1 - b->y0 + 1;
    int high = ha > hb ? ha : hb, low = ha > hb ? hb : ha;
    int gap = b->x0 - a->x1;

    return abs(a->y1 - b->y1) <= 2 && 5 * low >= 3 * high && gap > 0 &&
           10 * gap <= 9 * high;
}

static size_t
find_glyphs(const struct image *m, const struct cross *cross,
            size_t ncrosses, struct glyph to[GLYPHS])
{
    size_t npx = (size_t)m->w * (size_t)m->h, n = 0, npixels;
    uint8_t *mask = mem_alloc(npx);
    int *stack = mem_array(npx, sizeof *stack);

    for (size_t i = 0; i < npx; i++)
        mask[i] = m->px[i] >= GLYPH_LEVEL;
    for (size_t i = 0; i < npx && n < GLYPHS; i++) {
        if (mask[i] != 1)
            continue;
        to[n] = fill(mask, m->w, m->h, (int)i, stack, &npixels);
        if (fits(&to[n], npixels, m, cross, ncrosses) &&
            sharp(m, stack, npixels))
            n++;
    }
    free(mask);
    free(stack);
    return n;
}

static bool
has_text(const struct image *m, const struct cross *cross, size_t ncrosses)
{
    struct glyph *glyph = mem_array(GLYPHS, sizeof *glyph);
    size_t n = find_glyphs(m, cross, ncrosses, glyph);
    bool found = false;

    for (size_t i = 0; i < n && !found; i++)
        for (size_t k = 0; k < n && !found; k++)
            found = follows(&glyph[i], &glyph[k]);
    free(glyph);
    return found;
}

/* ------------------------------------------------------------------ colour */

enum { COLOUR_RISE = 16, COLOUR_PIXELS = 50 };

static bool
has_colour(const struct image *m)
{
    size_t n = 0, npx = (size_t)m->w * (size_t)m->h;

    for (size_t i = 0; i < npx && m->c == 3; i++) {
        const uint8_t *p = m->px + 3 * i;
        int high = p[0] > p[1] ? p[0] : p[1], low = p[0] > p[1] ? p[1] : p[0];

        high = p[2] > high ? p[2] : high;
        low = p[2] < low ? p[2] : low;
        n += high - low >= COLOUR_RISE;
    }
    return n >= COLOUR_PIXELS;
}

/* --------------------------------------------------------------------- all */

unsigned
marks_find(const struct image *m)
{
    struct cross cross[CROSSES];
    struct image g;
    size_t n;
    bool clear = false;
    unsigned marks = 0;

    image_gray(&g, m);
    n = find_crosses(&g, cross);
    for (size_t i = 0; i < n; i++)
        clear = clear || cross[i].clear;
    marks |= clear || n > 1 ? MARK_CALIPER : 0;
    marks |= has_text(&g, cross, marks ? n : 0) ? MARK_TEXT : 0;
    marks |= has_colour(m) ? MARK_COLOUR : 0;
    image_release(&g);
    return marks;
}

void
marks_print(unsigned marks, struct str *s)
{
    static const char *const name[] = { "caliper", "text", "colour" };
    const char *comma = "";

    str_add(s, "");
    for (size_t i = 0; i < ARRAY_LEN(name); i++)
        if (marks & 1u << i) {
            str_addf(s, "%s%s", comma, name[i]);
            comma = ",";
        }
}
