#include "learn/inputs.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/stop.h"
#include "base/str.h"
#include "data/manifest.h"
#include "data/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ASK_MS = 100 };      /* how often one who waits asks for signals */

void
input_release(struct input *i)
{
    free(i->id);
    free(i->path);
    free(i->detail);
    memset(i, 0, sizeof *i);
}

void
input_reject(struct input *i, const char *reason, const char *detail)
{
    free(i->detail);
    i->reason = reason;
    i->detail = mem_strdup(detail);
}

/* --------------------------------------------------------------------- paths */

/* The place of stdin among the paths given: an item without an id. */
static bool
is_stream(const struct input *i)
{
    return i->id == NULL;
}

static struct input *
push(struct input_list *l, const char *id, const char *path)
{
    struct input *i;

    l->item = mem_room(l->item, l->n, &l->room, sizeof *l->item);
    i = &l->item[l->n++];
    *i = (struct input){ .label = "", .fold = "", .group = "" };
    i->id = id != NULL ? mem_strdup(id) : NULL;
    i->path = path != NULL ? mem_strdup(path) : NULL;
    return i;
}

static void
pass_over(const char *mask)
{
    log_note("passed over '%s': a mask", mask);
}

static void
push_folder(struct input_list *l, const char *path)
{
    struct scan_list found = { 0 };
    struct err e = { 0 };
    size_t before = l->n, stem;

    scan_add(&found, path, NULL, NULL);     /* has what it cannot read, too */
    if (scan_sort(&found, &e) == 0)
        for (size_t i = 0; i < found.n; i++) {
            const struct scan *s = &found.item[i];

            if (scan_mask_name(str_base(s->id), &stem))
                pass_over(s->path);
            else
                push(l, s->id, s->path);
        }
    if (e.status != 0)
        input_reject(push(l, path, path), "unreadable", e.text);
    else if (l->n == before)
        log_warn("there are no scans below '%s' (passed over for their names: "
                 "%zu files)", path, found.passed);
    scan_release(&found);
}

/* A file need not look like a picture: whoever names it means it. */
static void
push_path(struct inputs *in, struct input_list *l, const char *path)
{
    struct stat st;
    size_t stem;
    char *id;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        push_folder(l, path);
        return;
    }
    if (scan_mask_name(str_base(path), &stem)) {
        pass_over(path);
        in->masks++;
        return;
    }
    id = scan_id(path);
    push(l, id, path);
    free(id);
}

static int
by_id(const void *a, const void *b)
{
    const struct input *const *x = a, *const *y = b;

    return strcmp((*x)->id, (*y)->id);
}

/* Folders with files of the same names would give rows of the same id. */
static int
check_ids(const struct input_list *l, struct err *e)
{
    const struct input **by = mem_array(l->n, sizeof *by);
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; i < l->n; i++)
        if (!is_stream(&l->item[i]))
            by[n++] = &l->item[i];
    qsort(by, n, sizeof *by, by_id);
    for (size_t i = 1; i < n && rc == 0; i++)
        if (by_id(&by[i - 1], &by[i]) == 0)
            rc = err_set(e, EXIT_INVALID, "'%s' and '%s' would have the same "
                         "id '%s'", by[i - 1]->path, by[i]->path, by[i]->id);
    free(by);
    return rc;
}

int
inputs_open_paths(struct inputs *in, char *const *paths, bool nul,
                  struct err *e)
{
    bool stream = *paths == NULL;

    memset(in, 0, sizeof *in);
    in->nul = nul;
    in->stop[0] = in->stop[1] = -1;
    if (pipe2(in->stop, O_CLOEXEC) != 0)
        return err_errno(e, "cannot make a pipe");
    if (stream)
        push(&in->given, NULL, NULL);
    for (; *paths != NULL; paths++)
        if (strcmp(*paths, "-") == 0) {
            stream = true;
            push(&in->given, NULL, NULL);
        } else {
            push_path(in, &in->given, *paths);
        }
    in->total = stream ? SIZE_MAX : in->given.n;
    return check_ids(&in->given, e);
}

