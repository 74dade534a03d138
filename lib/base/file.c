#include "base/file.h"

#include "base/digest.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A regular file, to be read; a pipe without a writer does not hold us up. */
static int
open_regular(const char *path, size_t *nbytes, struct err *e)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return err_errno(e, "cannot open '%s'", path);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *nbytes = (size_t)st.st_size;
        return fd;
    }
    close(fd);
    return err_set(e, EXIT_IO, "cannot read '%s': not a regular file", path);
}

int
file_map(struct file_map *m, const char *path, struct err *e)
{
    size_t n = 0;
    int fd = open_regular(path, &n, e);
    void *p = "";

    memset(m, 0, sizeof *m);
    if (fd < 0)
        return -1;
    if (n > 0)
        p = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return err_errno(e, "cannot map '%s'", path);
    *m = (struct file_map){ p, n };
    return 0;
}

void
file_unmap(struct file_map *m)
{
    if (m->nbytes > 0)
        munmap((void *)m->data, m->nbytes);
    memset(m, 0, sizeof *m);
}

/* Bytes to the end, at most `most`; the memory they get at first is `room`. */
static int
drain(int fd, const char *name, size_t room, size_t most, char **data,
      size_t *nbytes, struct err *e)
{
    char *buf = mem_alloc(room);
    size_t n = 0;
    ssize_t got = 1;

    while (n < most && got != 0) {
        if (n + 1 == room)
            buf = mem_grow(buf, room *= 2, 1);
        got = read(fd, buf + n, room - n - 1);
        if (got < 0 && errno != EINTR) {
            err_errno(e, "cannot read '%s'", name);
            free(buf);
            return -1;
        }
        n += got > 0 ? (size_t)got : 0;
    }
    buf[n] = '\0';
    *data = buf;
    *nbytes = n;
    return 0;
}

int
file_read(const char *path, char **data, size_t *nbytes, struct err *e)
{
    static bool taken;          /* the standard input */
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return err_errno(e, "cannot open '%s'", path);
    if (standard && taken)
        return err_set(e, EXIT_USAGE, "the standard input can be read once "
                       "in a command");
    taken = taken || standard;
    rc = drain(fd, name, 65536, SIZE_MAX, data, nbytes, e);
    if (!standard)
        close(fd);
    return rc;
}

int
file_load(const char *path, size_t limit, char **data, size_t *nbytes,
          struct err *e)
{
    size_t n = 0;
    int fd = open_regular(path, &n, e), rc;

    if (fd < 0)
        return -1;
    rc = n > limit ? err_set(e, EXIT_INVALID, "'%s' is larger than %zu MB",
                             path, limit >> 20)
                   : drain(fd, path, n + 1, n, data, nbytes, e);
    close(fd);
    return rc;
}

/* The folder of a path, as a path; the caller frees it. */
static char *
folder_of(const char *path)
{
    const char *base = str_base(path);

    if (base == path)
        return mem_strdup(".");
    return str_format("%.*s", (int)(base - path), path);
}

/*
 * The target itself: a link stays, and what it points to is replaced, there
 * already or not.  Links that lead nowhere else end at one of them.
 */
static char *
target_of(const char *path)
{
    enum { LINKS = 40 };        /* as the kernel takes */
    char *at = mem_strdup(path), to[PATH_MAX];

    for (int i = 0; i < LINKS; i++) {
        ssize_t n = readlink(at, to, sizeof to - 1);
        char *folder, *next;

        if (n <= 0)
            break;
        to[n] = '\0';
        folder = folder_of(at);
        next = to[0] == '/' ? mem_strdup(to) : str_format("%s/%s", folder, to);
        free(folder);
        free(at);
        at = next;
    }
    return at;
}

bool
file_same(const char *a, const char *b)
{
    struct stat s, t;
    bool there = stat(a, &s) == 0, same;
    char *x, *y, *p, *q;

    if (strcmp(a, "-") == 0 || strcmp(b, "-") == 0 ||
        there != (stat(b, &t) == 0))
        return false;
    if (there)
        return S_ISREG(s.st_mode) && s.st_dev == t.st_dev &&
               s.st_ino == t.st_ino;
    p = target_of(a);
    q = target_of(b);
    x = folder_of(p);
    y = folder_of(q);
    same = strcmp(str_base(p), str_base(q)) == 0 && stat(x, &s) == 0 &&
           stat(y, &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
    free(p);
    free(q);
    free(x);
    free(y);
    return same;
}

/*
 * Open and lock the part file.  Between open and lock the holder may have
 * renamed it away; then what we hold is its target, and we try again.  A link
 * to another file, or a file of somebody else, is none that a run left behind:
 * it goes, not what it leads to.
 */
static int
open_part(const char *path, const char *part, struct err *e)
{
    for (int tries = 0;;) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct stat mine, there;
        int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

        if (fd < 0 && errno == ELOOP && tries++ < 3 && unlink(part) == 0)
            continue;
        if (fd < 0)
            return err_errno(e, "cannot write '%s'", path);
        if (fcntl(fd, F_SETLK, &lock) != 0) {
            lock.l_pid = 0;
            if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
                err_set(e, EXIT_IO, "'%s' is being written by process %ld",
                        path, (long)lock.l_pid);
            else
                err_errno(e, "cannot lock '%s'", part);
            close(fd);
            return -1;
        }
        if (fstat(fd, &mine) == 0 && lstat(part, &there) == 0 &&
            mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) {
            if ((mine.st_nlink > 1 || mine.st_uid != geteuid()) &&
                tries++ < 3 && unlink(part) == 0) {
                close(fd);
                continue;
            }
            if (ftruncate(fd, 0) == 0)
                return fd;
            err_errno(e, "cannot write '%s'", part);
            close(fd);
            return -1;
        }
        close(fd);
    }
}

