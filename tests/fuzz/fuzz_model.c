/* Model files: metadata, tensors and what they say of each other. */
#include "fuzz.h"

#include "learn/model.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[64];
    int fd = fuzz_file(data, n, path);
    struct model m = { 0 };
    struct err e = { 0 };

    if (model_open(&m, path, &e) == 0)
        model_release(&m);
    close(fd);
    return 0;
}
