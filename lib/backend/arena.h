/*
 * arena: one block of memory for values that live at different times.
 *
 * Slots are asked for with the step at which they are first and last used;
 * then they are placed so that no two share bytes and steps.
 */
#ifndef BUSI_BACKEND_ARENA_H
#define BUSI_BACKEND_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct slot {
    size_t nbytes;
    int first, last;        /* steps, both included */
    size_t offset;          /* from arena_place(); multiple of 64 */
};

struct arena {              /* all zeros is an empty one */
    struct slot *slot;
    int n, room;
};

/* A new slot, used at step t; returns its number. */
int arena_add(struct arena *a, size_t nbytes, int t);
/* The slot is used at step t too. */
void arena_use(struct arena *a, int slot, int t);
/*
 * Fix the offsets and return the bytes needed.  With `apart`, nothing is
 * shared.
 */
size_t arena_place(struct arena *a, bool apart);
void arena_release(struct arena *a);

#endif
