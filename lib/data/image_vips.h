/*
 * image_vips: picture files, decoded and encoded by libvips.
 *
 * Whatever comes in (palette, 16-bit, alpha, CMYK, ...) leaves as 8-bit gray or
 * RGB; alpha is flattened on black.  A file that is truncated, damaged, of an
 * unknown format, larger than the limits or a decompression bomb is refused;
 * nothing is ever made up.  The header is read and checked before any pixel.
 * Only PNG, JPEG, TIFF and WebP files of one page are opened at all (libvips
 * reads BMP only by way of ImageMagick).  An orientation in EXIF is not heeded.
 */
#ifndef BUSI_DATA_IMAGE_VIPS_H
#define BUSI_DATA_IMAGE_VIPS_H

#include "base/err.h"
#include "data/image.h"

enum {
    IMAGE_MAX_SIDE = 16384,         /* pixels */
    IMAGE_MAX_PIXELS = 1 << 26,
    IMAGE_MAX_BYTES = 1 << 28       /* of a file */
};

/*
 * Start libvips now; else the first picture that needs it does, and plain
 * 8-bit PNG files do not.
 */
int image_vips_open(struct err *e);
void image_vips_close(void);

/*
 * Decode a file.  Errors (EXIT_INVALID: not a picture we take; EXIT_IO: cannot
 * be read) say what is wrong, without the path in front.  Safe to call from
 * several threads.
 */
int image_load(struct image *m, const char *path, struct err *e);

/* The same from bytes in memory. */
int image_decode(struct image *m, const void *data, size_t nbytes,
                 struct err *e);

/* Write as PNG, whole or not at all. */
int image_save_png(const struct image *m, const char *path, struct err *e);

/* As PNG bytes in memory; the caller frees *data. */
int image_encode_png(const struct image *m, void **data, size_t *nbytes,
                     struct err *e);

#endif
