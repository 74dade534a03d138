#include "data/scan.h"

#include "base/file.h"
#include "base/log.h"
#include "base/lookup.h"
#include "base/magic.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/reject.h"
#include "base/str.h"
#include "data/image_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder being walked, and those it was reached through. */
struct folder {
    const char *path;
    const char *id;             /* below the root; "" for the root */
    const struct folder *up;
    dev_t dev;
    ino_t ino;
};

void
scan_release(struct scan_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->item[i].id);
        free(l->item[i].path);
        free(l->item[i].label);
        free(l->item[i].of);
        free(l->item[i].detail);
    }
    free(l->item);
    memset(l, 0, sizeof *l);
}

const char *
scan_ending(const char *name)
{
    static const char *const known[] = {
        "png", "jpg", "jpeg", "tif", "tiff", "bmp", "webp",
        "dcm", "dicom"
    };
    const char *end = image_frame(name);
    const char *point = memrchr(name, '.', (size_t)(end - name));

    if (point == NULL || name[0] == '.')
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strlen(known[i]) == (size_t)(end - point - 1) &&
            strncasecmp(point + 1, known[i], strlen(known[i])) == 0)
            return point;
    return NULL;
}

bool
scan_mask_name(const char *name, size_t *stem)
{
    const char *end = scan_ending(name), *p = end;

    if (end == NULL)
        return false;
    while (p > name && p[-1] >= '0' && p[-1] <= '9')
        p--;
    if (p < end && (p == name || *--p != '_'))
        return false;
    if (p - name < 5 || strncasecmp(p - 5, "_mask", 5) != 0)
        return false;
    *stem = (size_t)(p - 5 - name);
    return true;
}

/* ----------------------------------------------------------------- listing */

/* Machines name DICOM files IM0001, 1.2.840.10008.5 or 7.IMA. */
static bool
is_dicom(const char *path)
{
    const char *name = str_base(path), *point = strrchr(name, '.');
    const char *ending = point != NULL ? point + 1 : "";
    char head[MAGIC_BYTES];
    size_t n = 0;
    ssize_t got;
    int fd;

    if (name[0] == '.' || strcasecmp(name, "DICOMDIR") == 0 ||
        (ending[strspn(ending, "0123456789")] != '\0' &&
         strcasecmp(ending, "ima") != 0))
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;            /* perhaps: who reads it will say why not */
    do {
        got = read(fd, head + n, sizeof head - n);
        n += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && n < sizeof head) || (got < 0 && errno == EINTR));
    close(fd);
    return got < 0 || magic_of(head, n) == MAGIC_DICOM;
}

static bool
is_picture(struct scan_list *l, const char *path, const struct stat *st)
{
    bool is = scan_ending(str_base(path)) != NULL ||
              (S_ISREG(st->st_mode) && is_dicom(path));

    l->passed += !is;
    return is;
}

static void
add_file(struct scan_list *l, const char *path, const char *id)
{
    const char *base = str_base(id), *from;
    struct scan *s;

    l->item = mem_room(l->item, l->n, &l->room, sizeof *l->item);
    s = &l->item[l->n++];
    memset(s, 0, sizeof *s);
    s->path = mem_strdup(path);
    s->id = mem_strdup(id);
    if (base == id) {
        s->label = mem_strdup("");
        return;
    }
    for (from = base - 1; from > id && from[-1] != '/'; from--)
        ;
    s->label = str_format("%.*s", (int)(base - 1 - from), from);
}

static bool
walked_already(const struct folder *f, const struct stat *st)
{
    for (; f != NULL; f = f->up)
        if (f->dev == st->st_dev && f->ino == st->st_ino)
            return true;
    return false;
}

static bool
of_heat_maps(const char *folder)
{
    char *mark = str_format("%s/" SCAN_HEAT_MARK, folder);
    bool there = access(mark, F_OK) == 0;

    free(mark);
    return there;
}

static int walk(struct scan_list *l, const struct folder *f,
                const struct stat *avoid, struct err *e);

/*
 * One entry of a folder.  What is not there may be a folder of scans that is
 * not mounted: it is listed, to be rejected by name.
 */
