/*
 * manifest: the table of scans that flows through the text tools.
 *
 * Columns: id, path, label, sha256, and what later tools add (group, conflict,
 * fold).  Only the columns a tool needs must be there.
 */
#ifndef BUSI_DATA_MANIFEST_H
#define BUSI_DATA_MANIFEST_H

#include "base/err.h"
#include "base/str.h"
#include "base/table.h"

/* Read a table that has a column `id` with no id twice. */
int manifest_read(struct table *t, const char *path, struct err *e);

/* Is it one: a column `id`, in no row empty, no value twice? */
int manifest_check(const struct table *t, struct err *e);

/* The labels that occur, without the empty one, in natural order. */
void manifest_classes(const struct table *t, struct str_list *classes);

/* Warn of two labels that differ in case or outer blanks alone. */
void manifest_doubt(const struct table *t);

/*
 * Compare the number of scans of each label with "benign=437,malignant=210";
 * a label that is not named must not occur.  Error: EXIT_INVALID, expected and
 * found in one line; EXIT_USAGE if the text is none.
 */
int manifest_expect(const struct table *t, const char *text, struct err *e);

#endif
