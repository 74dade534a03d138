/*
 * image_png: the PNG files that scans are, decoded fast and checked whole.
 *
 * Of PNG it takes 8-bit gray and RGB, with alpha or without, not interlaced.
 * Every chunk's CRC-32, the order of chunks and the checksum and exact length
 * of the pixels are checked.  About twice as fast as libpng, whose files make
 * nearly all the work of busi-prep.
 */
#ifndef BUSI_DATA_IMAGE_PNG_H
#define BUSI_DATA_IMAGE_PNG_H

#include "base/err.h"
#include "data/image.h"

#include <stdbool.h>

/*
 * Is every chunk whole, and the last one the end, and is there one picture?
 * Holds for any PNG, also those that image_png_decode() does not take.
 */
int image_png_check(const void *data, size_t nbytes, struct err *e);

/*
 * Decode a file that image_png_check() has passed.  Returns 1 for one of a
 * kind that is not taken here (nothing is done), -1 with EXIT_INVALID for one
 * that is damaged.  Alpha is flattened on black; RGB whose channels are the same
 * throughout comes as gray, which most scans are.
 */
int image_png_decode(struct image *m, const void *data, size_t nbytes,
                     struct err *e);

#endif
