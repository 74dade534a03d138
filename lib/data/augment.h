/*
 * augment: random changes of a picture that keep its diagnosis.
 *
 * Every draw is a function of (seed, epoch, sample), in a fixed order, so that
 * a batch is the same for any number of threads or ranks.  One pass: where an
 * output pixel comes from (crop, scale, rotation, flip: bilinear, border
 * replicated), then its value v on the 0..1 scale, clamped after each line,
 *
 *     v = ((v^gamma - p) * contrast + p) * brightness,  p = mean^gamma
 *     v = v * gain(depth) * (1 + speckle * noise)
 *
 * with the mean of the whole picture, then normalisation.
 *
 *   none      centre crop
 *   flip      left-right flip, half of the time (never up-down: depth is
 *             not symmetric)
 *   standard  flip, rotation +-8 degrees, scale 0.85..1.15, a window anywhere
 *             inside the border, gamma 0.8..1.25, contrast, brightness +-20 %
 *   strong    12 degrees, scale 0.75..1.3, gamma 0.65..1.5, +-35 %, depth
 *             gain 0.74..1.35 at each end, speckle up to 0.15, and half of the
 *             time a rectangle set to 0
 */
#ifndef BUSI_DATA_AUGMENT_H
#define BUSI_DATA_AUGMENT_H

#include "data/augment_map.h"
#include "data/recipe.h"

#include <stdbool.h>
#include <stdint.h>

enum augment_kind {
    AUGMENT_NONE, AUGMENT_FLIP, AUGMENT_STANDARD, AUGMENT_STRONG
};
#define AUGMENT_NAMES "none|flip|standard|strong"

/* What was drawn for one sample of one epoch. */
struct augment {
    bool flip;
    float angle;            /* radians, counter-clockwise */
    float scale;            /* > 1 shows a smaller part, larger */
    float dx, dy;           /* shift of the centre, in source pixels */
    float gamma, contrast, brightness;
    float gain_top, gain_bottom;    /* factors, linear in between */
    float speckle;          /* deviation of multiplicative noise */
    float cut_x, cut_y, cut_w, cut_h;   /* of the output, 0..1; w = 0: none */
    uint64_t seed;          /* of the speckle's own draws */
    uint32_t epoch, sample;
};

/* Nothing changes; the centre crop. */
void augment_none(struct augment *a);

/*
 * Draw for a source of h x w pixels cropped to `size` x `size`.
 */
void augment_draw(struct augment *a, enum augment_kind kind, uint64_t seed,
                  uint32_t epoch, uint32_t sample, int h, int w, int size);

/*
 * All of it that does not depend on the output's pixel; px [h,w,c] is looked
 * at for its mean alone.
 */
void augment_prepare(const struct augment *a, const struct recipe *r,
                     const uint8_t *px, int h, int w, int c, int size,
                     struct augment_map *m);

/*
 * px [h,w,c] u8 -> out [c,size,size].  Where nothing is interpolated or changed
 * in value, these are exactly recipe_levels() of the pixels, the f32 dataset's
 * values; elsewhere the same formula in float32.  c is 1 or 3.  A picture
 * smaller than size is padded by its border.
 */
void augment_apply(const struct augment *a, const struct recipe *r,
                   const uint8_t *px, int h, int w, int c, int size,
                   float *out);

#endif
