/*
 * Stands in for lib/base/file.c and libdeflate in fuzz targets (ld --wrap):
 * every file is the input, in a block of its own size, so that ASan sees a read
 * behind its end; and every CRC-32 is 0, as the files of the corpus say, for
 * else no changed byte would get any further.
 */
#include "fuzz.h"

#include "base/file.h"

#include <libdeflate.h>

static const uint8_t *input;
static size_t ninput;

void
fuzz_input(const uint8_t *data, size_t n)
{
    input = data;
    ninput = n;
}

int __wrap_file_map(struct file_map *m, const char *path, struct err *e);
void __wrap_file_unmap(struct file_map *m);
int __wrap_file_read(const char *path, char **data, size_t *nbytes,
                     struct err *e);
uint32_t __wrap_libdeflate_crc32(uint32_t crc, const void *data, size_t n);

int
__wrap_file_map(struct file_map *m, const char *path, struct err *e)
{
    void *copy = NULL;

    (void)path, (void)e;
    if (posix_memalign(&copy, 64, ninput > 0 ? ninput : 1) != 0)
        abort();
    memcpy(copy, input, ninput);
    *m = (struct file_map){ copy, ninput };
    return 0;
}

void
__wrap_file_unmap(struct file_map *m)
{
    free((void *)m->data);
    memset(m, 0, sizeof *m);
}

int
__wrap_file_read(const char *path, char **data, size_t *nbytes, struct err *e)
{
    (void)path, (void)e;
    *data = fuzz_text(input, ninput);
    *nbytes = ninput;
    return 0;
}

uint32_t
__wrap_libdeflate_crc32(uint32_t crc, const void *data, size_t n)
{
    (void)crc, (void)data, (void)n;
    return 0;
}
