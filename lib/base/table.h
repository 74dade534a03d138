/*
 * table: tab-separated text with one header line.
 *
 * Columns are found by name.  In cells, tab, newline, carriage return and
 * backslash are written \t \n \r \\.  All else is bytes, whatever their
 * encoding; a byte order mark of UTF-8 before the header is skipped.  A row with
 * another number of cells than the header, an unknown escape, a NUL byte or a
 * column named twice makes the table invalid.
 */
#ifndef BUSI_BASE_TABLE_H
#define BUSI_BASE_TABLE_H

#include "base/digest.h"
#include "base/err.h"
#include "base/lookup.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct table {
    char *path;         /* for messages */
    char **column;      /* [ncolumns] */
    size_t ncolumns;
    char ***row;        /* [nrows][ncolumns] */
    size_t nrows, room;
    char digest[DIGEST_HEX];    /* of the text, if table_read() read it */
};

/* An empty table of the named columns; the list ends with NULL. */
void table_init(struct table *t, const char *const *columns);
/* From a file, read once; "-" is stdin. */
int table_read(struct table *t, const char *path, struct err *e);
/* From text in memory, which is changed; `name` is for messages. */
int table_parse(struct table *t, const char *name, char *text, size_t nbytes,
                struct err *e);
void table_release(struct table *t);

/* Number of a column, or -1. */
long table_find(const struct table *t, const char *column);
/* The same; a missing column is an error that names the table. */
long table_need(const struct table *t, const char *column, struct err *e);

/* Add a row of copies of ncolumns cells; returns its number. */
size_t table_add(struct table *t, const char *const *cells);
/* Number of a column, added with empty cells if there is none. */
size_t table_column(struct table *t, const char *column);
void table_set(struct table *t, size_t row, size_t column, const char *text);
void table_drop(struct table *t, size_t column);
/* The cells of a column and their rows, in an order; the caller frees them. */
struct lookup *table_sorted(const struct table *t, size_t column,
                            int (*order)(const void *, const void *));
/* Remove the rows whose keep[] is false. */
void table_filter(struct table *t, const bool *keep);

/* Names and how often each is there. */
struct tally {
    struct str_list name;       /* in natural order; "" comes first */
    size_t *count;              /* [name.n] */
};

/* Of the cells of a column. */
void tally_column(struct tally *y, const struct table *t, size_t column);
void tally_release(struct tally *y);

/*
 * A cell as a number; the error names table, line and column.
 * Line numbers count the header as 1.
 */
int table_int(const struct table *t, size_t row, size_t column,
              int64_t *value, struct err *e);
int table_real(const struct table *t, size_t row, size_t column,
               double *value, struct err *e);

void table_write(const struct table *t, FILE *f);
/* To a file, whole or not at all; "-" is stdout. */
int table_save(const struct table *t, const char *path, struct err *e);

/* One row, or one cell of it, as table_write() writes them. */
void table_write_row(const struct table *t, size_t row, FILE *f);
void table_put(FILE *f, const char *text);

#endif
