/*
 * mem: allocation that cannot fail.
 *
 * A program that runs out of memory prints one line and ends with EXIT_IO;
 * outputs are renamed into place only when whole, so nothing is lost by it.
 * Every size is checked for overflow before it is multiplied.
 * Free what these return with free().
 */
#ifndef BUSI_BASE_MEM_H
#define BUSI_BASE_MEM_H

#include <stddef.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define NEVER_NULL __attribute__((returns_nonnull))

/* Not cleared; n * size bytes, zeros; realloc to n * size. */
void *mem_alloc(size_t nbytes) NEVER_NULL;
void *mem_array(size_t n, size_t size) NEVER_NULL;
void *mem_grow(void *p, size_t n, size_t size) NEVER_NULL;
/*
 * Room for one more than n elements: p, or p grown by more than that, and *room
 * is what it has.
 */
void *mem_room(void *p, size_t n, size_t *room, size_t size) NEVER_NULL;
char *mem_strdup(const char *s) NEVER_NULL;

/* What a library allocated: p, or the end of the program where it is NULL. */
void *mem_must(void *p, size_t nbytes) NEVER_NULL;

/* Aligned to 64 bytes, zeros: for numbers that vector code reads. */
void *mem_aligned(size_t n, size_t size) NEVER_NULL;
/* p, or other room for n: what it held may be lost.  *room: its size. */
void *mem_scratch(void *p, size_t n, size_t *room, size_t size) NEVER_NULL;
/* As mem_aligned(), on pages of 2 MB: for what is large and walked often. */
void *mem_huge(size_t n, size_t size) NEVER_NULL;

#endif
