/*
 * heat: heat maps of scans as pictures in a folder.
 */
#ifndef BUSI_LEARN_HEAT_H
#define BUSI_LEARN_HEAT_H

#include "base/err.h"
#include "data/recipe.h"

#include <stdbool.h>
#include <stdint.h>

struct heat {
    const char *folder;
    const struct recipe *recipe;    /* of the models */
    bool ours;                  /* maps may be replaced in it */
    void *written;              /* a set of paths */
    void *folders, *masks;      /* a set of folders, what is in them */
};

/*
 * Make the folder where it is not there, and mark it as one of heat maps if it
 * was empty.  Without the mark nothing in it is ever replaced.
 */
int heat_open(struct heat *h, const char *folder, const struct recipe *r,
              struct err *e);
void heat_close(struct heat *h);

/*
 * Where the map of scan `id` is written: FOLDER/ID, with ".png" behind if it
 * ends otherwise; leading slashes go, and ".." becomes "__".  The caller frees
 * it.
 */
char *heat_path(const char *folder, const char *id);

/* How a map lies to the lesion's mask; NaN: there is none. */
struct heat_fit {
    double inside;              /* share of the map inside the mask */
    double area;                /* of the picture: what chance would give */
};

/*
 * Write the map [crop,crop] over the pixels px [crop,crop,C] of scan `id` to
 * its heat_path().  `path` is the scan's file, or NULL.  If masks lie beside
 * it (scan.h) when the first map of its folder is written, their outline is
 * drawn and *fit says how much of the map is in them.  Errors: cannot be
 * written; EXIT_USAGE: would replace the scan, or a file in a folder that is
 * not of heat maps; EXIT_INVALID: would replace a map of this run (of another
 * id that gives the same name), or have too long a name.
 */
int heat_write(struct heat *h, const char *id, const char *path,
               const uint8_t *px, const float *map,
               struct heat_fit *fit, struct err *e);

#endif
