/*
 * image_file: picture files, decoded and encoded.
 *
 * Whatever comes in (palette, 16-bit, alpha, CMYK, ...) leaves as 8-bit gray or
 * RGB; alpha is flattened on black.  A file that is truncated, of an unknown
 * format, larger than the limits or a decompression bomb is refused, and one
 * that is damaged as far as its decoder notices: of PNG every bit, the others
 * have no checksums.  Pixels that are missing are not made up.  The header is
 * read and checked before any pixel.  Only PNG, JPEG, TIFF and WebP files of
 * one page, BMP and DICOM are opened at all, each by its home: image_png.h,
 * image_bmp.h, image_dicom.h, and libvips, a plugin (image_vips.h), for what
 * these do not take.  The EXIF orientation is ignored.
 *
 * A path may name a frame of a DICOM file: `FILE.dcm#3`, from 1.
 */
#ifndef BUSI_DATA_IMAGE_FILE_H
#define BUSI_DATA_IMAGE_FILE_H

#include "base/err.h"
#include "data/image.h"

enum { IMAGE_MAX_BYTES = 1 << 28 };     /* of a file */

/*
 * From now on decode in child processes of few rights (sandbox.h); programs
 * that read scans begin with it, before any thread.  Each child that needs
 * libvips loads its own.  Ends with sandbox_close(), or with the program.
 */
int image_sandbox_open(struct err *e);

/*
 * The file of a path, which the caller frees, and the number of the frame that
 * it names, or 0; and where in a path `#N` stands, its end if nowhere.
 */
char *image_path(const char *path, int64_t *frame);
const char *image_frame(const char *path);

/*
 * Decode a file.  Errors (EXIT_INVALID: not a picture we take; EXIT_IO: cannot
 * be read) say what is wrong, without the path in front.  Safe to call from
 * several threads.
 */
int image_load(struct image *m, const char *path, struct err *e);

/*
 * In two steps: the bytes of the file, with the frame as above, and the picture
 * in them.  The caller frees *data.
 */
int image_read(const char *path, char **data, size_t *nbytes, int64_t *frame,
               struct err *e);
int image_decode(struct image *m, const void *data, size_t nbytes,
                 int64_t frame, struct err *e);

/* Write as PNG, whole or not at all. */
int image_save_png(const struct image *m, const char *path, struct err *e);

/* As PNG bytes in memory; the caller frees *data. */
int image_encode_png(const struct image *m, void **data, size_t *nbytes,
                     struct err *e);

#endif
