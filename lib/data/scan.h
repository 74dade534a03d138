/*
 * scan: the pictures below folders, told apart into scans and masks.
 *
 * A picture is a file named *.png, .jpg, .jpeg, .tif, .tiff, .bmp, .webp, .dcm
 * or .dicom, in any case, or one without an ending, with a number for it or
 * .ima, whose bytes are DICOM's; of DICOM files, FILE.dcm#N is the N-th frame,
 * where the path itself is given.  DICOMDIR, hidden files and all others are
 * passed over.  Its id is its path below the folder it was found in, its label
 * the name of the folder directly above it, empty for one that lies loose in
 * the folder given.  A file given by its own path has that path, without "."
 * parts, as id.
 *
 * A mask is NAME_mask.EXT or NAME_mask_N.EXT, in any case; its scan is NAME,
 * with the same ending or another, in the same folder.
 */
#ifndef BUSI_DATA_SCAN_H
#define BUSI_DATA_SCAN_H

#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum scan_mask { SCAN_NO_MASK, SCAN_MASK_NAME, SCAN_MASK_CONTENT };

struct scan {
    char *id;                   /* unique in a list */
    char *path;                 /* opens the file */
    char *label;
    char sha256[DIGEST_HEX];    /* of the bytes; scans only */
    enum scan_mask mask;        /* how it was found to be one */
    char *of;                   /* of a mask: the id of its scan, or NULL */
    const char *reason;         /* why it is rejected, or NULL */
    char *detail;               /* the same as a sentence */
};

/* A file of this name marks a folder as one of heat maps. */
#define SCAN_HEAT_MARK ".busi-heat"

struct scan_list {
    struct scan *item;          /* [n] */
    size_t n, room;
    size_t folders;             /* that were given */
    size_t passed;              /* files that are no pictures by their names */
    bool hashed;                /* the ids */
};

void scan_release(struct scan_list *l);

/*
 * Add a picture or all pictures below a folder.  Links are followed, circles
 * are not walked twice.  `avoid` (or NULL) is a folder that is passed over.
 * What cannot be looked at (a link to nothing, a path too long) is added too,
 * for scan_read() to reject; folders of heat maps are passed over.  Errors
 * (EXIT_IO): the path, or a folder below it, cannot be read; the list has it,
 * and what the others hold.
 */
int scan_add(struct scan_list *l, const char *path, const char *avoid,
             struct err *e);

/* Put into natural order of ids.  Error: two have the same id or path. */
int scan_sort(struct scan_list *l, struct err *e);

/*
 * Find the masks, by name and if asked by content, pair them with their scans,
 * and hash all that are scans, in all cores.  What cannot be read, is empty or
 * no regular file gets a reason.  EXIT_IO: the machine lacks something.
 *
 * By content a mask is a .png file of nothing but black and white, as
 * image_load() sees it: in 8 bits, alpha flattened on black.  One that is
 * damaged is none.
 */
int scan_read(struct scan_list *l, bool by_content, struct err *e);

/*
 * Replace every scan's id by the first 24 digits of its HMAC-SHA-256 under the
 * key, and sort anew.  Paths stay as they are.
 */
int scan_hash_ids(struct scan_list *l, const void *key, size_t nkey,
                  struct err *e);

/*
 * Put every scan into `folder` under its id, LABEL/ID with the ending of its
 * file where ids are hashed, by a hard link, by a copy where
 * links cannot be made.  A file that is there with the same bytes stays; one
 * with others is EXIT_INVALID.  Pictures that are there besides are warned of.
 */
int scan_tree(const struct scan_list *l, const char *folder, struct err *e);

/* Remove the masks from disk, those behind links too. */
int scan_delete_masks(const struct scan_list *l, struct err *e);

/*
 * The id of a scan that is named: its path without "." and empty parts.  The
 * caller frees it.
 */
char *scan_id(const char *path);

/* Is this a picture by its name?  The ending with its point, or NULL. */
const char *scan_ending(const char *name);

/* Is this a mask by its name?  *stem: bytes of its scan's name, no ending. */
bool scan_mask_name(const char *name, size_t *stem);

#endif