static int
visit(struct scan_list *l, const struct folder *f, const char *name,
      const struct stat *avoid, struct err *e)
{
    const char *slash = str_ends(f->path, "/") ? "" : "/";
    char *path = str_format("%s%s%s", f->path, slash, name);
    char *id = str_format("%s%s%s", f->id, f->id[0] != '\0' ? "/" : "", name);
    struct stat st;
    bool there = stat(path, &st) == 0;
    int rc = 0;

    if (name[0] == '.') {
        log_note("passed over '%s': hidden", path);
    } else if (there && S_ISDIR(st.st_mode)) {
        struct folder sub = { path, id, f, st.st_dev, st.st_ino };

        if (walked_already(f, &st))
            log_note("passed over '%s': a folder above it", path);
        else if (avoid != NULL && avoid->st_dev == st.st_dev &&
                 avoid->st_ino == st.st_ino)
            log_note("passed over '%s': the output", path);
        else if (of_heat_maps(path))
            log_warn("passed over '%s': heat maps", path);
        else
            rc = walk(l, &sub, avoid, e);
    } else if (!there || is_picture(l, path, &st)) {
        add_file(l, path, id);
    } else {
        log_note("passed over '%s': no picture", path);
    }
    free(path);
    free(id);
    return rc;
}

static int
walk(struct scan_list *l, const struct folder *f, const struct stat *avoid,
     struct err *e)
{
    DIR *d = opendir(f->path);
    struct dirent *entry;
    int rc = 0;

    if (d == NULL) {
        rc = err_errno(e, "cannot open the folder '%s'", f->path);
        add_file(l, f->path, f->id[0] != '\0' ? f->id : f->path);
        return rc;
    }
    while (errno = 0, (entry = readdir(d)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0 &&
            visit(l, f, entry->d_name, avoid, e) != 0)
            rc = -1;
    if (errno != 0) {
        rc = err_errno(e, "cannot read the folder '%s'", f->path);
        add_file(l, f->path, f->id[0] != '\0' ? f->id : f->path);
    }
    closedir(d);
    return rc;
}

/* stat() of the file that a path with or without a frame is about. */
static int
look(const char *path, struct stat *st)
{
    int64_t frame;
    char *file = image_path(path, &frame);
    int rc = stat(file, st), why = errno;

    free(file);
    errno = why;
    return rc;
}

char *
scan_id(const char *path)
{
    struct str id = { 0 };

    for (const char *p = path; *p != '\0';) {
        size_t n = strcspn(p, "/"), slashes = strspn(p + n, "/");

        if (n != 1 || p[0] != '.' || p[n] == '\0') {
            str_add_bytes(&id, p, n);
            str_add(&id, slashes > 0 ? "/" : "");
        }
        p += n + slashes;
    }
    return id.text != NULL ? id.text : mem_strdup("");
}

int
scan_add(struct scan_list *l, const char *path, const char *avoid,
         struct err *e)
{
    struct stat st, out;
    char *id;
    int rc = 0;

    if (look(path, &st) != 0)
        return err_errno(e, "cannot open '%s'", path);
    id = scan_id(path);
    if (S_ISDIR(st.st_mode)) {
        struct folder root = { id[0] != '\0' ? id : ".", "", NULL, st.st_dev,
                               st.st_ino };
        size_t n = strlen(id);
        bool known = avoid != NULL && stat(avoid, &out) == 0;

        /* "dir" and "./dir/" are the same to a table. */
        if (n > 1 && id[n - 1] == '/')
            id[n - 1] = '\0';
        l->folders++;
        rc = walk(l, &root, known ? &out : NULL, e);
    } else if (is_picture(l, path, &st))
        add_file(l, path, id);
    else
        log_warn("passed over '%s': no picture by its name", path);
    free(id);
    return rc;
}

static int
by_id(const void *a, const void *b)
{
    const struct scan *s = a, *t = b;

    return str_natural(s->id, t->id);
}

int
scan_sort(struct scan_list *l, struct err *e)
{
    char **path = mem_array(l->n, sizeof *path);
    const char *twice;
    int rc = 0;

    if (l->n > 0)
        qsort(l->item, l->n, sizeof *l->item, by_id);
    for (size_t i = 0; i < l->n; i++)
        path[i] = l->item[i].path;
    twice = str_twice(path, l->n);
    if (twice != NULL)
        rc = err_set(e, EXIT_INVALID, "'%s' is given twice", twice);
    free(path);
    for (size_t i = 1; i < l->n && rc == 0; i++)
        if (strcmp(l->item[i - 1].id, l->item[i].id) == 0)
            rc = err_set(e, EXIT_INVALID,
                         "'%s' and '%s' would have the same id '%s'",
                         l->item[i - 1].path, l->item[i].path, l->item[i].id);
    return rc;
}

/* ------------------------------------------------------- masks and reading */

/* A scan by its id without the ending; if several, one with this ending. */
static const struct scan *
find_stem(const struct scan *scans, const struct lookup *stems, size_t n,
          const char *id, size_t nbytes, const char *ending)
{
    char *text = str_format("%.*s", (int)nbytes, id);
    const struct lookup key = { text, 0 };
    const struct lookup *hit = bsearch(&key, stems, n, sizeof key,
                                       lookup_bytes);
    const struct scan *found = NULL;

    if (hit != NULL) {
        while (hit > stems && strcmp(hit[-1].text, text) == 0)
            hit--;
        found = &scans[hit->at];
        for (; hit < stems + n && strcmp(hit->text, text) == 0; hit++)
            if (str_ends(scans[hit->at].id, ending))
                found = &scans[hit->at];
    }
    free(text);
    return found;
}

static bool
name_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80;
}