/*
 * The part's path, beside the target.  A name that is too long with five letters
 * and a point more is cut, and its digest put behind.
 */
static char *
part_of(const char *target)
{
    const char *name = str_base(target);
    char *folder = folder_of(target), *part, hex[DIGEST_HEX];
    size_t n = strlen(name);

    digest_bytes(name, n, hex);
    part = n + 6 <= NAME_MAX
               ? str_format("%s/.%s.part", folder, name)
               : str_format("%s/.%.200s.%.16s.part", folder, name, hex);
    free(folder);
    return part;
}

char *
file_part(const char *path)
{
    char *target = target_of(path), *part = part_of(target);

    free(target);
    return part;
}

int
file_out_open(struct file_out *o, const char *path, struct err *e)
{
    struct stat st;
    bool there, loop;
    int fd;

    memset(o, 0, sizeof *o);
    if (strcmp(path, "-") == 0) {
        o->path = mem_strdup("stdout");
        o->stream = stdout;
        return 0;
    }
    there = stat(path, &st) == 0;
    loop = !there && errno == ELOOP;
    o->path = target_of(path);
    if (loop) {
        errno = ELOOP;
        fd = -1;
    } else if (there && !S_ISREG(st.st_mode)) {
        fd = open(path, O_WRONLY | O_CLOEXEC);
    } else {
        o->part = part_of(o->path);
        fd = there && access(path, W_OK) != 0 ? -1
                                              : open_part(path, o->part, e);
        if (fd >= 0 && there)
            fchmod(fd, st.st_mode & 0777);
    }
    if (fd >= 0)
        o->stream = fdopen(fd, "wb");
    if (o->stream == NULL) {
        err_errno(e, "cannot write '%s'", path);
        free(o->path);
        free(o->part);
        memset(o, 0, sizeof *o);
        return -1;
    }
    return 0;
}

static int
sync_folder(const char *path, struct err *e)
{
    char *folder = folder_of(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    /* Some folders cannot be read or synced; the rename is done anyway. */
    if (fd < 0 ? errno != EACCES
               : fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        rc = err_errno(e, "cannot sync the folder '%s'", folder);
    if (fd >= 0)
        close(fd);
    free(folder);
    return rc;
}

int
file_out_close(struct file_out *o, struct err *e)
{
    bool good = !ferror(o->stream) && fflush(o->stream) == 0;

    if (o->part == NULL) {
        if (o->stream != stdout && fclose(o->stream) != 0)
            good = false;
        o->stream = NULL;
        if (!good)
            err_errno(e, "cannot write '%s'", o->path);
    } else {
        good = good && fsync(fileno(o->stream)) == 0 &&
               rename(o->part, o->path) == 0;
        if (!good) {
            err_errno(e, "cannot write '%s'", o->path);
        } else {
            free(o->part);      /* it is the target now */
            o->part = NULL;
            good = fclose(o->stream) == 0 && sync_folder(o->path, e) == 0;
            o->stream = NULL;
        }
    }
    file_out_drop(o);
    return good ? 0 : -1;
}

void
file_out_drop(struct file_out *o)
{
    if (o->part != NULL)
        unlink(o->part);        /* before the lock goes with the stream */
    if (o->stream != NULL && o->stream != stdout)
        fclose(o->stream);
    free(o->part);
    free(o->path);
    memset(o, 0, sizeof *o);
}

int
file_make_folder(const char *path, struct err *e)
{
    char *copy;
    struct stat st;
    int rc = 0;

    if (path[0] == '\0')
        return err_set(e, EXIT_IO, "'' is not a folder");
    copy = mem_strdup(path);
    for (char *p = copy + 1;; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            rc = err_errno(e, "cannot create the folder '%s'", copy);
        *p = c;
        if (c == '\0' || rc != 0)
            break;
    }
    if (rc == 0 && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)))
        rc = err_set(e, EXIT_IO, "'%s' is not a folder", path);
    free(copy);
    return rc;
}

int
file_make_folder_of(const char *file, struct err *e)
{
    char *folder = folder_of(file);
    int rc = file_make_folder(folder, e);

    free(folder);
    return rc;
}

bool
file_folder_empty(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *entry;
    bool any = d == NULL && errno != ENOENT && errno != ENOTDIR;

    while (d != NULL && !any && (entry = readdir(d)) != NULL)
        any = entry->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return !any;
}
