/* Feed files to a fuzz target: replay FILE... */
#include "fuzz.h"

#include <unistd.h>

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        static uint8_t data[1 << 20];
        FILE *f = fopen(argv[i], "rb");
        size_t n;

        if (f == NULL) {
            perror(argv[i]);
            return 1;
        }
        n = fread(data, 1, sizeof data, f);
        fclose(f);
        alarm(20);              /* SIGALRM: it takes for ever */
        LLVMFuzzerTestOneInput(data, n);
        /* And every cut of it, if it is short. */
        for (size_t k = 0; k < n && n < 4096; k++)
            LLVMFuzzerTestOneInput(data, k);
    }
    return 0;
}
