/*
 * safet: the safetensors container, read and written.
 *
 * Layout: u64 little-endian length of the header, the header as JSON, the
 * tensors' bytes.  Our files carry `__metadata__` (text to text), in it
 * "format" (BUSI_FORMAT), "kind" (dataset, model, state) and "crc32": the
 * zlib CRC-32 of each tensor, `name=8 hex digits`, blank-separated, and "self":
 * the CRC-32 of the header's text with these 8 digits taken as zeros.
 *
 * Opening checks everything but the tensors' bytes: lengths, JSON, types,
 * shapes without overflow, ranges that tile the data exactly (no overlap, no
 * hole, nothing behind), no name twice, header at most 16 MB and at most the
 * file, metadata at most 8 MB, at most 100 000 tensors.  A file that fails is
 * refused with its name and the reason (EXIT_INVALID).  Files of others,
 * without our metadata, open just as well.
 *
 * Where a tensor starts follows from those before it: data may lie at any
 * address, so copy what is wider than a byte unless you know better.
 */
#ifndef BUSI_DATA_SAFET_H
#define BUSI_DATA_SAFET_H

#include "base/err.h"
#include "base/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
    DT_U8, DT_I8, DT_U16, DT_I16, DT_F16, DT_BF16, DT_U32, DT_I32, DT_F32,
    DT_U64, DT_I64, DT_F64, DT_BOOL
};

size_t dtype_nbytes(enum dtype t);
const char *dtype_name(enum dtype t);       /* "U8", "F32", ... */

enum { SAFET_DIMS = 8 };

struct safet_tensor {
    char *name;
    enum dtype dtype;
    int ndims;
    int64_t dims[SAFET_DIMS];
    size_t begin, nbytes;       /* in the data section */
    bool has_crc;
    uint32_t crc;               /* as written, or as the metadata says */
};

struct safet {
    char *path;
    struct file_map map;
    const unsigned char *data;  /* the data section */
    struct safet_tensor *tensor;    /* [ntensors], in order of begin */
    size_t ntensors;
    struct safet_tensor **by_name;  /* [ntensors], in order of names */
    char **key, **value;        /* [nmeta], metadata */
    size_t nmeta;
    const char *self;           /* the digits of "self" in the file */
};

int safet_open(struct safet *s, const char *path, struct err *e);
void safet_close(struct safet *s);

/*
 * For readers of other formats: fill by_name from tensor.  NULL, or what is
 * wrong with the names.
 */
const char *safet_index(struct safet *s);

/* NULL if there is none of that name. */
const struct safet_tensor *safet_find(const struct safet *s,
                                      const char *name);
const void *safet_data(const struct safet *s, const struct safet_tensor *t);
const char *safet_meta(const struct safet *s, const char *key);

/* The same, but a missing one is an error that names the file. */
const struct safet_tensor *safet_need(const struct safet *s, const char *name,
                                      struct err *e);
const char *safet_need_meta(const struct safet *s, const char *key,
                            struct err *e);

/* Is it ours, of this kind and of a format we know? */
int safet_check_kind(const struct safet *s, const char *kind, struct err *e);

/* Compare the CRC-32 of every tensor (or of one) with the metadata's. */
int safet_verify(const struct safet *s, struct err *e);
int safet_verify_one(const struct safet *s, const struct safet_tensor *t,
                     struct err *e);

/*
 * Writing.  Tensors are streamed one after the other; their shapes may be
 * known only at their end.  The header is written last, into room kept before
 * the data, so `header_room` bounds its size (bytes).  The data section starts
 * at a multiple of 64.  Text that is no UTF-8 is written with U+FFFD in it.
 * safet_add() and safet_put() cannot fail: a write error shows in safet_commit().
 * Names, keys and values are copied, and data is the caller's again on return.
 */
struct safet_out {
    struct file_out out;
    struct safet_tensor *tensor;
    size_t ntensors;
    char **key, **value;
    size_t nmeta;
    size_t header_room;
};

int safet_create(struct safet_out *o, const char *path, size_t header_room,
                 struct err *e);
void safet_set(struct safet_out *o, const char *key, const char *value);
void safet_begin(struct safet_out *o, const char *name, enum dtype t);
void safet_add(struct safet_out *o, const void *data, size_t nbytes);
/* The bytes added must be those of the shape (asserted). */
void safet_end(struct safet_out *o, int ndims, const int64_t *dims);
int safet_commit(struct safet_out *o, struct err *e);
void safet_drop(struct safet_out *o);

/* A whole tensor in one call. */
void safet_put(struct safet_out *o, const char *name, enum dtype t, int ndims,
               const int64_t *dims, const void *data);

#endif
