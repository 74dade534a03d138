/*
 * file: whole files in, whole files out.
 *
 * An output is written beside its target as `.NAME.part`, fsynced and renamed
 * over it, and the folder is fsynced: a reader sees the old file, the new one
 * or none.  The part file is locked, so a second run on the same target ends
 * with an error that names the first; a part left behind by a killed run is
 * taken over.  The new file has the permissions of the old one; a target that
 * may not be written is refused, and a link stays a link.  "-" is stdin or
 * stdout; a target that exists and is no regular file (a pipe, /dev/null) is
 * written directly.
 */
#ifndef BUSI_BASE_FILE_H
#define BUSI_BASE_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A read-only view of a file; of an empty file, data is not NULL. */
struct file_map {
    const unsigned char *data;
    size_t nbytes;
};

/* Regular files only.  Release with file_unmap(). */
int file_map(struct file_map *m, const char *path, struct err *e);
void file_unmap(struct file_map *m);

/*
 * All bytes of a file or, for "-", of stdin, NUL-ended behind the last; the
 * caller frees *data.  Stdin may be read once (EXIT_USAGE).
 */
int file_read(const char *path, char **data, size_t *nbytes, struct err *e);

/*
 * The same of a regular file of at most `limit` bytes (EXIT_INVALID), which are
 * whole MB.
 */
int file_load(const char *path, size_t limit, char **data, size_t *nbytes,
              struct err *e);

/*
 * Do two paths name one regular file, there already or still to be made?  "-"
 * names none.
 */
bool file_same(const char *a, const char *b);

struct file_out {
    FILE *stream;       /* write here */
    char *path;         /* the target; "stdout" for "-" */
    char *part;         /* NULL when written directly */
};

int file_out_open(struct file_out *o, const char *path, struct err *e);
/* Where the part of such an output lies; the caller frees it. */
char *file_part(const char *path);
/* Make it whole and visible.  On failure the target is as it was. */
int file_out_close(struct file_out *o, struct err *e);
/* Give up: the part is removed.  Harmless after close or on all zeros. */
void file_out_drop(struct file_out *o);

/* Create a folder and those above it; one that exists is fine. */
int file_make_folder(const char *path, struct err *e);
/* The same with the folder that a file is in. */
int file_make_folder_of(const char *file, struct err *e);
/*
 * Is there nothing in it, or no such folder?  Hidden files do not count; one that
 * cannot be read may hold anything.
 */
bool file_folder_empty(const char *path);

#endif
