/* BMP pictures. */
#include "fuzz.h"

#include "data/image_bmp.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct image m = { 0 };
    struct err e = { 0 };
    uint8_t *copy = malloc(n > 0 ? n : 1);

    if (copy == NULL)
        abort();
    memcpy(copy, data, n);      /* of its own size */
    if (image_bmp_decode(&m, copy, n, &e) == 0)
        image_release(&m);
    free(copy);
    return 0;
}
