/*
 * image_bmp: BMP files, which libvips reads only by way of ImageMagick.
 *
 * Taken are uncompressed pictures of 1, 4, 8 (palette), 24 and 32 bits with the
 * header of Windows 3 or a later one, bottom-up or top-down.  32-bit ones have
 * alpha only where the header names a mask for it.
 */
#ifndef BUSI_DATA_IMAGE_BMP_H
#define BUSI_DATA_IMAGE_BMP_H

#include "base/err.h"
#include "data/image.h"

/*
 * Decode; gray where the whole palette is gray.  EXIT_INVALID: damaged,
 * truncated, too large, compressed or of a kind that is not taken.
 */
int image_bmp_decode(struct image *m, const void *data, size_t nbytes,
                     struct err *e);

#endif
