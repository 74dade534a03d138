/* busi-strip: list the scans below folders, leave the masks out. */
#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/reject.h"
#include "base/table.h"
#include "data/image_file.h"
#include "data/manifest.h"
#include "data/sandbox.h"
#include "data/scan.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    const char *out, *masks, *expect, *tree, *rejects, *key;
    bool nul, by_content, delete, yes;
};

static const char *const examples[] = {
    "busi-strip scans > manifest.tsv",
    "busi-strip --expect benign=437,malignant=210,normal=133 scans",
    "find . -name '*.png' -print0 | busi-strip -0 --masks masks.tsv",
    "busi-strip --tree stripped -o manifest.tsv scans",
    NULL
};

/* Paths on stdin.  One that cannot be read is no reason to drop the others. */
static int
add_stdin(struct scan_list *l, const struct settings *s, struct reject *r,
          struct err *e)
{
    char *data, *p, *end;
    size_t nbytes;

    if (file_read("-", &data, &nbytes, e) != 0)
        return -1;
    for (p = data; p < data + nbytes; p = end + 1) {
        struct err one = { 0 };

        end = memchr(p, s->nul ? '\0' : '\n', (size_t)(data + nbytes - p));
        if (end == NULL)
            end = data + nbytes;
        *end = '\0';
        if (strlen(p) < (size_t)(end - p))
            err_set(&one, EXIT_INVALID, "its line has a NUL byte in it (-0 "
                    "ends paths so)");
        else if (*p != '\0')
            scan_add(l, p, s->tree, &one);
        if (one.status != 0)
            reject_add(r, p, "unreadable", one.text);
    }
    free(data);
    return 0;
}

static int
add_all(struct scan_list *l, const struct settings *s, char **paths,
        struct reject *r, struct err *e)
{
    if (*paths == NULL)
        return add_stdin(l, s, r, e);
    for (; *paths != NULL; paths++)
        if ((strcmp(*paths, "-") == 0 ? add_stdin(l, s, r, e)
                                      : scan_add(l, *paths, s->tree, e)) != 0)
            return -1;
    return 0;
}

static int
save_masks(const struct scan_list *l, const char *path, struct err *e)
{
    static const char *const columns[] = { "path", "scan", "found_by", NULL };
    struct table t;
    int rc = 0;

    table_init(&t, columns);
    for (size_t i = 0; i < l->n; i++) {
        const struct scan *m = &l->item[i];
        const char *cells[] = {
            m->path, m->of != NULL ? m->of : "",
            m->mask == SCAN_MASK_NAME ? "name" : "content"
        };

        if (m->mask == SCAN_NO_MASK)
            continue;
        table_add(&t, cells);
        if (m->of == NULL)
            log_warn("no scan belongs to the mask '%s'", m->path);
    }
    if (path != NULL)
        rc = table_save(&t, path, e);
    table_release(&t);
    return rc;
}

/* Masks of other names than those known would be scans, even a class. */
static void
warn_of_masks(const struct scan_list *l)
{
    const char *first = NULL;
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        const struct scan *s = &l->item[i];

        if (s->mask == SCAN_NO_MASK && s->reason == NULL &&
            strcasestr(s->id, "mask") != NULL && n++ == 0)
            first = s->path;
    }
    if (n > 0)
        log_warn("scans with 'mask' in their names: %zu, the first is '%s'; "
                 "are they masks?  --by-content finds those of black and "
                 "white alone", n, first);
}

/* Folders of classes, given one by one, tell no class. */
static void
warn_of_labels(const struct scan_list *l, const struct table *scans)
{
    struct str_list classes;

    manifest_classes(scans, &classes);
    if (l->folders > 1 && classes.n == 0 && scans->nrows > 0)
        log_warn("no scan has a label: labels are the folders below those "
                 "given; give the folder above");
    str_list_release(&classes);
}

static void
list_scans(const struct scan_list *l, struct table *t)
{
    static const char *const columns[] = {
        "id", "path", "label", "sha256", NULL
    };

    table_init(t, columns);
    for (size_t i = 0; i < l->n; i++) {
        const struct scan *s = &l->item[i];
        const char *cells[] = { s->id, s->path, s->label, s->sha256 };

        if (s->mask == SCAN_NO_MASK && s->reason == NULL)
            table_add(t, cells);
    }
}

/* The key is a file's bytes: an argument would stand in every list of
 * processes. */
