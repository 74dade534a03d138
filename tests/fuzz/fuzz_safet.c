/* safetensors files: headers of any kind, and their checksums. */
#include "fuzz.h"

#include "data/safet.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct safet s;
    struct err e = { 0 };

    fuzz_input(data, n);
    if (safet_open(&s, "fuzz", &e) == 0) {
        if (safet_meta(&s, "crc32") != NULL)
            safet_verify(&s, &e);
        safet_close(&s);
    }
    return 0;
}
