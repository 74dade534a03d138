/*
 * cell: foreign bytes are taken apart in child processes of few rights.
 *
 * A decoder that is fooled by a file, crashes, hangs or wants all memory takes
 * its child with it and nothing else: the call fails like that of any bad
 * picture, and the next one gets a new child.  Children are forked by a warden,
 * a process made before there are any threads.  Each holds one decoder and
 * shares one region of memory with us, for a file's bytes and its pixels.
 *
 * In a child: no new privileges, no files (Landlock), none but some 30 system
 * calls (seccomp: no new file, socket, process or executable page), no new
 * descriptor, CELL_BYTES of own memory, CELL_SECONDS for a picture, death with
 * its parent.  What the kernel does not have is left out; cell_guards() tells.
 */
#ifndef BUSI_DATA_CELL_H
#define BUSI_DATA_CELL_H

#include "base/err.h"
#include "data/image.h"

#include <stdbool.h>

enum {
    CELL_BYTES = 256 << 20,         /* of heap and private mappings */
    CELL_SECONDS = 10,              /* of a processor, for a picture */
    CELL_WAIT_SECONDS = 300,        /* of waiting for it on a busy machine */
    CELL_MAX_IN = 1 << 28,          /* bytes of a file */
    CELL_MAX_OUT = 3 << 26          /* bytes of pixels */
};

/*
 * A decoder, run in the child.  Returns 0 and a picture, -1 and an error, or 1:
 * not mine.  start (or NULL) is called once before rights are dropped.
 */
struct cell_class {
    void (*start)(void);
    int (*decode)(struct image *m, const void *data, size_t nbytes,
                  struct err *e);
};

/* Make the warden.  To be called before any thread is; then from any thread. */
int cell_open(const struct cell_class *classes, struct err *e);
void cell_close(void);
bool cell_is_open(void);

/* Decode by the decoder `class` in a child; returns what it does. */
int cell_decode(int class, struct image *m, const void *data, size_t nbytes,
                struct err *e);

/* What guards the children, such as "Landlock, seccomp"; static storage. */
const char *cell_guards(void);

#endif
