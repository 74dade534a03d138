#include "data/prep.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/reject.h"
#include "base/version.h"
#include "data/dataset.h"
#include "data/image_file.h"
#include "data/manifest.h"
#include "data/marks.h"
#include "data/safet.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What became of one scan. */
struct scan {
    size_t row;                 /* in the manifest */
    int64_t label;
    uint32_t crc;
    uint8_t sha256[DIGEST_BYTES];
    unsigned marks;             /* if they are asked for */
    const char *reason;         /* NULL: good */
    char *detail;
    unsigned char *out;         /* its row of the tensor */
};

/* A run: the inputs, a block of scans in work, and the columns so far. */
struct run {
    const struct prep *p;
    struct table table;
    size_t id, path;            /* columns */
    long label, sha256;         /* columns, or -1 */
    struct str_list classes;
    float level[3][256];
    size_t npixels, row_nbytes; /* bytes of a picture, of a row */
    struct scan *block;
    size_t block_n;             /* scans a block holds */
    unsigned char *rows;        /* [block_n,row_nbytes] */
    struct reject rejects;
    struct file_out marks;      /* with p->marks */
    size_t n;                   /* rows kept */
    int64_t *labels;            /* [n] */
    uint32_t *crcs;             /* [n] */
    uint8_t *shas;              /* [n,32] */
    struct str ids;
};

/* ----------------------------------------------------------------- one scan */

static void
reject(struct scan *s, const char *reason, const char *detail)
{
    s->reason = reason;
    s->detail = mem_strdup(detail);
}

/* Hash the bytes read; do they still have the digest of the manifest? */
static bool
same_file(struct scan *s, const char *wanted, const void *data, size_t nbytes)
{
    char hex[DIGEST_HEX];

    digest_bytes(data, nbytes, hex);
    digest_unhex(hex, s->sha256);
    return wanted == NULL || wanted[0] == '\0' || strcasecmp(wanted, hex) == 0;
}

/* Bytes [H,W,C] to floats [C,H,W]. */
static void
normalise(const struct run *r, const uint8_t *px, float *out)
{
    size_t c = (size_t)r->p->recipe.channels;

    for (size_t k = 0; k < c; k++)
        for (size_t i = k; i < r->npixels; i += c)
            *out++ = r->level[k][px[i]];
}

static void
make_row(struct run *r, struct scan *s, const struct image *m)
{
    struct err e = { 0 };
    uint8_t *px = r->p->f32 ? mem_alloc(r->npixels) : s->out;

    if (recipe_apply(&r->p->recipe, m, px, &e) != 0) {
        reject(s, "size", e.text);
    } else {
        if (r->p->f32)
            normalise(r, px, (float *)s->out);
        s->crc = libdeflate_crc32(0, s->out, r->row_nbytes);
    }
    if (px != s->out)
        free(px);
}

static bool
find_label(const struct run *r, struct scan *s)
{
    const char *label = r->label < 0 ? "" : r->table.row[s->row][r->label];

    s->label = str_list_find(&r->classes, label);
    return s->label >= 0 || label[0] == '\0';
}

/* Read once; hash and decode the same bytes. */
static void
take_scan(void *ctx, size_t i, int thread)
{
    struct run *r = ctx;
    struct scan *s = &r->block[i];
    char **cell = r->table.row[s->row], *data = NULL;
    const char *wanted = r->sha256 < 0 ? NULL : cell[r->sha256];
    struct image m = { 0 };
    struct err e = { 0 };
    size_t nbytes;
    int64_t frame;

    (void)thread;
    if (!find_label(r, s))
        reject(s, "label", "its label is none of the classes");
    else if (image_read(cell[r->path], &data, &nbytes, &frame, &e))
        /* NOLINTNEXTLINE: that decoding fails alike is no mistake. */
        reject(s, reject_reason(&e), e.text);
    else if (!same_file(s, wanted, data, nbytes))
        reject(s, "changed", "changed since the manifest was written");
    else if (image_decode(&m, data, nbytes, frame, &e) != 0)
        reject(s, reject_reason(&e), e.text);
    else
        make_row(r, s, &m);
    if (m.px != NULL && r->p->marks != NULL)
        s->marks = marks_find(&m);
    image_release(&m);
    free(data);
}

/* ---------------------------------------------------------------- all scans */

static void
keep(struct run *r, const struct scan *s, struct safet_out *o)
{
    const char *id = r->table.row[s->row][r->id];

    safet_add(o, s->out, r->row_nbytes);
    r->labels[r->n] = s->label;
    r->crcs[r->n] = s->crc;
    memcpy(r->shas + r->n * DIGEST_BYTES, s->sha256, DIGEST_BYTES);
    str_add_bytes(&r->ids, id, strlen(id) + 1);
    r->n++;
}

