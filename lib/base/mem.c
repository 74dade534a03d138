#include "base/mem.h"

#include "base/err.h"
#include "base/log.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

void *
mem_must(void *p, size_t nbytes)
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
        mem_must(NULL, SIZE_MAX);
    return nbytes > 0 ? nbytes : 1;
}

void *
mem_alloc(size_t nbytes)
{
    return mem_must(malloc(nbytes > 0 ? nbytes : 1), nbytes);
}

void *
mem_array(size_t n, size_t size)
{
    size_t nbytes = product(n, size);

    return mem_must(calloc(1, nbytes), nbytes);
}

void *
mem_grow(void *p, size_t n, size_t size)
{
    size_t nbytes = product(n, size);

    return mem_must(realloc(p, nbytes), nbytes);
}

void *
mem_room(void *p, size_t n, size_t *room, size_t size)
{
    if (p != NULL && n < *room)
        return p;
    *room = 2 * n + 16;
    return mem_grow(p, *room, size);
}

char *
mem_strdup(const char *s)
{
    size_t nbytes = strlen(s) + 1;

    return memcpy(mem_alloc(nbytes), s, nbytes);
}

static void *
aligned(size_t to, size_t n, size_t size)
{
    size_t nbytes = (product(n, size) + to - 1) / to * to;

    return mem_must(aligned_alloc(to, nbytes), nbytes);
}

void *
mem_aligned(size_t n, size_t size)
{
    return memset(aligned(64, n, size), 0, product(n, size));
}

void *
mem_scratch(void *p, size_t n, size_t *room, size_t size)
{
    if (p != NULL && n <= *room)
        return p;
    free(p);
    *room = n;
    return mem_aligned(n, size);
}

void *
mem_huge(size_t n, size_t size)
{
    void *p;

    if (product(n, size) < HUGE_PAGE)
        return mem_aligned(n, size);
    p = aligned(HUGE_PAGE, n, size);
    /* Where the kernel has none to give, small ones do. */
    madvise(p, product(n, size), MADV_HUGEPAGE);
    return memset(p, 0, product(n, size));
}
