#include "base/table.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BOM "\xef\xbb\xbf"     /* what some editors put before UTF-8 */

void
table_init(struct table *t, const char *const *columns)
{
    memset(t, 0, sizeof *t);
    t->path = mem_strdup("table");
    for (; *columns != NULL; columns++)
        table_column(t, *columns);
}

void
table_release(struct table *t)
{
    for (size_t i = 0; i < t->nrows; i++) {
        for (size_t j = 0; j < t->ncolumns; j++)
            free(t->row[i][j]);
        free(t->row[i]);
    }
    for (size_t j = 0; j < t->ncolumns; j++)
        free(t->column[j]);
    free(t->row);
    free(t->column);
    free(t->path);
    memset(t, 0, sizeof *t);
}

/* Undo the escapes of [p, end) in place and end it with NUL. */
static int
unescape(char *p, char *end)
{
    char *to = p;

    for (; p < end; p++) {
        if (*p != '\\') {
            *to++ = *p;
            continue;
        }
        if (++p == end)
            return -1;
        switch (*p) {
        case 't': *to++ = '\t'; break;
        case 'n': *to++ = '\n'; break;
        case 'r': *to++ = '\r'; break;
        case '\\': *to++ = '\\'; break;
        default: return -1;
        }
    }
    *to = '\0';
    return 0;
}

static size_t
push(struct table *t, char **cells)
{
    t->row = mem_room(t->row, t->nrows, &t->room, sizeof *t->row);
    t->row[t->nrows] = cells;
    return t->nrows++;
}

/* Cut a line [p, end) into cells; *end can be overwritten. */
static int
parse_line(struct table *t, char *p, char *end, size_t line, struct err *e)
{
    size_t n = 1, k = 0;
    char **cells;

    if (end > p && end[-1] == '\r')
        end--;
    for (char *q = p; q < end; q++)
        n += *q == '\t';
    if (line > 1 && n != t->ncolumns)
        return err_set(e, EXIT_INVALID,
                       "'%s' line %zu: %zu cells where the header has %zu",
                       t->path, line, n, t->ncolumns);
    cells = mem_array(n, sizeof *cells);
    for (;;) {
        char *tab = memchr(p, '\t', (size_t)(end - p));
        char *stop = tab != NULL ? tab : end;

        if (unescape(p, stop) != 0) {
            while (k > 0)
                free(cells[--k]);
            free(cells);
            return err_set(e, EXIT_INVALID,
                           "'%s' line %zu: unknown escape in a cell", t->path,
                           line);
        }
        cells[k++] = mem_strdup(p);
        if (tab == NULL)
            break;
        p = tab + 1;
    }
    if (line == 1) {
        t->column = cells;
        t->ncolumns = n;
        return 0;
    }
    push(t, cells);
    return 0;
}

static int
check_columns(const struct table *t, struct err *e)
{
    const char *twice = str_twice(t->column, t->ncolumns);

    for (size_t i = 0; i < t->ncolumns; i++)
        if (t->column[i][0] == '\0')
            return err_set(e, EXIT_INVALID,
                           "'%s': column %zu of the header has no name",
                           t->path, i + 1);
    if (twice != NULL)
        return err_set(e, EXIT_INVALID, "'%s': two columns are named '%s'",
                       t->path, twice);
    return 0;
}

int
table_parse(struct table *t, const char *name, char *text, size_t nbytes,
            struct err *e)
{
    char *end;
    size_t line = 0;
    int rc = 0;

    memset(t, 0, sizeof *t);
    t->path = mem_strdup(name);
    while (nbytes >= strlen(BOM) && memcmp(text, BOM, strlen(BOM)) == 0) {
        text += strlen(BOM);
        nbytes -= strlen(BOM);
    }
    if (nbytes == 0)
        rc = err_set(e, EXIT_INVALID, "'%s' is empty: no header line",
                     t->path);
    else if (memchr(text, '\0', nbytes) != NULL)
        rc = err_set(e, EXIT_INVALID, "'%s' is not a table: it has NUL bytes",
                     t->path);
    for (char *p = text; rc == 0 && p < text + nbytes; p = end + 1) {
        end = memchr(p, '\n', (size_t)(text + nbytes - p));
        if (end == NULL)
            end = text + nbytes;
        rc = parse_line(t, p, end, ++line, e);
        if (rc == 0 && line == 1)
            rc = check_columns(t, e);
    }
    if (rc != 0)
        table_release(t);
    return rc;
}

int
table_read(struct table *t, const char *path, struct err *e)
{
    bool standard = strcmp(path, "-") == 0;
    char *text, digest[DIGEST_HEX];
    size_t nbytes;
    int rc;

    memset(t, 0, sizeof *t);
    if (file_read(path, &text, &nbytes, e) != 0)
        return -1;
    digest_bytes(text, nbytes, digest);
    rc = table_parse(t, standard ? "standard input" : path, text, nbytes, e);
    if (rc == 0)
        memcpy(t->digest, digest, sizeof digest);
    free(text);
    return rc;
}

