/*
 * image: 8-bit pictures in memory, and pure functions on them.
 */
#ifndef BUSI_DATA_IMAGE_H
#define BUSI_DATA_IMAGE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { IMAGE_MAX_SIDE = 16384, IMAGE_MAX_PIXELS = 1 << 26 };

struct image {
    int w, h, c;            /* width, height, channels (1 gray, 3 RGB) */
    uint8_t *px;            /* [h,w,c], rows without gaps */
};

/* Is a foreign picture of a size that is taken?  Else EXIT_INVALID. */
int image_check_size(int64_t w, int64_t h, struct err *e);

/*
 * Every function with a `to` makes a new picture there without looking at the old
 * one; the caller frees it with image_release().  `to` must not be `from`.
 */
void image_init(struct image *m, int w, int h, int c);      /* zeros */
void image_release(struct image *m);

/* A value of 0..255 with alpha, flattened on black: rounded to nearest. */
static inline uint8_t
image_on_black(unsigned value, unsigned alpha)
{
    return (uint8_t)((value * alpha + 127) / 255);
}

/*
 * Luma as Pillow's convert("L") and ITU-R BT.601:
 * (19595 R + 38470 G + 7471 B + 32768) >> 16.  Of gray, a copy.
 */
void image_gray(struct image *to, const struct image *from);

/*
 * Antialiased bilinear resize, equal to resize(BILINEAR) of Pillow 13 bit for
 * bit: two passes of a triangle filter, coefficients rounded to 22 bits, each
 * pass rounded to 8 bits.  The width goes first, but where the height loses
 * more than twice as many pixels as the width, the height does.
 */
void image_resize(struct image *to, const struct image *from, int w, int h);

#endif
