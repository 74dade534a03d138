/*
 * sandbox: foreign bytes are taken apart in child processes of few rights.
 *
 * A decoder that is fooled by a file, crashes, hangs or wants all memory takes
 * its child with it and nothing else: the call fails like that of any bad
 * picture, and the next one gets a new child.  Children are forked by a warden,
 * a process made before there are any threads.  Each holds one decoder and
 * shares one region of memory with us, for a file's bytes and its pixels.
 *
 * In a child: no new privileges, no files (Landlock), none but some 30 system
 * calls (seccomp: no new file, socket, process or executable page), no new
 * descriptor, SANDBOX_BYTES of own memory, SANDBOX_SECONDS for a picture, death
 * with its parent.  What the kernel does not have is left out;
 * sandbox_guards() tells.
 */
#ifndef BUSI_DATA_SANDBOX_H
#define BUSI_DATA_SANDBOX_H

#include "base/err.h"
#include "data/image.h"

#include <stdbool.h>

enum {
    SANDBOX_BYTES = 256 << 20,         /* of heap and private mappings */
    SANDBOX_SECONDS = 10,              /* of a processor, for a picture */
    SANDBOX_WAIT_SECONDS = 300,        /* of waiting for it on a busy machine */
    SANDBOX_MAX_IN = 1 << 28,          /* bytes of a file */
    SANDBOX_MAX_OUT = 3 << 26          /* bytes of pixels */
};

/*
 * A decoder, run in the child.  Returns 0 and a picture, -1 and an error, or 1:
 * not mine.  start (or NULL) is called once before rights are dropped.
 */
struct sandbox_class {
    void (*start)(void);
    int (*decode)(struct image *m, const void *data, size_t nbytes,
                  struct err *e);
};

/* Make the warden.  To be called before any thread is; then from any thread. */
int sandbox_open(const struct sandbox_class *classes, struct err *e);
void sandbox_close(void);
bool sandbox_is_open(void);

/* Decode by the decoder `class` in a child; returns what it does. */
int sandbox_decode(int class, struct image *m, const void *data, size_t nbytes,
                   struct err *e);

/* What guards the children, such as "Landlock, seccomp"; static storage. */
const char *sandbox_guards(void);

#endif