long
table_find(const struct table *t, const char *column)
{
    for (size_t j = 0; j < t->ncolumns; j++)
        if (strcmp(t->column[j], column) == 0)
            return (long)j;
    return -1;
}

long
table_need(const struct table *t, const char *column, struct err *e)
{
    long j = table_find(t, column);

    if (j < 0)
        err_set(e, EXIT_INVALID, "'%s' has no column '%s'", t->path, column);
    return j;
}

size_t
table_add(struct table *t, const char *const *cells)
{
    char **row = mem_array(t->ncolumns, sizeof *row);

    for (size_t j = 0; j < t->ncolumns; j++)
        row[j] = mem_strdup(cells[j]);
    return push(t, row);
}

size_t
table_column(struct table *t, const char *column)
{
    long at = table_find(t, column);
    size_t j = t->ncolumns;

    if (at >= 0)
        return (size_t)at;
    t->column = mem_grow(t->column, j + 1, sizeof *t->column);
    t->column[j] = mem_strdup(column);
    for (size_t i = 0; i < t->nrows; i++) {
        t->row[i] = mem_grow(t->row[i], j + 1, sizeof **t->row);
        t->row[i][j] = mem_strdup("");
    }
    t->ncolumns++;
    return j;
}

struct lookup *
table_sorted(const struct table *t, size_t column,
             int (*order)(const void *, const void *))
{
    struct lookup *cell = mem_array(t->nrows, sizeof *cell);

    for (size_t i = 0; i < t->nrows; i++)
        cell[i] = (struct lookup){ t->row[i][column], i };
    qsort(cell, t->nrows, sizeof *cell, order);
    return cell;
}

void
table_drop(struct table *t, size_t column)
{
    size_t behind = --t->ncolumns - column;

    free(t->column[column]);
    memmove(&t->column[column], &t->column[column + 1],
            behind * sizeof *t->column);
    for (size_t i = 0; i < t->nrows; i++) {
        free(t->row[i][column]);
        memmove(&t->row[i][column], &t->row[i][column + 1],
                behind * sizeof **t->row);
    }
}

void
table_set(struct table *t, size_t row, size_t column, const char *text)
{
    char *copy = mem_strdup(text);

    free(t->row[row][column]);
    t->row[row][column] = copy;
}

void
table_filter(struct table *t, const bool *keep)
{
    size_t n = 0;

    for (size_t i = 0; i < t->nrows; i++) {
        if (keep[i]) {
            t->row[n++] = t->row[i];
            continue;
        }
        for (size_t j = 0; j < t->ncolumns; j++)
            free(t->row[i][j]);
        free(t->row[i]);
    }
    t->nrows = n;
}

void
tally_column(struct tally *y, const struct table *t, size_t column)
{
    struct lookup *cell = table_sorted(t, column, lookup_natural);

    memset(y, 0, sizeof *y);
    y->count = mem_array(t->nrows, sizeof *y->count);
    for (size_t i = 0; i < t->nrows; i++) {
        if (i == 0 || strcmp(cell[i - 1].text, cell[i].text) != 0)
            str_list_add(&y->name, cell[i].text);
        y->count[y->name.n - 1]++;
    }
    free(cell);
}

void
tally_release(struct tally *y)
{
    str_list_release(&y->name);
    free(y->count);
}

static int
bad_number(const struct table *t, size_t row, size_t column, const char *kind,
           struct err *e)
{
    return err_set(e, EXIT_INVALID, "'%s' line %zu: %s '%s' is not a %s",
                   t->path, row + 2, t->column[column], t->row[row][column],
                   kind);
}

int
table_int(const struct table *t, size_t row, size_t column, int64_t *value,
          struct err *e)
{
    if (!str_int(t->row[row][column], value))
        return bad_number(t, row, column, "whole number", e);
    return 0;
}

int
table_real(const struct table *t, size_t row, size_t column, double *value,
           struct err *e)
{
    if (!str_real(t->row[row][column], value))
        return bad_number(t, row, column, "number", e);
    return 0;
}

void
table_put(FILE *f, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '\t': fputs("\\t", f); break;
        case '\n': fputs("\\n", f); break;
        case '\r': fputs("\\r", f); break;
        case '\\': fputs("\\\\", f); break;
        default: putc(*text, f);
        }
    }
}

static void
write_row(FILE *f, char *const *cells, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        if (j > 0)
            putc('\t', f);
        table_put(f, cells[j]);
    }
    putc('\n', f);
}

void
table_write_row(const struct table *t, size_t row, FILE *f)
{
    write_row(f, t->row[row], t->ncolumns);
}

void
table_write(const struct table *t, FILE *f)
{
    write_row(f, t->column, t->ncolumns);
    for (size_t i = 0; i < t->nrows; i++)
        table_write_row(t, i, f);
}

int
table_save(const struct table *t, const char *path, struct err *e)
{
    struct file_out out;

    if (file_out_open(&out, path, e) != 0)
        return -1;
    table_write(t, out.stream);
    return file_out_close(&out, e);
}
