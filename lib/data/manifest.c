#include "data/manifest.h"

#include "base/log.h"
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
    struct tally label;

    memset(classes, 0, sizeof *classes);
    if (column < 0)
        return;
    tally_column(&label, t, (size_t)column);
    for (size_t k = 0; k < label.name.n; k++)
        if (label.name.item[k][0] != '\0')
            str_list_add(classes, label.name.item[k]);
    tally_release(&label);
}

/* Without outer blanks, in small letters; the caller frees it. */
static char *
bare(const char *label)
{
    static const char blanks[] = " \t\n\v\f\r";
    size_t n;
    char *text;

    label += strspn(label, blanks);
    for (n = strlen(label); n > 0 && strchr(blanks, label[n - 1]) != NULL; n--)
        ;
    text = str_format("%.*s", (int)n, label);
    for (char *p = text; *p != '\0'; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p += 'a' - 'A';
    return text;
}

void
manifest_doubt(const struct table *t)
{
    struct str_list classes;
    struct lookup *text;

    manifest_classes(t, &classes);
    text = mem_array(classes.n, sizeof *text);
    for (size_t i = 0; i < classes.n; i++)
        text[i] = (struct lookup){ bare(classes.item[i]), i };
    qsort(text, classes.n, sizeof *text, lookup_bytes);
    for (size_t i = 1; i < classes.n; i++)
        if (strcmp(text[i - 1].text, text[i].text) == 0) {
            log_warn("the labels '%s' and '%s' are two classes: are they meant "
                     "as one?", classes.item[text[i - 1].at],
                     classes.item[text[i].at]);
            break;
        }
    for (size_t i = 0; i < classes.n; i++)
        free((char *)text[i].text);
    free(text);
    str_list_release(&classes);
}

/* Does one "CLASS=COUNT" hold?  The count is cut off; -1: it is none. */
static int
holds(char *want, const struct tally *have)
{
    char *equals = strrchr(want, '=');
    int64_t count;
    long k;

    if (equals == NULL || !str_int(equals + 1, &count) || count < 0)
        return -1;
    *equals = '\0';
    k = str_list_find(&have->name, want);
    return (k < 0 ? 0 : have->count[k]) == (size_t)count;
}

int
manifest_expect(const struct table *t, const char *text, struct err *e)
{
    long column = table_need(t, "label", e);
    struct str_list want = { 0 };
    struct str found = { 0 };
    struct tally have;
    bool good = true;
    int rc = 0;

    if (column < 0)
        return -1;
    tally_column(&have, t, (size_t)column);
    str_list_split(&want, text, ',');
    for (size_t i = 0; i < want.n && rc == 0; i++) {
        int held = holds(want.item[i], &have);

        if (held < 0)
            rc = err_set(e, EXIT_USAGE,
                         "--expect wants CLASS=COUNT,..., not '%s'", text);
        good = good && held > 0;
    }
    for (size_t k = 0; k < have.name.n; k++) {
        const char *name = have.name.item[k];

        if (*name == '\0')
            str_addf(&found, "%zu without a label", have.count[k]);
        else
            str_addf(&found, "%s%s=%zu", k > 0 ? "," : "", name,
                     have.count[k]);
        good = good && str_list_find(&want, name) >= 0;
    }
    if (rc == 0 && !good)
        rc = err_set(e, EXIT_INVALID, "expected %s scans, found %s", text,
                     found.n > 0 ? found.text : "none");
    str_list_release(&want);
    str_release(&found);
    tally_release(&have);
    return rc;
}
