#include "data/manifest.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int
manifest_check(const struct table *t, struct err *e)
{
    long column = table_need(t, "id", e);
    struct lookup *id;
    int rc = 0;

    if (column < 0)
        return -1;
    id = table_sorted(t, (size_t)column, lookup_bytes);
    if (t->nrows > 0 && id[0].text[0] == '\0')
        rc = err_set(e, EXIT_INVALID, "'%s': a row has no id", t->path);
    for (size_t i = 1; i < t->nrows && rc == 0; i++)
        if (strcmp(id[i - 1].text, id[i].text) == 0)
            rc = err_set(e, EXIT_INVALID, "'%s': the id '%s' is there twice",
                         t->path, id[i].text);
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
    struct lookup *label;

    memset(classes, 0, sizeof *classes);
    if (column < 0)
        return;
    label = table_sorted(t, (size_t)column, lookup_natural);
    for (size_t i = 0; i < t->nrows; i++)
        if (label[i].text[0] != '\0' &&
            (i == 0 || strcmp(label[i - 1].text, label[i].text) != 0))
            str_list_add(classes, label[i].text);
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
