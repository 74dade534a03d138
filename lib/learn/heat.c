#include "learn/heat.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/image_file.h"
#include "data/scan.h"
#include "learn/cam.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/*
 * One mask as the network would see it, into those before.  1: it cannot be
 * read, which has been said.
 */
static int
join_mask(const struct recipe *r, const char *path, uint8_t *mask,
          struct err *failed)
{
    size_t n = (size_t)r->crop * (size_t)r->crop, c = (size_t)r->channels;
    uint8_t *px = mem_array(n, c);
    struct image m = { 0 };
    struct err e = { 0 };
    int rc = 0;

    if (image_load(&m, path, &e) != 0 || recipe_apply(r, &m, px, &e) != 0)
        rc = e.shortage ? -1 : 1;
    if (rc < 0)
        *failed = e;
    else if (rc > 0)
        log_warn("the mask '%s' is left out: %s", path, e.text);
    for (size_t i = 0; i < n && rc == 0; i++)
        mask[i] = px[i * c] > mask[i] ? px[i * c] : mask[i];
    image_release(&m);
    free(px);
    return rc;
}

/* The masks of a scan; its path without the ending. */
struct masks {
    char *stem;
    struct str_list path;
};

static int
by_stem(const void *a, const void *b)
{
    return strcmp(((const struct masks *)a)->stem,
                  ((const struct masks *)b)->stem);
}

static void
release_masks(void *p)
{
    struct masks *m = p;

    free(m->stem);
    str_list_release(&m->path);
    free(m);
}

static int
is_mask(const struct dirent *d)
{
    size_t stem;

    return scan_mask_name(d->d_name, &stem);
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* `folder` has its slash, or is "". */
static void
read_folder(struct heat *h, const char *folder)
{
    struct dirent **entry;
    int n = scandir(folder[0] != '\0' ? folder : ".", &entry, is_mask, by_name);

    for (int i = 0; i < n; i++) {
        char *path = str_format("%s%s", folder, entry[i]->d_name);
        struct masks *m = mem_array(1, sizeof *m), **known;
        size_t stem;

        scan_mask_name(entry[i]->d_name, &stem);
        m->stem = str_format("%.*s", (int)(strlen(folder) + stem), path);
        known = mem_must(tsearch(m, &h->masks, by_stem), sizeof *m);
        str_list_add(&(*known)->path, path);
        if (*known != m)
            release_masks(m);
        free(path);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
}

/* The masks beside a scan (scan.h) in one; *mask stays NULL: there are none. */
static int
find_masks(struct heat *h, const char *path, uint8_t **mask, struct err *e)
{
    const char *base = str_base(path), *end = scan_ending(base);
    size_t side = (size_t)h->recipe->crop;
    struct masks key, **found;
    size_t n = 0, joined = 0;
    char *folder;
    int rc = 0;

    if (end == NULL)
        end = path + strlen(path);
    folder = str_format("%.*s", (int)(base - path), path);
    key.stem = str_format("%.*s", (int)(end - path), path);
    /* Once: 100 000 scans may lie there. */
    if (str_set_add(&h->folders, folder))
        read_folder(h, folder);
    found = tfind(&key, &h->masks, by_stem);
    if (found != NULL) {
        n = (*found)->path.n;
        *mask = mem_array(side, side);
    }
    for (size_t i = 0; i < n && rc >= 0; i++) {
        rc = join_mask(h->recipe, (*found)->path.item[i], *mask, e);
        joined += rc == 0;
    }
    if (joined == 0) {
        free(*mask);
        *mask = NULL;
    }
    free(folder);
    free(key.stem);
    return rc < 0 ? -1 : 0;
}

static double
mask_area(const uint8_t *mask, int side)
{
    int n = side * side, in = 0;

    for (int i = 0; i < n; i++)
        in += mask[i] >= 128;
    return (double)in / n;
}

char *
heat_path(const char *folder, const char *id)
{
    const char *end = strrchr(id, '.');
    bool png = end != NULL && strcasecmp(end, ".png") == 0;
    char *path, *p;

    while (*id == '/')
        id++;
    path = str_format("%s/%s%s", folder, id, png ? "" : ".png");
    p = path + strlen(folder);
    while ((p = strstr(p, "/..")) != NULL) {
        if (p[3] == '/' || p[3] == '\0')
            memset(p + 1, '_', 2);
        p += 3;
    }
    return path;
}

int
heat_open(struct heat *h, const char *folder, const struct recipe *r,
          struct err *e)
{
    char *mark = str_format("%s/" SCAN_HEAT_MARK, folder);
    int rc = file_make_folder(folder, e), fd;

    *h = (struct heat){ .folder = folder, .recipe = r };
    /* Several folds may come here at once: all write the same. */
    if (rc == 0 && access(mark, F_OK) != 0 && file_folder_empty(folder)) {
        fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0 ||
            dprintf(fd, "The pictures in this folder are heat maps.\n") < 0)
            rc = err_errno(e, "cannot write '%s'", mark);
        if (fd >= 0)
            close(fd);
    }
    h->ours = access(mark, F_OK) == 0;
    free(mark);
    return rc;
}

void
heat_close(struct heat *h)
{
    str_set_release(&h->written);
    str_set_release(&h->folders);
    tdestroy(h->masks, release_masks);
}

/* May the map of scan `id` be written there? */
static int
check_target(struct heat *h, const char *id, const char *path,
             const char *to, struct err *e)
{
    if (strlen(str_base(to)) > NAME_MAX || strlen(to) + 8 > PATH_MAX)
        return err_set(e, EXIT_INVALID, "the heat map of '%s' would have too "
                       "long a name", id);
    if (path != NULL && file_same(path, to))
        return err_set(e, EXIT_USAGE, "the heat map of '%s' would overwrite "
                       "the scan: take another folder for --cam", path);
    if (!h->ours && access(to, F_OK) == 0)
        return err_set(e, EXIT_USAGE, "the heat map of '%s' would replace "
                       "'%s', which may be none: take another folder for "
                       "--cam", id, to);
    if (!str_set_add(&h->written, to))
        return err_set(e, EXIT_INVALID, "the heat map of '%s' would replace "
                       "'%s', that of another scan", id, to);
    return 0;
}

int
heat_write(struct heat *h, const char *id, const char *path,
           const uint8_t *px, const float *map,
           struct heat_fit *fit, struct err *e)
{
    const struct recipe *r = h->recipe;
    uint8_t *mask = NULL;
    int rc = path != NULL ? find_masks(h, path, &mask, e) : 0;
    char *to = heat_path(h->folder, id);
    struct image m = { 0 };

    fit->inside = mask != NULL ? cam_inside(map, mask, r->crop) : NAN;
    fit->area = mask != NULL ? mask_area(mask, r->crop) : NAN;
    if (rc == 0)
        rc = check_target(h, id, path, to, e);
    if (rc == 0) {
        cam_paint(&m, px, r->channels, r->crop, map, mask);
        rc = file_make_folder_of(to, e);
        if (rc == 0)
            rc = image_save_png(&m, to, e);
    }
    image_release(&m);
    free(mask);
    free(to);
    return rc;
}
