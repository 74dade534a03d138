#include "backend/arena.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int
arena_add(struct arena *a, size_t nbytes, int t)
{
    if (a->n == a->room) {
        a->room = a->room * 2 + 64;
        a->slot = mem_grow(a->slot, (size_t)a->room, sizeof *a->slot);
    }
    a->slot[a->n] = (struct slot){ (nbytes + 63) / 64 * 64, t, t, 0 };
    return a->n++;
}

void
arena_use(struct arena *a, int slot, int t)
{
    struct slot *s = &a->slot[slot];

    s->first = t < s->first ? t : s->first;
    s->last = t > s->last ? t : s->last;
}

static int
larger_first(const void *p, const void *q)
{
    const struct slot *a = *(struct slot *const *)p;
    const struct slot *b = *(struct slot *const *)q;

    if (a->nbytes != b->nbytes)
        return a->nbytes > b->nbytes ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* The lowest offset at which s meets none of the n slots already placed. */
static size_t
lowest(struct slot *const *placed, int n, const struct slot *s, bool apart)
{
    size_t offset = 0;
    bool moved = true;

    while (moved) {
        moved = false;
        for (int i = 0; i < n; i++) {
            const struct slot *t = placed[i];
            bool now = apart || (s->first <= t->last && t->first <= s->last);

            if (now && offset < t->offset + t->nbytes &&
                t->offset < offset + s->nbytes) {
                offset = t->offset + t->nbytes;
                moved = true;
            }
        }
    }
    return offset;
}

/* Greedy by size; within a few percent of the peak on all our networks. */
size_t
arena_place(struct arena *a, bool apart)
{
    struct slot **order = mem_array((size_t)a->n, sizeof *order);
    size_t nbytes = 0;

    for (int i = 0; i < a->n; i++)
        order[i] = &a->slot[i];
    qsort(order, (size_t)a->n, sizeof *order, larger_first);
    for (int i = 0; i < a->n; i++) {
        struct slot *s = order[i];

        s->offset = lowest(order, i, s, apart);
        nbytes = s->offset + s->nbytes > nbytes ? s->offset + s->nbytes
                                                : nbytes;
    }
    free(order);
    return nbytes;
}

void
arena_release(struct arena *a)
{
    free(a->slot);
    memset(a, 0, sizeof *a);
}
