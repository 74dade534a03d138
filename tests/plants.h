/*
 * plants: copies of a picture, changed in known ways, for what looks for them.
 */
#ifndef BUSI_TESTS_PLANTS_H
#define BUSI_TESTS_PLANTS_H

#include "base/rng.h"
#include "data/dup.h"

#include <math.h>
#include <string.h>

enum { PLANTS = 12 };

enum change { MIRROR = 1, MARKS = 2, BRIGHT = 4, PAD = 8 };

/* A copy: a part, moved, resized, and changed; and what it is to be called. */
struct plant {
    const char *what;
    double part, scale;
    int change;
    enum dup_kind kind;
};

static const struct plant PLANT[PLANTS] = {
    { "equal", 1, 1, 0, DUP_EXACT },
    { "other marks", 1, 1, MARKS, DUP_SHIFTED },
    { "brighter", 1, 1, BRIGHT, DUP_SHIFTED },
    { "shifted", 0.85, 1, PAD, DUP_SHIFTED },
    { "half", 1, 0.5, 0, DUP_SCALED },
    { "x 1.2", 1, 1.2, MARKS, DUP_SCALED },
    { "x 1.93", 1, 1.93, 0, DUP_SCALED },
    { "part of 0.8", 0.8, 1, 0, DUP_CROPPED },
    { "part of 0.6", 0.6, 1, MARKS, DUP_CROPPED },
    { "part of 0.7, x 1.4", 0.7, 1.4, 0, DUP_SCALED },
    { "mirrored", 1, 1, MIRROR, DUP_MIRRORED },
    { "mirrored part of 0.8, x 0.7", 0.8, 0.7, MIRROR | BRIGHT,
      DUP_MIRRORED },
};

static inline void
mirror(struct image *m)
{
    for (int y = 0; y < m->h; y++)
        for (int i = 0, j = m->w - 1; i < j; i++, j--) {
            uint8_t *row = m->px + (size_t)y * m->w, t = row[i];

            row[i] = row[j];
            row[j] = t;
        }
}

/* Six white crosses and a line of writing, more or less. */
static inline void
mark(struct image *m, struct rng *r)
{
    for (int k = 0; k < 6; k++) {
        int x = 8 + (int)rng_below(r, (uint32_t)m->w - 16);
        int y = 8 + (int)rng_below(r, (uint32_t)m->h - 16);

        for (int d = -6; d <= 6; d++) {
            m->px[(size_t)y * m->w + x + d] = 255;
            m->px[(size_t)(y + d) * m->w + x] = 255;
        }
    }
    for (int i = m->h - 30; i < m->h - 20; i++)
        for (int j = 20; j < 120 && j < m->w; j++)
            if ((j / 3 + i / 4) % 3 == 0)
                m->px[(size_t)i * m->w + j] = 240;
}

/*
 * Copy b of picture a.  The fit is where pixels of a are in b, of size `size`.
 */
static inline void
plant(struct image *to, const struct image *from, const struct plant *p,
      struct rng *r, struct dup_fit *fit)
{
    int w = (int)(from->w * p->part), h = (int)(from->h * p->part);
    int x = (int)rng_below(r, (uint32_t)(from->w - w) + 1);
    int y = (int)rng_below(r, (uint32_t)(from->h - h) + 1);
    struct image part;

    image_init(&part, w, h, 1);
    for (int i = 0; i < h; i++)
        memcpy(part.px + (size_t)i * w,
               from->px + (size_t)(y + i) * from->w + x, (size_t)w);
    image_resize(to, &part, (int)lrint(w * p->scale),
                 (int)lrint(h * p->scale));
    image_release(&part);
    fit->sx = (double)to->w / w;
    fit->sy = (double)to->h / h;
    fit->tx = (0.5 - x) * fit->sx - 0.5;
    fit->ty = (0.5 - y) * fit->sy - 0.5;
    fit->mirror = (p->change & MIRROR) != 0;
    if (p->change & PAD) {
        part = *to;
        image_init(to, from->w, from->h, 1);
        for (int i = 0; i < h; i++)
            memcpy(to->px + (size_t)i * to->w, part.px + (size_t)i * w,
                   (size_t)w);
        image_release(&part);
    }
    if (p->change & MIRROR)
        mirror(to);
    if (p->change & MARKS)
        mark(to, r);
    if (p->change & BRIGHT)
        for (size_t i = 0; i < (size_t)to->w * to->h; i++)
            to->px[i] = (uint8_t)lrint(255 * pow(to->px[i] / 255.0, 0.6));
}

#endif
