/*
 * Preloaded into programs by tests/t-nomem.sh: of the allocations that our own
 * code asks for (busi-*, our plugins; not the libraries'), the one numbered
 * FAIL_AT, from 1, fails.  How many there were is written to the file
 * FAIL_COUNT at the end.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t to, size_t n);

static atomic_long count;
static long fail_at;
static pid_t process;

static bool
fails(const void *caller)
{
    Dl_info of;
    const char *base;

    if (dladdr(caller, &of) == 0 || of.dli_fname == NULL)
        return false;
    base = strrchr(of.dli_fname, '/');
    base = base != NULL ? base + 1 : of.dli_fname;
    if (strncmp(base, "busi-", 5) != 0 && strncmp(base, "backend_", 8) != 0 &&
        strncmp(base, "comm_", 5) != 0)
        return false;
    if (atomic_fetch_add(&count, 1) + 1 != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

void *
malloc(size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL
                                              : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}

void *
aligned_alloc(size_t to, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(to, n);
}

__attribute__((constructor)) static void
start(void)
{
    const char *at = getenv("FAIL_AT");

    fail_at = at != NULL ? strtol(at, NULL, 10) : 0;
    process = getpid();
}

__attribute__((destructor)) static void
end(void)
{
    const char *path = getenv("FAIL_COUNT");
    FILE *f;

    if (path == NULL || getpid() != process ||
        (f = fopen(path, "w")) == NULL)
        return;
    fprintf(f, "%ld\n", atomic_load(&count));
    fclose(f);
}