/*
 * The scan of a mask.  A mask known by its content alone belongs to the scan
 * with the longest name that its own begins with, cut where a word ends.
 */
static const struct scan *
scan_of(const struct scan *mask, const struct scan *scans,
        const struct lookup *stems, size_t n)
{
    const char *base = str_base(mask->id), *ending = scan_ending(base);
    size_t folder = (size_t)(base - mask->id), cut;
    const struct scan *found = NULL;

    if (ending == NULL)
        return NULL;
    if (mask->mask == SCAN_MASK_NAME) {
        if (!scan_mask_name(base, &cut))
            return NULL;
        return find_stem(scans, stems, n, mask->id, folder + cut, ending);
    }
    cut = (size_t)(ending - base);
    while (found == NULL && --cut > 0)
        if (!name_byte(base[cut]))
            found = find_stem(scans, stems, n, mask->id, folder + cut, ending);
    return found;
}

static void
pair_masks(struct scan_list *l)
{
    struct lookup *stems = mem_array(l->n, sizeof *stems);
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        if (l->item[i].mask == SCAN_NO_MASK) {
            const char *id = l->item[i].id;
            const char *end = scan_ending(str_base(id));

            stems[n].text = str_format("%.*s", end != NULL ? (int)(end - id)
                                       : (int)strlen(id), id);
            stems[n++].at = i;
        }
    qsort(stems, n, sizeof *stems, lookup_bytes);
    for (size_t i = 0; i < l->n; i++)
        if (l->item[i].mask != SCAN_NO_MASK) {
            const struct scan *s = scan_of(&l->item[i], l->item, stems, n);

            l->item[i].of = s != NULL ? mem_strdup(s->id) : NULL;
        }
    for (size_t i = 0; i < n; i++)
        free((char *)stems[i].text);
    free(stems);
}

struct reading {
    struct scan_list *list;
    bool by_content;
};

static void
reject(struct scan *s, const char *reason, const char *detail)
{
    s->reason = reason;
    s->detail = mem_strdup(detail);
}

static bool
black_and_white(const struct image *m)
{
    size_t c = (size_t)m->c, n = (size_t)m->w * (size_t)m->h * c, i = 0;

    while (i < n && (m->px[i] == 0 || m->px[i] == 255) &&
           m->px[i] == m->px[i - i % c])
        i++;
    return i == n;
}

/* Is it a mask by its pixels?  An error: nobody can tell. */
static bool
is_mask(const char *file, struct err *e)
{
    const char *ending = scan_ending(str_base(file));
    struct image m;
    bool mask;

    if (ending == NULL || strcasecmp(ending, ".png") != 0)
        return false;
    if (image_load(&m, file, e) != 0) {
        if (e->status != EXIT_INVALID)
            return false;
        log_warn("whether '%s' is a mask cannot be told: %s", file, e->text);
        err_clear(e);           /* for those who need its pixels */
        return false;
    }
    mask = black_and_white(&m);
    image_release(&m);
    return mask;
}

