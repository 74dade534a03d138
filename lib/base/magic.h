/* magic: the format of a picture, by its first bytes. */
#ifndef BUSI_BASE_MAGIC_H
#define BUSI_BASE_MAGIC_H

#include <stddef.h>

enum magic {
    MAGIC_NONE, MAGIC_PNG, MAGIC_JPEG, MAGIC_TIFF, MAGIC_WEBP, MAGIC_BMP,
    MAGIC_DICOM
};

enum { MAGIC_BYTES = 132 };     /* of a file tell it */

enum magic magic_of(const void *data, size_t nbytes);

#endif
