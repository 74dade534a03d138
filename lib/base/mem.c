#include "base/mem.h"

#include "base/err.h"
#include "base/log.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *
must(void *p, size_t nbytes)
{
    if (p == NULL) {
        log_error("out of memory (%zu bytes wanted)", nbytes);
        exit(EXIT_IO);
    }
    return p;
}

static size_t
product(size_t n, size_t size)
{
    size_t nbytes;

    if (__builtin_mul_overflow(n, size, &nbytes) || nbytes > PTRDIFF_MAX)
        must(NULL, SIZE_MAX);
    return nbytes > 0 ? nbytes : 1;
}

void *
mem_alloc(size_t nbytes)
{
    return must(malloc(nbytes > 0 ? nbytes : 1), nbytes);
}

void *
mem_array(size_t n, size_t size)
{
    size_t nbytes = product(n, size);

    return must(calloc(1, nbytes), nbytes);
}

void *
mem_grow(void *p, size_t n, size_t size)
{
    size_t nbytes = product(n, size);

    return must(realloc(p, nbytes), nbytes);
}

char *
mem_strdup(const char *s)
{
    size_t nbytes = strlen(s) + 1;

    return memcpy(mem_alloc(nbytes), s, nbytes);
}

void *
mem_aligned(size_t n, size_t size)
{
    size_t nbytes = (product(n, size) + 63) / 64 * 64;

    return memset(must(aligned_alloc(64, nbytes), nbytes), 0, nbytes);
}