static void
list_release(struct input_list *l)
{
    for (size_t i = l->at; i < l->n; i++)
        input_release(&l->item[i]);
    free(l->item);
}

void
inputs_close(struct inputs *in)
{
    for (int i = 0; i < 2; i++)
        if (in->stop[i] >= 0)
            close(in->stop[i]);
    list_release(&in->given);
    list_release(&in->below);
    table_release(&in->folds);
    free(in->text);
    memset(in, 0, sizeof *in);
    in->stop[0] = in->stop[1] = -1;
}

void
inputs_stop(struct inputs *in)
{
    if (in->stop[1] >= 0) {
        close(in->stop[1]);
        in->stop[1] = -1;
    }
}

/* ------------------------------------------------------------------- stdin */

/* Bytes of the first whole line, with its end; 0: there is none yet. */
static size_t
line_length(const struct inputs *in)
{
    const char *from = in->text + in->begin, *end;
    size_t left = in->nbytes - in->begin;

    if (left == 0)
        return 0;
    end = memchr(from, in->nul ? '\0' : '\n', left);
    return end != NULL ? (size_t)(end - from) + 1 : in->end ? left : 0;
}

/* Is there more to read, or its end?  Not now, or we are to stop: no. */
static bool
readable(const struct inputs *in, bool wait)
{
    struct pollfd fd[2] = {
        { .fd = in->stop[0], .events = POLLIN },
        { .fd = STDIN_FILENO, .events = POLLIN }
    };
    int n;

    while ((n = poll(fd, 2, wait ? ASK_MS : 0)) <= 0 && stop_signal() == 0)
        if (n < 0 ? errno != EINTR : !wait)
            return n < 0;       /* read() will say what is wrong */
    return n > 0 && fd[0].revents == 0;
}

static int
read_more(struct inputs *in, struct err *e)
{
    ssize_t got;

    if (in->begin > 0) {
        in->nbytes -= in->begin;
        memmove(in->text, in->text + in->begin, in->nbytes);
        in->begin = 0;
    }
    if (in->room - in->nbytes < 32768)
        in->text = mem_grow(in->text, in->room = in->room * 2 + 65536, 1);
    do
        got = read(STDIN_FILENO, in->text + in->nbytes,
                   in->room - in->nbytes - 1);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_errno(e, "cannot read the standard input");
    in->nbytes += (size_t)got;
    in->end = got == 0;
    return 0;
}

/* A line becomes items of `below`. */
static void
take_line(struct inputs *in, size_t length)
{
    char *line = in->text + in->begin, *end = line + length;

    in->begin += length;
    if (end[-1] == (in->nul ? '\0' : '\n'))
        end--;
    *end = '\0';                /* read_more() leaves room for it */
    in->below.n = in->below.at = 0;
    if (strlen(line) < (size_t)(end - line))
        input_reject(push(&in->below, line, line), "unreadable",
                     "its line has a NUL byte in it (-0 ends paths so)");
    else if (*line != '\0')
        push_path(in, &in->below, line);
}

int
inputs_next(struct inputs *in, bool wait, struct input *out, struct err *e)
{
    for (;;) {
        size_t length;

        if (stop_signal() != 0) {
            in->cut = in->below.at < in->below.n || in->given.at < in->given.n;
            return INPUT_END;
        }
        if (in->below.at < in->below.n) {
            *out = in->below.item[in->below.at++];
            return INPUT_THERE;
        }
        if (in->given.at == in->given.n)
            return INPUT_END;
        if (!is_stream(&in->given.item[in->given.at])) {
            *out = in->given.item[in->given.at++];
            return INPUT_THERE;
        }
        if ((length = line_length(in)) > 0) {
            take_line(in, length);
        } else if (in->end) {
            in->given.at++;
        } else if (!readable(in, wait)) {
            in->cut = stop_signal() != 0;
            return wait ? INPUT_END : INPUT_LATER;
        } else if (read_more(in, e) != 0) {
            return -1;
        }
    }
}

/* ---------------------------------------------------------- dataset's rows */

/* The columns of a fold table, -1: not there. */
struct columns {
    long fold, group, path;
};

