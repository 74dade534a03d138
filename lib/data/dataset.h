/*
 * dataset: the file busi-prep makes, opened for reading.
 *
 * Tensors: images (U8 [N,H,W,C] or F32 [N,C,H,W]), labels (I64 [N], -1
 * unknown), row_crc (U32 [N]), sha256 (U8 [N,32], of the scan files), ids (U8,
 * NUL-ended one after the other).  Metadata: classes (tab-separated), recipe,
 * manifest_sha256, content (dataset_digest), command, version.
 *
 * Pixels are handed out as U8 whatever the file's type: a normalised f32 row
 * is turned back exactly, so both types give a network the same bits.
 */
#ifndef BUSI_DATA_DATASET_H
#define BUSI_DATA_DATASET_H

#include "base/digest.h"
#include "base/err.h"
#include "base/lookup.h"
#include "base/str.h"
#include "base/table.h"
#include "data/recipe.h"
#include "data/safet.h"

struct dataset {
    struct safet file;
    char digest[DIGEST_HEX];    /* names the file's content, as hex */
    size_t n;                   /* rows */
    int c, h, w;                /* of one picture */
    int64_t *labels;            /* [n] class, or -1 */
    const uint8_t *sha256;      /* [n,32] */
    const char **ids;           /* [n] */
    struct str_list classes;
    struct recipe recipe;
    bool f32;
    const unsigned char *images;    /* rows of row_nbytes, as in the file */
    size_t row_nbytes;
    uint32_t *row_crc;          /* [n] */
    struct lookup *index;       /* [n] rows by id */
};

/* What a dataset's digest is made from. */
struct dataset_parts {
    size_t n;
    const int64_t *labels;      /* [n] */
    const uint32_t *row_crc;    /* [n], of a row's bytes in the file */
    const char *ids;            /* NUL-ended one after the other */
    size_t ids_nbytes;
    const char *classes, *recipe;   /* as in the metadata */
};

/* SHA-256 of labels, ids, row CRCs, classes and recipe in this order. */
void dataset_digest(const struct dataset_parts *p, char hex[DIGEST_HEX]);

/* Checks everything but the pixels, which dataset_row() does. */
int dataset_open(struct dataset *d, const char *path, struct err *e);
void dataset_close(struct dataset *d);

/* Row of an id, or -1. */
long dataset_find(const struct dataset *d, const char *id);

/*
 * What a table says otherwise of this row: "SHA-256", "label", or NULL.  An empty
 * or missing (NULL) cell says nothing, nor does a row without a label.
 */
const char *dataset_differs(const struct dataset *d, size_t row,
                            const char *sha256, const char *label);

/*
 * line[d->n]: the row of a manifest about each row.  EXIT_INVALID if it has
 * none about one, or another SHA-256 or label.
 */
int dataset_join(const struct dataset *d, const struct table *t, size_t *line,
                 struct err *e);

/*
 * One picture as [h,w,c] bytes in `out`, its CRC-32 checked.  Safe to call from
 * several threads.
 */
int dataset_row(const struct dataset *d, size_t row, uint8_t *out,
                struct err *e);

#endif
