#include "base/lookup.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

int
lookup_bytes(const void *a, const void *b)
{
    const struct lookup *x = a, *y = b;

    return strcmp(x->text, y->text);
}

int
lookup_natural(const void *a, const void *b)
{
    const struct lookup *x = a, *y = b;

    return str_natural(x->text, y->text);
}

long
lookup_find(const struct lookup *l, size_t n, const char *text)
{
    const struct lookup key = { text, 0 }, *found;

    found = n > 0 ? bsearch(&key, l, n, sizeof key, lookup_bytes) : NULL;
    return found != NULL ? (long)found->at : -1;
}
