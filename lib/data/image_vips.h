/*
 * image_vips: what libvips decodes and encodes for image_file, as a plugin.
 *
 * libvips brings a hundred libraries and takes 70 ms to load and start, and
 * most scans are PNG files that do without it.
 */
#ifndef BUSI_DATA_IMAGE_VIPS_H
#define BUSI_DATA_IMAGE_VIPS_H

#include "base/err.h"
#include "base/magic.h"
#include "data/image.h"

#define IMAGE_VIPS_SYMBOL "busi_image_vips"

/* All from any thread, after start; errors as in image_file.h. */
struct image_vips {
    int (*start)(struct err *e);
    int (*decode)(struct image *m, enum magic f, const void *data,
                  size_t nbytes, struct err *e);
    int (*encode_png)(const struct image *m, void **data, size_t *nbytes,
                      struct err *e);
};

#endif
