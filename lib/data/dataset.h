/*
 * dataset: the file busi-prep makes, opened for reading.
 *
 * Tensors: images (U8 [N,H,W,C] or F32 [N,C,H,W]), labels (I64 [N], -1
 * unknown), row_crc (U32 [N]), sha256 (U8 [N,32], of the scan files), ids (U8,
 * NUL-ended one after the other).  Metadata: classes (tab-separated), recipe,
 * manifest_sha256, command, version.
 *
 * Pixels are handed out as U8 whatever the file's type: a normalised f32 row
 * is turned back exactly, so both types give a network the same bits.
 */
#ifndef BUSI_DATA_DATASET_H
#define BUSI_DATA_DATASET_H

#include "base/err.h"
#include "base/str.h"
#include "data/recipe.h"
#include "data/safet.h"

struct dataset {
    struct safet file;
    char digest[65];            /* names the file's content, as hex */
    size_t n;                   /* rows */
    int c, h, w;                /* of one picture */
    const int64_t *labels;      /* [n] */
    const uint8_t *sha256;      /* [n,32] */
    const char **ids;           /* [n] */
    struct str_list classes;
    struct recipe recipe;
    bool f32;
    void *index;                /* of ids */
};

int dataset_open(struct dataset *d, const char *path, struct err *e);
void dataset_close(struct dataset *d);

/* Row of an id, or -1. */
long dataset_find(const struct dataset *d, const char *id);

/*
 * One picture as [h,w,c] bytes in `out`, its CRC-32 checked.  Safe to call from
 * several threads.
 */
int dataset_row(const struct dataset *d, size_t row, uint8_t *out,
                struct err *e);

#endif
