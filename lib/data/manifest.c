#include "data/manifest.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int
by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
by_nature(const void *a, const void *b)
{
    return str_natural(*(char *const *)a, *(char *const *)b);
}

/* The cells of a column in order, as a new array of borrowed strings. */
static char **
sorted(const struct table *t, size_t column,
       int (*order)(const void *, const void *))
{
    char **cell = mem_array(t->nrows, sizeof *cell);

    for (size_t i = 0; i < t->nrows; i++)
        cell[i] = t->row[i][column];
    qsort(cell, t->nrows, sizeof *cell, order);
    return cell;
}

int
manifest_check(const struct table *t, struct err *e)
{
    long column = table_need(t, "id", e);
    char **id;
    int rc = 0;

    if (column < 0)
        return -1;
    id = sorted(t, (size_t)column, by_bytes);
    if (t->nrows > 0 && id[0][0] == '\0')
        rc = err_set(e, EXIT_INVALID, "'%s': a row has no id", t->path);
    for (size_t i = 1; i < t->nrows && rc == 0; i++)
        if (strcmp(id[i - 1], id[i]) == 0)
            rc = err_set(e, EXIT_INVALID, "'%s': the id '%s' is there twice",
                         t->path, id[i]);
    free(id);
    return rc;
}

int
manifest_read(struct table *t, const char *path, struct err *e)
{
    if (table_read(t, path, e) == 0 && manifest_check(t, e) == 0)
        return 0;
    table_release(t);
    return -1;
}

void
manifest_classes(const struct table *t, struct str_list *classes)
{
    long column = table_find(t, "label");
    char **label;

    memset(classes, 0, sizeof *classes);
    if (column < 0)
        return;
    label = sorted(t, (size_t)column, by_nature);
    for (size_t i = 0; i < t->nrows; i++)
        if (label[i][0] != '\0' &&
            (i == 0 || strcmp(label[i - 1], label[i]) != 0))
            str_list_add(classes, label[i]);
    free(label);
}

long
manifest_class(const struct str_list *classes, const char *label)
{
    for (size_t i = 0; i < classes->n; i++)
        if (strcmp(classes->item[i], label) == 0)
            return (long)i;
    return -1;
}
