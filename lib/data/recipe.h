/*
 * recipe: how a picture file becomes a tensor, as one line of text.
 *
 * The line is stored in every dataset and every model, so that prediction
 * repeats what training saw, bit for bit:
 *
 *     resize=256x256 crop=224 channels=1 mean=0.5 std=0.5
 *
 * The steps: gray or RGB; resize (WxH squashes, one number fits the short
 * side); centre crop; then value = (u8 / 255 - mean) / std per channel, in
 * float32 in exactly this order of operations.
 */
#ifndef BUSI_DATA_RECIPE_H
#define BUSI_DATA_RECIPE_H

#include "base/err.h"
#include "base/str.h"
#include "data/image.h"

struct recipe {
    int width, height;      /* resize to; height 0: width is the short side */
    int crop;               /* side of the square that is kept */
    int channels;           /* 1 or 3 */
    float mean[3], std[3];  /* per channel */
};

/* Errors: EXIT_USAGE, naming the word. */
int recipe_parse(struct recipe *r, const char *text, struct err *e);
void recipe_print(const struct recipe *r, struct str *s);
/* Of two that were parsed: do they say the same? */
bool recipe_same(const struct recipe *a, const struct recipe *b);

/*
 * The pixels a network sees before normalisation: out is [crop,crop,channels].
 * A picture whose resized sides are smaller than the crop is EXIT_INVALID.
 */
int recipe_apply(const struct recipe *r, const struct image *in,
                 uint8_t *out, struct err *e);

/* The 256 normalised values of one channel. */
void recipe_levels(const struct recipe *r, int channel, float level[256]);

#endif
