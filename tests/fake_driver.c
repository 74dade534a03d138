/*
 * fake_driver: a libcuda.so.1 that sees no GPU, of the version in FAKE_DRIVER
 * (13000 is CUDA 13.0): for what is said where only the driver is there.
 */
#include <stdlib.h>
#include <string.h>

enum { NO_DEVICE = 100 };       /* CUDA_ERROR_NO_DEVICE */

int cuInit(unsigned flags);
int cuDriverGetVersion(int *version);
int cuGetProcAddress_v2(const char *name, void **f, int version,
                        unsigned long long flags, int *status);

static int
none(void)
{
    return NO_DEVICE;
}

int
cuInit(unsigned flags)
{
    (void)flags;
    return NO_DEVICE;
}

int
cuDriverGetVersion(int *version)
{
    const char *v = getenv("FAKE_DRIVER");

    *version = v != NULL ? (int)strtol(v, NULL, 10) : 99000;
    return 0;
}

int
cuGetProcAddress_v2(const char *name, void **f, int version,
                    unsigned long long flags, int *status)
{
    static const struct {
        const char *name;
        void *f;
    } known[] = {
        { "cuInit", (void *)cuInit },
        { "cuDriverGetVersion", (void *)cuDriverGetVersion },
        { "cuGetProcAddress", (void *)cuGetProcAddress_v2 },
    };
    void *found = (void *)none;

    (void)version;
    (void)flags;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0)
            found = known[i].f;
    *f = found;
    if (status != NULL)
        *status = 0;
    return 0;
}
