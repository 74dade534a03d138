/*
 * describe: what a file is, whether it is whole, and where it comes from.
 *
 * Knows every file of the toolkit (manifests, fold, prediction and metrics
 * tables, datasets, models, training states) and describes tables and
 * safetensors files of others as well.
 *
 * Files name each other by digests: a table by the SHA-256 of its text, a
 * dataset or model by the digest of its content in its metadata.
 */
#ifndef BUSI_LEARN_DESCRIBE_H
#define BUSI_LEARN_DESCRIBE_H

#include "base/digest.h"
#include "base/err.h"
#include "base/table.h"
#include "learn/facts.h"

#include <stdbool.h>
#include <stddef.h>

enum file_kind {
    FILE_TABLE,                 /* of others */
    FILE_MANIFEST,
    FILE_FOLDS,                 /* a manifest with a column fold */
    FILE_PREDICTIONS,
    FILE_METRICS,
    FILE_LOG,                   /* of a training run */
    FILE_TENSORS,               /* safetensors of others */
    FILE_DATASET,
    FILE_MODEL,
    FILE_STATE,                 /* of a training run */
    FILE_KINDS
};

extern const char *const file_kind_names[FILE_KINDS];

/* A file that this one was made from. */
struct parent {
    enum file_kind kind;
    char digest[DIGEST_HEX];    /* or the first digits of it */
};

struct description {
    char *path;
    enum file_kind kind;
    char digest[DIGEST_HEX];    /* what other files name it by, or "" */
    struct parent *parent;      /* [nparents] */
    size_t nparents;
    struct facts facts;         /* the first two are file and kind */
};

struct describe_conf {
    bool verify;                /* read and check every byte */
    bool tensors;               /* list the tensors of a file */
};

/*
 * "-" is a table on stdin.  Errors: the file cannot be read, or (EXIT_INVALID)
 * is damaged, or is not what it says it is.  Checks what opening checks; with
 * `verify` also the CRC-32 of every tensor and row, the digest of the content,
 * and every cell of our tables.  A table has no checksum of its own: its
 * SHA-256 is among the facts.
 */
int describe_open(struct description *d, const char *path,
                  const struct describe_conf *c, struct err *e);
void describe_release(struct description *d);

/*
 * Add facts that say which of the n files are parents of which.  Errors
 * (EXIT_INVALID, both named): a file was made from another dataset, fold table
 * or model than those given; a fold table lacks a scan of a dataset or of
 * predictions, or has another label or fold for it.
 */
int describe_relate(struct description *d, size_t n, struct err *e);

/* Is this a log of busi-train, all numbers (or NA)? */
int describe_check_log(const struct table *t, struct err *e);

/* For describe_table.c. */
void describe_parent(struct description *d, enum file_kind kind,
                     const char *key, const char *digest);

/* Fills in kind and facts of a table; path "-": stdin. */
int describe_table(struct description *d, const struct describe_conf *c,
                   struct err *e);

#endif
