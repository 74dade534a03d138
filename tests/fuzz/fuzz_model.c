/* Model files: metadata, tensors and what they say of each other. */
#include "fuzz.h"

#include "learn/model.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct model m = { 0 };
    struct err e = { 0 };

    fuzz_input(data, n);
    if (model_open(&m, "fuzz", &e) == 0)
        model_release(&m);
    return 0;
}
