/*
 * lookup: texts with a number each, sorted, to find one or see which are equal.
 */
#ifndef BUSI_BASE_LOOKUP_H
#define BUSI_BASE_LOOKUP_H

#include <stddef.h>

struct lookup {
    const char *text;       /* borrowed */
    size_t at;
};

/* Orders for qsort(): of bytes, and as people count (str_natural()). */
int lookup_bytes(const void *a, const void *b);
int lookup_natural(const void *a, const void *b);

/* The number of a text in an array in the order of bytes, or -1. */
long lookup_find(const struct lookup *l, size_t n, const char *text);

#endif
