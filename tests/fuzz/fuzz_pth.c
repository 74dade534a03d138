/* Files of torch.save(): every tensor found must lie inside the file. */
#include "fuzz.h"

#include "data/pth.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct safet s;
    struct err e = { 0 };

    fuzz_input(data, n);
    if (pth_open(&s, "fuzz", &e) == 0) {
        volatile unsigned sum = 0;

        for (size_t i = 0; i < s.ntensors; i++) {
            const unsigned char *p = safet_data(&s, &s.tensor[i]);

            for (size_t k = 0; k < s.tensor[i].nbytes; k++)
                sum += p[k];
        }
        safet_close(&s);
    }
    return 0;
}