static int
hash_ids(struct scan_list *l, const char *path, struct err *e)
{
    enum { LEAST = 16, MOST = 4096 };
    char *key;
    size_t n;
    int rc = file_load(path, 1 << 20, &key, &n, e);

    if (rc != 0)
        return -1;
    rc = n < LEAST || n > MOST
         ? err_set(e, EXIT_INVALID, "'%s' is not a key: it has %zu bytes, and "
                   "a key %d to %d", path, n, LEAST, MOST)
         : scan_hash_ids(l, key, n, e);
    free(key);
    return rc;
}

static int
strip(const struct settings *s, char **paths, struct err *e)
{
    struct scan_list l = { 0 };
    struct table scans = { 0 };
    struct reject r;
    bool rejected;
    int rc = -1;

    if (reject_open(&r, s->rejects, e) != 0)
        return -1;
    if (add_all(&l, s, paths, &r, e) != 0 || scan_sort(&l, e) != 0 ||
        scan_read(&l, s->by_content, e) != 0)
        goto done;
    for (size_t i = 0; i < l.n; i++)
        if (l.item[i].reason != NULL)
            reject_add(&r, l.item[i].path, l.item[i].reason,
                       l.item[i].detail);
    rejected = r.n > 0;
    if (reject_close(&r, e) != 0)
        goto done;
    warn_of_masks(&l);
    if (s->key != NULL && hash_ids(&l, s->key, e) != 0)
        goto done;
    list_scans(&l, &scans);
    warn_of_labels(&l, &scans);
    manifest_doubt(&scans);
    if (s->expect != NULL && manifest_expect(&scans, s->expect, e) != 0)
        goto done;
    if (s->tree != NULL && scan_tree(&l, s->tree, e) != 0)
        goto done;
    if (save_masks(&l, s->masks, e) != 0)
        goto done;
    if (scans.nrows == 0) {
        err_set(e, EXIT_INVALID, "there are no scans (pictures: %zu; passed "
                "over for their names: %zu files, see -v)", l.n, l.passed);
        goto done;
    }
    if (table_save(&scans, s->out, e) != 0)
        goto done;
    if (s->delete && scan_delete_masks(&l, e) != 0)
        goto done;
    rc = rejected ? EXIT_REJECTS : EXIT_DONE;
done:
    reject_drop(&r);
    table_release(&scans);
    scan_release(&l);
    return rc;
}

int
main(int argc, char **argv)
{
    struct settings s = { 0 };
    const struct opt opts[] = {
        { "output", 'o', OPT_OUT, &s.out, "MANIFEST", "-",
          "where the scans are listed", 0, 0 },
        { "masks", 0, OPT_OUT, &s.masks, "FILE", NULL,
          "list the masks, each with its scan", 0, 0 },
        { "expect", 0, OPT_TEXT, &s.expect, "CLASS=N,...", NULL,
          "fail on any other number of scans", 0, 0 },
        { "null", '0', OPT_FLAG, &s.nul, NULL, NULL,
          "paths on stdin end with NUL, not newline", 0, 0 },
        { "by-content", 0, OPT_FLAG, &s.by_content, NULL, NULL,
          "PNG files of black and white alone are masks", 0, 0 },
        { "tree", 0, OPT_TEXT, &s.tree, "DIR", NULL,
          "put the scans there by hard links", 0, 0 },
        { "hash-ids", 0, OPT_IN, &s.key, "KEYFILE", NULL,
          "ids are keyed hashes of names; keep the key", 0, 0 },
        { "delete", 0, OPT_FLAG, &s.delete, NULL, NULL,
          "remove the masks from disk; wants --yes", 0, 0 },
        { "yes", 0, OPT_FLAG, &s.yes, NULL, NULL,
          "yes, --delete is meant", 0, 0 },
        OPT_REJECTS(&s.rejects),
        OPT_END
    };
    const struct program p = {
        "busi-strip", "[PATH...]",
        "List the scans below folders, or those named on stdin; leave the "
        "masks out.", opts, examples, false
    };
    struct err e = { 0 };
    int first = opt_start(&p, argc, argv), status = 0;

    if (s.delete && !s.yes)
        err_set(&e, EXIT_USAGE, "--delete removes files for good; "
                "if that is meant, add --yes");
    else if (!s.by_content || image_sandbox_open(&e) == 0)
        status = strip(&s, argv + first, &e);
    sandbox_close();
    return opt_finish(status, &e);
}
