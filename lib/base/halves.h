/*
 * halves: n things among parts, so that halves stay whole.
 *
 * Cut in two as long as the number of parts is even, then evenly: part 0 of 2
 * is parts 0 and 1 of 4.  Sums that are added up in the same order, neighbours
 * first, have the same bits however many of the parts lie in one place:
 *
 *     HALVES_EACH (i, step, parts)
 *         add(x[i], x[i + step], n);
 */
#ifndef BUSI_BASE_HALVES_H
#define BUSI_BASE_HALVES_H

#include <stddef.h>

#define HALVES_EACH(i, step, parts)                         \
    for (int step = 1; step < (parts); step *= 2)           \
        for (int i = 0; i + step < (parts); i += 2 * step)

/* Part `part` of `parts` is [*from, *to). */
void halves_cut(size_t n, int part, int parts, size_t *from, size_t *to);

/* n terms are added: to[i] += from[i]. */
void halves_add_floats(void *to, const void *from, size_t n);
void halves_add_doubles(void *to, const void *from, size_t n);

#endif