static void
leave_out(struct run *r, struct scan *s)
{
    reject_add(&r->rejects, r->table.row[s->row][r->path], s->reason,
               s->detail);
    free(s->detail);
}

static void
note_marks(struct run *r, const struct scan *s, size_t column)
{
    struct str text = { 0 };

    marks_print(s->marks, &text);
    table_set(&r->table, s->row, column, text.text);
    str_release(&text);
}

/* All scans in blocks: decode at once, write in order. */
static int
take_all(struct run *r, struct safet_out *o, struct err *e)
{
    struct progress bar;
    size_t marks = r->p->marks != NULL ? table_column(&r->table, "marks") : 0;

    progress_open(&bar, "scans", 0, r->table.nrows);
    for (size_t at = 0; at < r->table.nrows; at += r->block_n) {
        size_t n = r->table.nrows - at;

        n = n < r->block_n ? n : r->block_n;
        for (size_t i = 0; i < n; i++)
            r->block[i] = (struct scan){
                .row = at + i, .out = r->rows + i * r->row_nbytes
            };
        pool_run(r->p->threads, n, take_scan, r);
        for (size_t i = 0; i < n; i++)
            if (r->block[i].reason == reject_shortage)
                err_set(e, EXIT_IO, "%s", r->block[i].detail);
        if (e->status != 0) {
            for (size_t i = 0; i < n; i++)
                free(r->block[i].detail);
            break;
        }
        for (size_t i = 0; i < n && r->p->marks != NULL; i++)
            note_marks(r, &r->block[i], marks);
        for (size_t i = 0; i < n; i++)
            if (r->block[i].reason == NULL)
                keep(r, &r->block[i], o);
            else
                leave_out(r, &r->block[i]);
        progress_step(&bar, at + n);
    }
    progress_close(&bar);
    return e->status == 0 ? 0 : -1;
}

/* ----------------------------------------------------------------- the file */

/*
 * The settings that decide the content, as a command line: no names of files
 * and no number of threads, so that equal inputs give equal bytes.
 */
static void
set_command(const struct run *r, struct safet_out *o)
{
    struct str s = { 0 };

    str_add(&s, "busi-prep ");
    recipe_print(&r->p->recipe, &s);
    str_addf(&s, " dtype=%s on-bad=%s", r->p->f32 ? "f32" : "u8",
             r->p->skip ? "skip" : "fail");
    safet_set(o, "command", s.text);
    str_release(&s);
}

static void
set_metadata(const struct run *r, const char *manifest_sha256,
             struct safet_out *o)
{
    struct str classes = { 0 }, recipe = { 0 };
    struct dataset_parts parts = {
        .n = r->n, .labels = r->labels, .row_crc = r->crcs,
        .ids = r->ids.text, .ids_nbytes = r->ids.n,
    };
    char digest[DIGEST_HEX];

    str_add_list(&classes, &r->classes, "\t");
    recipe_print(&r->p->recipe, &recipe);
    parts.classes = classes.text;
    parts.recipe = recipe.text;
    dataset_digest(&parts, digest);
    safet_set(o, "format", BUSI_FORMAT);
    safet_set(o, "kind", "dataset");
    safet_set(o, "classes", classes.text);
    safet_set(o, "recipe", recipe.text);
    safet_set(o, "manifest_sha256", manifest_sha256);
    safet_set(o, "content", digest);
    set_command(r, o);
    safet_set(o, "version", BUSI_VERSION);
    str_release(&classes);
    str_release(&recipe);
}

/* The tensors behind the images, widest numbers first. */
static void
put_columns(const struct run *r, struct safet_out *o)
{
    int64_t dims[2] = { (int64_t)r->n, DIGEST_BYTES };
    int64_t ids_n = (int64_t)r->ids.n;

    safet_put(o, "labels", DT_I64, 1, dims, r->labels);
    safet_put(o, "row_crc", DT_U32, 1, dims, r->crcs);
    safet_put(o, "sha256", DT_U8, 2, dims, r->shas);
    safet_put(o, "ids", DT_U8, 1, &ids_n, r->ids.text);
}

/* What goes with a dataset is there before it is: it may be a Make target. */
static int
close_lists(struct run *r, struct err *e)
{
    if (r->p->marks != NULL) {
        table_write(&r->table, r->marks.stream);
        if (file_out_close(&r->marks, e) != 0)
            return -1;
    }
    return reject_close(&r->rejects, e);
}

