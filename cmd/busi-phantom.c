/* busi-phantom: draw synthetic breast ultrasound scans with their masks. */
#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/pool.h"
#include "base/str.h"
#include "data/image_file.h"
#include "data/phantom.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct settings {
    const char *out;
    int64_t n[PHANTOM_CLASSES], seed, jobs;
};

struct run {
    const struct settings *s;
    pthread_mutex_t lock;       /* of what follows */
    struct progress bar;
    size_t done;
};

static const char *const examples[] = {
    "busi-phantom -o phantoms",
    "busi-phantom -o phantoms --benign 437 --malignant 210 --normal 133",
    "busi-phantom -o other --seed 2 && busi-strip other > manifest.tsv",
    NULL
};

/* An earlier run may have drawn a second lesion where this one has none. */
static int
remove_mask(const char *path, struct err *e)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return err_errno(e, "cannot remove '%s'", path);
    return 0;
}

static int
save(const struct phantom *p, const char *stem, struct err *e)
{
    char *path = str_format("%s.png", stem);
    int rc = image_save_png(&p->scan, path, e);

    free(path);
    for (int k = 0; k < PHANTOM_MASKS && rc == 0; k++) {
        path = k == 0 ? str_format("%s_mask.png", stem)
                      : str_format("%s_mask_%d.png", stem, k);
        rc = k < p->nmasks ? image_save_png(&p->mask[k], path, e)
                           : remove_mask(path, e);
        free(path);
    }
    return rc;
}

/* Item i of all classes in a row. */
static int
draw(void *ctx, size_t i, int thread, struct err *e)
{
    struct run *r = ctx;
    struct phantom p;
    const char *name;
    char *stem;
    int c = 0, rc;

    (void)thread;
    for (; i >= (size_t)r->s->n[c]; c++)
        i -= (size_t)r->s->n[c];
    name = phantom_class_name(c);
    stem = str_format("%s/%s/%s (%zu)", r->s->out, name, name, i + 1);
    phantom_draw(&p, (uint64_t)r->s->seed, c, (uint32_t)i + 1);
    rc = save(&p, stem, e);
    phantom_release(&p);
    free(stem);
    pthread_mutex_lock(&r->lock);
    progress_step(&r->bar, ++r->done);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

/*
 * Phantoms bear the names of BUSI's scans: what lies there and was not drawn
 * here, which a mark in the folder tells, is not to be overwritten.  The mark
 * speaks for all classes, so all must be empty when it is made.
 */
static int
claim(const struct settings *s, struct err *e)
{
    char *mark = str_format("%s/.busi-phantom", s->out);
    struct file_out out;
    int rc = 0;

    for (int c = 0; c < PHANTOM_CLASSES && access(mark, F_OK) != 0; c++) {
        char *folder = str_format("%s/%s", s->out, phantom_class_name(c));

        if (!file_folder_empty(folder))
            rc = err_set(e, EXIT_USAGE, "'%s' holds files that busi-phantom "
                         "has not drawn: take another folder", folder);
        free(folder);
    }
    if (rc == 0 && (rc = file_make_folder(s->out, e)) == 0 &&
        access(mark, F_OK) != 0 && (rc = file_out_open(&out, mark, e)) == 0) {
        fputs("The scans in this folder are synthetic.\n", out.stream);
        rc = file_out_close(&out, e);
    }
    free(mark);
    return rc;
}

static int
draw_all(const struct settings *s, struct err *e)
{
    struct run r = { .s = s, .lock = PTHREAD_MUTEX_INITIALIZER };
    size_t n = 0;
    int rc;

    if (s->out == NULL)
        return err_set(e, EXIT_USAGE, "say where to: -o DIR (see --help)");
    if (claim(s, e) != 0)
        return -1;
    for (int c = 0; c < PHANTOM_CLASSES; c++) {
        char *folder = str_format("%s/%s", s->out, phantom_class_name(c));

        rc = s->n[c] > 0 ? file_make_folder(folder, e) : 0;
        free(folder);
        if (rc != 0)
            return -1;
        n += (size_t)s->n[c];
    }
    progress_open(&r.bar, "scans", 0, n);
    rc = pool_try((int)s->jobs, n, draw, &r, e);
    progress_close(&r.bar);
    if (rc == 0)
        log_note("%zu scans in '%s'", n, s->out);
    return rc;
}

int
main(int argc, char **argv)
{
    struct settings s = { 0 };
    const struct opt opts[] = {
        { "output", 'o', OPT_TEXT, &s.out, "DIR", NULL,
          "folder to draw into; made if it is not there", 0, 0 },
        { "benign", 0, OPT_INT, &s.n[PHANTOM_BENIGN], "N", "44",
          "scans with a benign lesion", 0, 1e6 },
        { "malignant", 0, OPT_INT, &s.n[PHANTOM_MALIGNANT], "N", "21",
          "scans with a malignant lesion", 0, 1e6 },
        { "normal", 0, OPT_INT, &s.n[PHANTOM_NORMAL], "N", "13",
          "scans without a lesion", 0, 1e6 },
        OPT_SEED(&s.seed),
        { "jobs", 'j', OPT_INT, &s.jobs, "N", "0",
          "scans drawn at a time; 0: one for each core", 0, 4096 },
        OPT_END
    };
    const struct program p = {
        "busi-phantom", "",
        "Draw synthetic breast ultrasound scans with masks, in BUSI's layout.",
        opts, examples, false
    };
    struct err e = { 0 };
    int first = opt_start(&p, argc, argv), status;

    if (first < argc)
        status = err_set(&e, EXIT_USAGE, "what is '%s'? All goes by options "
                         "(see --help)", argv[first]);
    else
        status = draw_all(&s, &e);
    return opt_finish(status, &e);
}