static void
read_one(void *ctx, size_t i, int thread)
{
    const struct reading *r = ctx;
    struct scan *s = &r->list->item[i];
    struct err e = { 0 };
    struct stat st;
    size_t stem;
    int64_t frame;
    char *file = image_path(s->path, &frame);

    (void)thread;
    if (scan_mask_name(str_base(s->id), &stem)) {
        s->mask = SCAN_MASK_NAME;
    } else if (stat(file, &st) != 0) {
        reject(s, "unreadable", strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        reject(s, "unreadable", "the folder cannot be opened");
    } else if (!S_ISREG(st.st_mode)) {
        reject(s, "not-a-file", "not a regular file");
    } else if (st.st_size == 0) {
        reject(s, "empty", "the file has no bytes");
    } else if (r->by_content && is_mask(file, &e)) {
        s->mask = SCAN_MASK_CONTENT;
    } else if (e.status != 0 || digest_file(file, s->sha256, &e) != 0) {
        reject(s, reject_reason(&e), e.text);
    }
    free(file);
}

int
scan_read(struct scan_list *l, bool by_content, struct err *e)
{
    struct reading r = { l, by_content };

    pool_run(0, l->n, read_one, &r);
    for (size_t i = 0; i < l->n; i++)
        if (l->item[i].reason == reject_shortage)
            return err_set(e, EXIT_IO, "%s", l->item[i].detail);
    pair_masks(l);
    return 0;
}

/* ----------------------------------------------------------- what is asked */

int
scan_hash_ids(struct scan_list *l, const void *key, size_t nkey,
              struct err *e)
{
    for (size_t i = 0; i < l->n; i++) {
        struct scan *s = &l->item[i];
        char **id = s->mask != SCAN_NO_MASK ? &s->of : &s->id;
        char hex[DIGEST_HEX];

        if (*id == NULL)
            continue;
        digest_hmac(key, nkey, *id, strlen(*id), hex);
        free(*id);
        *id = str_format("%.24s", hex);
    }
    l->hashed = true;
    return scan_sort(l, e);
}

static bool
same_bytes(const char *path, const char *sha256)
{
    struct err quiet = { 0 };
    char hex[DIGEST_HEX];

    return digest_file(path, hex, &quiet) == 0 && strcmp(hex, sha256) == 0;
}

static int
copy_file(const char *from, const char *to, struct err *e)
{
    struct file_map map;
    struct file_out out;
    int rc = -1;

    if (file_map(&map, from, e) != 0)
        return -1;
    if (file_out_open(&out, to, e) == 0) {
        fwrite(map.data, 1, map.nbytes, out.stream);
        rc = file_out_close(&out, e);
    }
    file_unmap(&map);
    return rc;
}

/* Would the id lead out of a folder? */
static bool
leads_out(const char *id)
{
    for (const char *p = id; (p = strstr(p, "..")) != NULL; p += 2)
        if ((p == id || p[-1] == '/') && (p[2] == '/' || p[2] == '\0'))
            return true;
    return false;
}

static int
place(const char *from, const char *sha256, const char *to, struct err *e)
{
    struct stat st;

    if (file_make_folder_of(to, e) != 0)
        return -1;
    if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno == EEXIST || lstat(to, &st) == 0) {
        if (same_bytes(to, sha256))
            return 0;
        return err_set(e, EXIT_INVALID,
                       "'%s' is there already and differs from '%s'", to,
                       from);
    }
    /* Another file system, one without links, or too many of them. */
    return copy_file(from, to, e);
}

/* A copy that holds more than was put there is no copy. */
static void
warn_of_others(const char *folder, void *placed)
{
    struct scan_list there = { 0 };
    struct err quiet = { 0 };
    const char *first = NULL;
    size_t n = 0;

    scan_add(&there, folder, NULL, &quiet);
    scan_sort(&there, &quiet);
    for (size_t i = 0; i < there.n; i++)
        if (!str_set_has(placed, there.item[i].id) && n++ == 0)
            first = there.item[i].path;
    if (n > 0)
        log_warn("pictures below '%s' that are no scans of this run: %zu, the "
                 "first is '%s'", folder, n, first);
    scan_release(&there);
}

int
scan_tree(const struct scan_list *l, const char *folder, struct err *e)
{
    void *placed = NULL;
    int rc = file_make_folder(folder, e);

    for (size_t i = 0; i < l->n && rc == 0; i++) {
        const struct scan *s = &l->item[i];
        const char *ending, *below;
        int64_t frame;
        char *from, *id, *to;

        if (s->mask != SCAN_NO_MASK || s->reason != NULL)
            continue;
        if (leads_out(s->id) || leads_out(s->label)) {
            rc = err_set(e, EXIT_INVALID, "'%s' would lie outside '%s'",
                         s->path, folder);
            break;
        }
        from = image_path(s->path, &frame);
        id = image_path(s->id, &frame);
        ending = scan_ending(str_base(from));
        to = !l->hashed ? str_format("%s/%s", folder, id)
                        : str_format("%s/%s/%s%s", folder, s->label, id,
                                     ending != NULL ? ending : "");
        rc = place(from, s->sha256, to, e);
        below = to + strlen(folder);
        str_set_add(&placed, below + strspn(below, "/"));
        free(from);
        free(id);
        free(to);
    }
    if (rc == 0)
        warn_of_others(folder, placed);
    str_set_release(&placed);
    return rc;
}

int
scan_delete_masks(const struct scan_list *l, struct err *e)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct scan *s = &l->item[i];
        int64_t frame;
        char *file = image_path(s->path, &frame);
        int rc = 0;

        /* One that is gone was reached by two ways. */
        if (s->mask != SCAN_NO_MASK && frame > 0)
            log_warn("not removed: '%s', a frame of a file", s->path);
        else if (s->mask != SCAN_NO_MASK && unlink(file) != 0 &&
                 errno != ENOENT)
            rc = err_errno(e, "cannot remove '%s'", file);
        free(file);
        if (rc != 0)
            return -1;
    }
    return 0;
}