static int
write_dataset(struct run *r, const char *manifest_sha256, struct err *e)
{
    const struct recipe *recipe = &r->p->recipe;
    int64_t c = recipe->channels, side = recipe->crop;
    int64_t nhwc[4] = { 0, side, side, c }, nchw[4] = { 0, c, side, side };
    struct safet_out o;
    size_t room = 4096;

    for (size_t i = 0; i < r->classes.n; i++)
        room += 6 * (strlen(r->classes.item[i]) + 1);
    if (safet_create(&o, r->p->out, room, e) != 0)
        return -1;
    safet_begin(&o, "images", r->p->f32 ? DT_F32 : DT_U8);
    if (take_all(r, &o, e) != 0) {
        safet_drop(&o);
        return -1;
    }
    nhwc[0] = nchw[0] = (int64_t)r->n;
    safet_end(&o, 4, r->p->f32 ? nchw : nhwc);
    if (r->rejects.n > 0 && !r->p->skip) {
        err_set(e, EXIT_INVALID, "%zu of %zu scans cannot be taken; nothing "
                "was written", r->rejects.n, r->table.nrows);
    } else if (r->n == 0) {
        err_set(e, EXIT_INVALID, "not one of %zu scans can be taken; nothing "
                "was written", r->table.nrows);
    } else {
        put_columns(r, &o);
        set_metadata(r, manifest_sha256, &o);
        if (close_lists(r, e) == 0)
            return safet_commit(&o, e);
    }
    safet_drop(&o);
    return -1;
}

/* ------------------------------------------------------------------- set up */

/* Classes go into a tab-separated text that is JSON: no tab, only UTF-8. */
static int
check_classes(const struct str_list *l, struct err *e)
{
    const char *twice = str_twice(l->item, l->n);

    for (size_t i = 0; i < l->n; i++) {
        const char *name = l->item[i];

        if (name[0] == '\0')
            return err_set(e, EXIT_USAGE, "a class has no name");
        if (name[str_utf8_length(name)] != '\0' || strchr(name, '\t') != NULL)
            return err_set(e, EXIT_INVALID, "the class '%s' has a tab or is "
                           "not UTF-8", name);
    }
    return twice == NULL ? 0 : err_set(e, EXIT_USAGE, "the class '%s' is "
                                       "there twice", twice);
}

static int
read_inputs(struct run *r, struct err *e)
{
    const struct prep *p = r->p;
    long id, path;

    if (manifest_read(&r->table, p->manifest, e) != 0 ||
        (id = table_need(&r->table, "id", e)) < 0 ||
        (path = table_need(&r->table, "path", e)) < 0)
        return -1;
    r->id = (size_t)id;
    r->path = (size_t)path;
    r->label = table_find(&r->table, "label");
    r->sha256 = table_find(&r->table, "sha256");
    if (r->table.nrows == 0)
        return err_set(e, EXIT_INVALID, "'%s' lists no scans", r->table.path);
    if (p->classes != NULL)
        str_list_split(&r->classes, p->classes, ',');
    else
        manifest_classes(&r->table, &r->classes);
    return check_classes(&r->classes, e);
}

static void
make_room(struct run *r)
{
    const struct recipe *recipe = &r->p->recipe;
    size_t side = (size_t)recipe->crop, n = r->table.nrows;

    for (int k = 0; k < recipe->channels; k++)
        recipe_levels(recipe, k, r->level[k]);
    r->npixels = side * side * (size_t)recipe->channels;
    r->row_nbytes = r->npixels * (r->p->f32 ? sizeof(float) : 1);
    /* About 32 MB of rows, and enough scans to keep all threads busy. */
    r->block_n = ((size_t)32 << 20) / r->row_nbytes;
    r->block_n = r->block_n < 64 ? 64 : r->block_n > 512 ? 512 : r->block_n;
    r->block_n = r->block_n > n ? n : r->block_n;
    r->block = mem_array(r->block_n, sizeof *r->block);
    r->rows = mem_aligned(r->block_n, r->row_nbytes);
    r->labels = mem_array(n, sizeof *r->labels);
    r->crcs = mem_array(n, sizeof *r->crcs);
    r->shas = mem_array(n, DIGEST_BYTES);
}

static void
release(struct run *r)
{
    reject_drop(&r->rejects);
    file_out_drop(&r->marks);
    table_release(&r->table);
    str_list_release(&r->classes);
    str_release(&r->ids);
    free(r->block);
    free(r->rows);
    free(r->labels);
    free(r->crcs);
    free(r->shas);
}

int
prep_run(const struct prep *p, struct err *e)
{
    struct run r = { .p = p };
    int rc = -1;

    if (read_inputs(&r, e) != 0 ||
        reject_open(&r.rejects, p->rejects, e) != 0 ||
        (p->marks != NULL && file_out_open(&r.marks, p->marks, e) != 0))
        goto done;
    make_room(&r);
    rc = write_dataset(&r, r.table.digest, e);
    if (r.rejects.n > 0 && reject_close(&r.rejects, e) != 0)
        rc = -1;
    if (rc == 0 && r.rejects.n > 0)
        rc = EXIT_REJECTS;
done:
    release(&r);
    return rc;
}
