#include "base/magic.h"

#include "base/mem.h"

#include <string.h>

enum magic
magic_of(const void *data, size_t nbytes)
{
    static const struct {
        enum magic format;
        size_t at, n;
        char bytes[9];
    } sign[] = {
        /* DICOM first: before its own sign another's may stand. */
        { MAGIC_DICOM, 128, 4, "DICM" },
        { MAGIC_PNG, 0, 8, "\x89PNG\r\n\x1a\n" },
        { MAGIC_JPEG, 0, 3, "\xff\xd8\xff" },
        { MAGIC_TIFF, 0, 4, "II*\0" },
        { MAGIC_TIFF, 0, 4, "MM\0*" }
    };
    const char *p = data;

    for (size_t i = 0; i < ARRAY_LEN(sign); i++)
        if (nbytes >= sign[i].at + sign[i].n &&
            memcmp(p + sign[i].at, sign[i].bytes, sign[i].n) == 0)
            return sign[i].format;
    if (nbytes >= 12 && memcmp(p, "RIFF", 4) == 0 &&
        memcmp(p + 8, "WEBP", 4) == 0)
        return MAGIC_WEBP;
    /* "BM", and the length of a second header, of which there are seven. */
    if (nbytes >= 18 && memcmp(p, "BM", 2) == 0 &&
        strchr("\x0c\x28\x34\x38\x40\x6c\x7c", p[14]) != NULL &&
        memcmp(p + 14, "\0\0\0\0", 4) != 0 &&
        memcmp(p + 15, "\0\0\0", 3) == 0)
        return MAGIC_BMP;
    return MAGIC_NONE;
}
