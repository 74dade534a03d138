/* Any file of ours as busi-info --verify reads it: tables, datasets, states. */
#include "fuzz.h"

#include "learn/describe.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct describe_conf all = { .verify = true, .tensors = true };
    struct description d;
    struct err e = { 0 };

    fuzz_input(data, n);
    if (describe_open(&d, "fuzz", &all, &e) == 0)
        describe_release(&d);
    return 0;
}
