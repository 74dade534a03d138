/* safetensors files: headers of any kind, and their checksums. */
#include "fuzz.h"

#include "data/safet.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[64];
    int fd = fuzz_file(data, n, path);
    struct safet s;
    struct err e = { 0 };

    if (safet_open(&s, path, &e) == 0) {
        if (safet_meta(&s, "crc32") != NULL)
            safet_verify(&s, &e);
        safet_close(&s);
    }
    close(fd);
    return 0;
}