static int
open_folds(struct inputs *in, const struct input_rows *r, struct columns *at,
           struct err *e)
{
    struct table *t = &in->folds;

    if (manifest_read(t, r->folds, e) != 0 ||
        (at->fold = table_need(t, "fold", e)) < 0)
        return -1;
    at->group = table_find(t, "group");
    at->path = table_find(t, "path");
    in->has_folds = true;
    in->has_groups = at->group >= 0;
    for (size_t i = 0; i < r->nmodels; i++)
        if (r->models[i].from.folds[0] != '\0' &&
            strcmp(r->models[i].from.folds, t->digest) != 0)
            log_warn("'%s' was trained with another fold table than '%s'",
                     r->names[i], t->path);
    return 0;
}

static const char *
label_of(const struct dataset *d, size_t row)
{
    return d->labels[row] < 0 ? "" : d->classes.item[d->labels[row]];
}

/* Keep the rows of the fold, with what the table knows of them. */
static int
join_folds(struct inputs *in, const struct input_rows *r, struct err *e)
{
    const struct dataset *d = r->data;
    struct table *t = &in->folds;
    struct columns at;
    struct input swap;
    size_t kept = 0, *line;
    int rc;

    if (open_folds(in, r, &at, e) != 0)
        return -1;
    line = mem_array(d->n, sizeof *line);
    rc = dataset_join(d, t, line, e);
    for (size_t row = 0; row < d->n && rc == 0; row++) {
        char *const *cell = t->row[line[row]];
        struct input *i = &in->given.item[row];
        int64_t fold = 0;

        rc = table_int(t, line[row], (size_t)at.fold, &fold, e);
        if (rc != 0 || fold != r->fold)
            continue;
        i->fold = cell[at.fold];
        i->group = at.group >= 0 ? cell[at.group] : "";
        i->scan = at.path >= 0 ? cell[at.path] : NULL;
        swap = in->given.item[kept];
        in->given.item[kept++] = *i;
        *i = swap;
    }
    free(line);
    for (size_t row = kept; row < d->n; row++)
        input_release(&in->given.item[row]);
    in->given.n = kept;
    return rc != 0 || kept > 0
           ? rc : err_set(e, EXIT_INVALID, "'%s' has no row of fold %lld",
                          t->path, (long long)r->fold);
}

/* Rows that had a part in training are scored only by one who knows. */
static int
check_seen(struct inputs *in, const struct input_rows *r, struct err *e)
{
    for (size_t k = 0; k < r->nmodels; k++) {
        const struct model *m = &r->models[k];
        const char *first = NULL;
        char fold[24];
        size_t n = 0;

        for (size_t i = 0; i < in->given.n; i++) {
            struct input *it = &in->given.item[i];

            if (!provenance_has_seen(&m->from, r->data->sha256 +
                                               it->row * DIGEST_BYTES))
                continue;
            it->seen = true;
            if (n++ == 0)
                first = it->id;
        }
        snprintf(fold, sizeof fold, "%lld", (long long)m->from.fold);
        if (n > 0 && !r->seen)
            return err_set(e, EXIT_INVALID, "'%s' has seen %zu of these %zu "
                           "rows of '%s' in training, the first is '%s' "
                           "(its test fold: %s); --allow-train-rows scores "
                           "them all the same", r->names[k], n, in->given.n,
                           r->data->file.path, first,
                           m->from.fold >= 0 ? fold : "none");
        if (n > 0)
            log_warn("'%s' has seen %zu of these %zu rows in training",
                     r->names[k], n, in->given.n);
    }
    return 0;
}

int
inputs_open_rows(struct inputs *in, const struct input_rows *r,
                 struct err *e)
{
    memset(in, 0, sizeof *in);
    in->stop[0] = in->stop[1] = -1;
    for (size_t row = 0; row < r->data->n; row++) {
        struct input *i = push(&in->given, r->data->ids[row], NULL);

        i->row = row;
        i->label = label_of(r->data, row);
    }
    if ((r->folds != NULL && join_folds(in, r, e) != 0) ||
        check_seen(in, r, e) != 0)
        return -1;
    in->total = in->given.n;
    return 0;
}
