/*
 * page: pieces of a self-contained HTML page, in memory.
 *
 * Whatever comes from files goes through page_text() or a function that calls
 * it; pictures are data: addresses.  No scripts, nothing from outside.
 */
#ifndef BUSI_REPORT_PAGE_H
#define BUSI_REPORT_PAGE_H

#include "base/str.h"

#include <stddef.h>

void page_open(struct str *s, const char *title);
void page_close(struct str *s);

/* With & < > " ' escaped; bytes that are no UTF-8 and control characters
 * become U+FFFD. */
void page_text(struct str *s, const char *text);

/* A section with its heading; close with page_end(). */
void page_section(struct str *s, const char *heading);
void page_end(struct str *s);

/* A paragraph of plain text. */
void page_paragraph(struct str *s, const char *class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A table of text: the first row is the heading.  Cells that begin like a
 * number are set as numbers. */
struct page_table {
    const char *caption;        /* or NULL */
    size_t columns;
    struct str_list cells;      /* row by row, heading first */
};

void page_cell(struct page_table *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Writes the table and forgets its cells. */
void page_table(struct str *s, struct page_table *t);

/* <img> from bytes, which are copied into the page. */
void page_image(struct str *s, const char *mime, const void *data, size_t n,
                const char *alt);

#endif
