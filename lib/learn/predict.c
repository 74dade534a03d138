#include "learn/predict.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/reject.h"
#include "base/stop.h"
#include "base/table.h"
#include "data/image_file.h"
#include "data/manifest.h"
#include "data/scan.h"
#include "learn/heat.h"
#include "learn/infer.h"
#include "learn/inputs.h"
#include "learn/predictions.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Scans on their way, and their pixels. */
struct block {
    struct input *item;         /* [batch] */
    uint8_t *px;                /* [batch,H,W,C] */
    size_t n;
    int rc;                     /* of filling it: -1 and why */
    struct err err;
    size_t skipped;             /* by --resume */
};

struct run {
    const struct predict *p;
    struct model *model;        /* [p->models.n] */
    size_t nmodels;
    struct dataset data;
    struct inputs inputs;
    struct infer infer;
    struct heat heat;
    struct table old;           /* scored rows that --resume found */
    struct table bad;           /* and those of scans that could not be */
    void *known, *met, *written;    /* ids of old, ids and paths of now, ids of
                                       new rows: sets */
    char mark[PREDICTIONS_MARK];    /* the column model */
    const char *select;         /* "test", or NULL: no such column */
    struct file_out out;
    struct reject rejects;
    size_t batch, npixels;      /* scans in a block, bytes of one */
    struct block *filling;      /* what the filler works on */
    struct block block[2];
    uint8_t *good;              /* [batch,H,W,C] without the bad ones */
    float *probs;               /* [batch,K] */
    float *maps;                /* [batch,H,W], or NULL */
    int *pred;                  /* [batch] */
    bool first;                 /* the next block is the first */
    size_t done;                /* rows written */
};

/* --------------------------------------------------------------- one scan */

static bool
was_seen(const struct run *r, const void *data, size_t nbytes)
{
    uint8_t sha256[DIGEST_BYTES];
    char hex[DIGEST_HEX];
    bool seen = false;

    digest_bytes(data, nbytes, hex);
    digest_unhex(hex, sha256);
    for (size_t k = 0; k < r->nmodels; k++)
        seen = seen || provenance_has_seen(&r->model[k].from, sha256);
    return seen;
}

/* Read once; hash and decode the same bytes. */
static void
take_file(const struct run *r, struct input *i, uint8_t *px)
{
    struct image m = { 0 };
    struct err e = { 0 };
    char *data = NULL;
    size_t nbytes;
    int64_t frame;

    if (image_read(i->path, &data, &nbytes, &frame, &e) != 0)
        /* NOLINTNEXTLINE: that decoding fails alike is no mistake. */
        input_reject(i, reject_reason(&e), e.text);
    else if ((i->seen = was_seen(r, data, nbytes)) && !r->p->allow_train_rows)
        input_reject(i, "seen", "seen in training (--allow-train-rows scores "
                     "it all the same)");
    else if (image_decode(&m, data, nbytes, frame, &e) != 0)
        input_reject(i, reject_reason(&e), e.text);
    else if (recipe_apply(&r->model[0].recipe, &m, px, &e) != 0)
        input_reject(i, "size", e.text);
    image_release(&m);
    free(data);
}

static void
take_scan(void *ctx, size_t k, int thread)
{
    const struct run *r = ctx;
    struct input *i = &r->filling->item[k];
    uint8_t *px = r->filling->px + k * r->npixels;
    struct err e = { 0 };

    (void)thread;
    if (i->reason != NULL)
        return;
    if (i->path != NULL)
        take_file(r, i, px);
    else if (dataset_row(&r->data, i->row, px, &e) != 0)
        input_reject(i, "invalid", e.text);
}

/* ------------------------------------------------------------- the pipeline */

static const char repeated[] = "repeated";

/*
 * A table that is added to has a row for each id: what it has scores of is
 * passed over, and so is what was named before; another scan of the same id is
 * rejected, and has no row.
 */
static bool
is_known(struct run *r, struct input *i)
{
    char *path = scan_id(i->path != NULL ? i->path : "");
    char *both = str_format("%s\n%s", i->id, path);
    bool known = str_set_has(r->known, i->id) || !str_set_add(&r->met, both);

    if (!known && !str_set_add(&r->met, i->id))
        input_reject(i, repeated, "has the id of another scan of this run");
    free(both);
    free(path);
    return known;
}

/*
 * Take the next scans and decode them.  The first goes alone, so that its row
 * comes soon; later blocks hold what is there, and wait for one scan only.
 */
static void *
fill(void *ctx)
{
    struct run *r = ctx;
    struct block *b = r->filling;
    size_t room = r->first ? 1 : r->batch;
    struct input i;

    b->n = 0;
    b->rc = INPUT_THERE;
    while (b->n < room && b->rc == INPUT_THERE) {
        b->rc = inputs_next(&r->inputs, b->n == 0, &i, &b->err);
        if (b->rc != INPUT_THERE)
            break;
        if (r->p->resume != NULL && is_known(r, &i)) {
            b->skipped++;
            input_release(&i);
        } else {
            b->item[b->n++] = i;
        }
    }
    pool_run(r->p->jobs, b->n, take_scan, r);
    for (size_t k = 0; k < b->n; k++)
        if (b->item[k].reason == reject_shortage) {
            err_set(&b->err, EXIT_IO, "%s", b->item[k].detail);
            b->rc = -1;
            while (b->n > k)
                input_release(&b->item[--b->n]);
        }
    return NULL;
}

static int
decide(const struct run *r, const float *probs)
{
    size_t best = 0;

    for (size_t k = 1; k < r->model[0].classes.n; k++)
        if (probs[k] > probs[best])
            best = k;
    return (int)best;
}

static void
put_share(FILE *f, double share)
{
    if (isnan(share))
        putc('\t', f);
    else
        fprintf(f, "\t%.4f", share);
}

/* probs NULL: it could not be scored. */
static void
put_row(struct run *r, const struct input *i, const float *probs,
        const struct heat_fit *fit)
{
    const struct str_list *classes = &r->model[0].classes;
    FILE *f = r->out.stream;

    if (r->p->resume != NULL)
        str_set_add(&r->written, i->id);
    table_put(f, i->id);
    putc('\t', f);
    table_put(f, i->label);
    fprintf(f, "\t%s\t", i->reason != NULL ? i->reason : "ok");
    if (probs != NULL)
        table_put(f, classes->item[decide(r, probs)]);
    for (size_t k = 0; k < classes->n; k++)
        if (probs != NULL)
            fprintf(f, "\t%.9g", (double)probs[k]);
        else
            putc('\t', f);
    if (r->inputs.has_folds)
        fprintf(f, "\t%s", i->fold);
    if (r->inputs.has_groups) {
        putc('\t', f);
        table_put(f, i->group);
    }
    if (r->select != NULL)
        fprintf(f, "\t%s", r->select);
    if (r->p->allow_train_rows)
        fputs(i->seen ? "\tyes" : "\t", f);
    if (r->maps != NULL) {
        put_share(f, fit->inside);
        put_share(f, fit->area);
    }
    fprintf(f, "\t%s\n", r->mark);
}

static int
check_probs(const struct run *r, const struct input *i, const float *probs,
            struct err *e)
{
    for (size_t k = 0; k < r->model[0].classes.n; k++)
        if (!isfinite(probs[k]))
            return err_set(e, EXIT_NUMBERS, "the network's answer to '%s' is "
                           "not a number", i->id);
    return 0;
}

/* Where the networks looked when they decided. */
static int
look_again(struct run *r, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        r->pred[i] = decide(r, r->probs + i * r->model[0].classes.n);
    return infer_cam(&r->infer, (int)n, r->good, r->pred, r->maps, e);
}

/*
 * The heat map of scan number k of those that were scored.  One that cannot
 * have its name is rejected, and the scan's row stays.
 */
static int
put_map(struct run *r, const struct input *i, size_t k,
        struct heat_fit *fit, struct err *e)
{
    const struct recipe *recipe = &r->model[0].recipe;
    size_t one = (size_t)recipe->crop * (size_t)recipe->crop;
    struct err why = { 0 };

    if (r->maps == NULL ||
        heat_write(&r->heat, i->id, i->path != NULL ? i->path : i->scan,
                   r->good + k * r->npixels, r->maps + k * one, fit,
                   &why) == 0)
        return 0;
    if (why.status != EXIT_INVALID)
        return err_copy(e, &why);
    reject_add(&r->rejects, i->path != NULL ? i->path : i->id, "no-map",
               why.text);
    return 0;
}

/* Score the good scans of a block and write the rows of all. */
static int
score(struct run *r, struct block *b, struct err *e)
{
    size_t k = r->model[0].classes.n, ngood = 0, done = 0;
    const struct heat_fit none = { NAN, NAN };
    struct heat_fit fit = none;

    for (size_t i = 0; i < b->n; i++)
        if (b->item[i].reason == NULL)
            memcpy(r->good + ngood++ * r->npixels, b->px + i * r->npixels,
                   r->npixels);
    if (ngood > 0 &&
        infer_run(&r->infer, (int)ngood, r->good, r->probs, e) != 0)
        return -1;
    if (ngood > 0 && r->maps != NULL && look_again(r, ngood, e) != 0)
        return -1;
    for (size_t i = 0; i < b->n; i++) {
        struct input *it = &b->item[i];

        if (it->reason != NULL) {
            if (it->reason != repeated)
                put_row(r, it, NULL, &none);
            reject_add(&r->rejects, it->path != NULL ? it->path : it->id,
                       it->reason, it->detail);
            continue;
        }
        if (check_probs(r, it, r->probs + done * k, e) != 0 ||
            put_map(r, it, done, &fit, e) != 0)
            return -1;
        put_row(r, it, r->probs + done * k, &fit);
        done++;
    }
    r->done += b->n;
    if (fflush(r->out.stream) != 0)
        return err_errno(e, "cannot write '%s'", r->out.path);
    return 0;
}

static void
empty(struct block *b)
{
    for (size_t i = 0; i < b->n; i++)
        input_release(&b->item[i]);
    b->n = 0;
}

/* Two blocks take turns: one is filled while the other is scored. */
static int
score_all(struct run *r, struct progress *bar, struct err *e)
{
    struct block *now = &r->block[0], *next = &r->block[1], *swap;
    pthread_t filler;
    bool thread;
    int rc = 0;

    r->filling = now;
    fill(r);
    r->first = false;
    while (rc == 0 && now->n > 0) {
        r->filling = next;
        thread = pthread_create(&filler, NULL, fill, r) == 0;
        rc = score(r, now, e);
        if (rc == 0 && now->rc < 0)
            rc = err_copy(e, &now->err);
        if (rc != 0)
            inputs_stop(&r->inputs);
        if (thread)
            pthread_join(filler, NULL);
        else if (rc == 0)
            fill(r);
        empty(now);
        progress_step(bar, r->done + now->skipped + next->skipped);
        swap = now;
        now = next;
        next = swap;
    }
    if (rc == 0 && now->rc < 0)
        rc = err_copy(e, &now->err);
    empty(now);
    return rc;
}

/* ------------------------------------------------------------------- set up */

static int
open_models(struct run *r, struct err *e)
{
    const struct str_list *names = &r->p->models;

    r->model = mem_array(names->n, sizeof *r->model);
    for (size_t i = 0; i < names->n; i++) {
        if (model_open(&r->model[i], names->item[i], e) != 0)
            return -1;
        r->nmodels++;
        if (model_agree(&r->model[0], names->item[0], &r->model[i],
                        names->item[i], e) != 0)
            return -1;
        if (model_check_finite(&r->model[i], names->item[i], e) != 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(r->model[k].digest, r->model[i].digest) == 0)
                log_warn("'%s' and '%s' are one model, which votes twice",
                         names->item[k], names->item[i]);
        if (strcmp(r->model[i].from.select, "test") == 0) {
            log_warn("the epoch of '%s' was chosen on its test fold: results "
                     "on that fold flatter it", names->item[i]);
            r->select = "test";
        }
    }
    r->npixels = (size_t)r->model[0].recipe.crop *
                 (size_t)r->model[0].recipe.crop *
                 (size_t)r->model[0].recipe.channels;
    return 0;
}

static void
make_mark(struct run *r)
{
    struct str s = { 0 };

    for (size_t i = 0; i < r->nmodels; i++)
        str_add(&s, r->model[i].digest);
    predictions_mark(s.text, r->p->tta, r->infer.backend->dtype, r->mark);
    str_release(&s);
}

static int
check_data(const struct run *r, struct err *e)
{
    const struct model *m = &r->model[0];
    const struct str_list *a = &m->classes, *b = &r->data.classes;
    const char *name = r->p->models.item[0], *what = NULL;

    if (!recipe_same(&m->recipe, &r->data.recipe))
        what = "another recipe";
    else if (b->n > 0 && !str_list_same(a, b))      /* 0: without labels */
        what = "other classes, or the same in another order";
    if (what == NULL)
        return 0;
    return err_set(e, EXIT_INVALID, "'%s' was not made for '%s': it has %s",
                   r->p->data, name, what);
}

static int
open_inputs(struct run *r, struct err *e)
{
    const struct predict *p = r->p;
    struct input_rows rows = {
        .data = &r->data, .folds = p->folds, .fold = p->fold,
        .models = r->model, .names = (const char *const *)p->models.item,
        .nmodels = r->nmodels, .seen = p->allow_train_rows
    };

    if (p->data == NULL)
        return inputs_open_paths(&r->inputs, p->paths, p->nul, e);
    if (dataset_open(&r->data, p->data, e) != 0 || check_data(r, e) != 0)
        return -1;
    return inputs_open_rows(&r->inputs, &rows, e);
}

static void
list_columns(const struct run *r, struct str_list *l)
{
    static const char *const before[] = { "id", "label", "status", "pred" };
    const struct str_list *classes = &r->model[0].classes;

    for (size_t i = 0; i < ARRAY_LEN(before); i++)
        str_list_add(l, before[i]);
    for (size_t i = 0; i < classes->n; i++) {
        char *name = str_format("p_%s", classes->item[i]);

        str_list_add(l, name);
        free(name);
    }
    if (r->inputs.has_folds)
        str_list_add(l, "fold");
    if (r->inputs.has_groups)
        str_list_add(l, "group");
    if (r->select != NULL)
        str_list_add(l, "select");
    if (r->p->allow_train_rows)
        str_list_add(l, "seen");
    if (r->p->cam != NULL) {
        str_list_add(l, "cam_inside");
        str_list_add(l, "mask_area");
    }
    str_list_add(l, "model");
}

/* Is this a table of these columns, made as this run would make it? */
static int
check_old(const struct run *r, const struct table *t,
          const struct str_list *columns, struct err *e)
{
    bool same = t->ncolumns == columns->n;

    for (size_t j = 0; same && j < columns->n; j++)
        same = strcmp(t->column[j], columns->item[j]) == 0;
    if (!same)
        return err_set(e, EXIT_INVALID, "'%s' cannot be added to: it has "
                       "other columns", t->path);
    for (size_t i = 0; i < t->nrows; i++)
        if (strcmp(t->row[i][columns->n - 1], r->mark) != 0)
            return err_set(e, EXIT_INVALID, "'%s' cannot be added to: line "
                           "%zu was made by another model or another --tta "
                           "or --dtype", t->path, i + 2);
    return 0;
}

enum { OLD_ID = 0, OLD_STATUS = 2 };     /* columns of a table of ours */

static bool
is_scored(char *const *row)
{
    return strcmp(row[OLD_STATUS], "ok") == 0;
}

static size_t
count_scored(const struct table *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->nrows; i++)
        n += is_scored(t->row[i]);
    return n;
}

/* Add what it lacks of another table's rows. */
static void
add_lacking(struct table *t, const struct table *other)
{
    void *ids = NULL;

    for (size_t i = 0; i < t->nrows; i++)
        str_set_add(&ids, t->row[i][OLD_ID]);
    for (size_t i = 0; i < other->nrows; i++)
        if (!str_set_has(ids, other->row[i][OLD_ID]))
            table_add(t, (const char *const *)other->row[i]);
    str_set_release(&ids);
}

/*
 * What a run that was killed has left: the scored rows of the table and more,
 * whole lines at least.  Anything else is no table of ours, and passed over.
 */
static void
open_left(struct run *r, const struct str_list *columns)
{
    char *path = file_part(r->p->resume), *text = NULL;
    struct table t = { 0 };
    struct err e = { 0 };
    size_t n;

    if (access(path, R_OK) == 0 && file_read(path, &text, &n, &e) == 0) {
        while (n > 0 && text[n - 1] != '\n')
            n--;
        text[n] = '\0';
        if (table_parse(&t, path, text, n, &e) == 0 &&
            manifest_check(&t, &e) == 0 && check_old(r, &t, columns, &e) == 0 &&
            count_scored(&t) > count_scored(&r->old)) {
            log_warn("going on from %zu rows that a killed run has left",
                     t.nrows);
            add_lacking(&t, &r->old);
            table_release(&r->old);
            r->old = t;
            memset(&t, 0, sizeof t);
        }
    }
    table_release(&t);
    free(text);
    free(path);
}

/* The table to be added to, if it is there yet, without its bad rows. */
static int
open_old(struct run *r, const struct str_list *columns, struct err *e)
{
    struct table *t = &r->old;
    bool *scored;

    if ((access(r->p->resume, F_OK) == 0 || errno != ENOENT) &&
        (manifest_read(t, r->p->resume, e) != 0 ||
         check_old(r, t, columns, e) != 0))
        return -1;
    open_left(r, columns);
    for (size_t j = 0; j < columns->n; j++)
        table_column(&r->bad, columns->item[j]);
    scored = mem_array(t->nrows, sizeof *scored);
    for (size_t i = 0; i < t->nrows; i++) {
        scored[i] = is_scored(t->row[i]);
        if (scored[i])
            str_set_add(&r->known, t->row[i][OLD_ID]);
        else
            table_add(&r->bad, (const char *const *)t->row[i]);
    }
    table_filter(t, scored);
    free(scored);
    return 0;
}

/*
 * Old rows of scans that could not be scored, and were not tried again: `all`
 * that were named have been.
 */
static void
put_bad(struct run *r, bool all)
{
    struct table *t = &r->bad;
    size_t n = 0;

    for (size_t i = 0; i < t->nrows; i++) {
        if (str_set_has(r->written, t->row[i][OLD_ID]))
            continue;
        n++;
        table_write_row(t, i, r->out.stream);
    }
    if (n > 0 && all)
        log_warn("%zu rows of '%s' have no scores, and their scans were not "
                 "named again", n, r->out.path);
}

static int
open_out(struct run *r, struct err *e)
{
    const char *path = r->p->resume != NULL ? r->p->resume : r->p->out;
    struct str_list columns = { 0 };
    int rc = -1;

    list_columns(r, &columns);
    if ((r->p->resume == NULL || open_old(r, &columns, e) == 0) &&
        file_out_open(&r->out, path, e) == 0) {
        for (size_t j = 0; j < columns.n; j++)
            table_column(&r->old, columns.item[j]);     /* if it is empty */
        table_write(&r->old, r->out.stream);
        rc = fflush(r->out.stream) == 0
                 ? 0 : err_errno(e, "cannot write '%s'", r->out.path);
    }
    str_list_release(&columns);
    return rc;
}

static int
open_infer(struct run *r, struct err *e)
{
    struct model **models = mem_array(r->nmodels, sizeof *models);
    int rc;

    for (size_t i = 0; i < r->nmodels; i++)
        models[i] = &r->model[i];
    rc = infer_open(&r->infer, models, (int)r->nmodels, r->p->device,
                    &r->p->backend, (int)r->batch, e);
    free(models);
    r->infer.views = r->p->tta;
    return rc;
}

/* Blocks no larger than there are scans behind the first. */
static void
make_room(struct run *r)
{
    size_t n = (size_t)r->p->batch, rest = r->inputs.total;

    rest = rest > 1 ? rest - 1 : 1;
    n = n < rest ? n : rest;
    r->batch = n;
    for (int i = 0; i < 2; i++) {
        r->block[i].item = mem_array(n, sizeof *r->block[i].item);
        r->block[i].px = mem_array(n, r->npixels);
    }
    r->good = mem_array(n, r->npixels);
    r->probs = mem_array(n * r->model[0].classes.n, sizeof *r->probs);
    if (r->p->cam != NULL) {
        r->maps = mem_array(n * (size_t)r->model[0].recipe.crop,
                            (size_t)r->model[0].recipe.crop *
                                sizeof *r->maps);
        r->pred = mem_array(n, sizeof *r->pred);
    }
    r->first = true;
}

static void
release(struct run *r)
{
    file_out_drop(&r->out);
    reject_drop(&r->rejects);
    infer_close(&r->infer);
    heat_close(&r->heat);
    inputs_close(&r->inputs);
    dataset_close(&r->data);
    table_release(&r->old);
    table_release(&r->bad);
    str_set_release(&r->known);
    str_set_release(&r->met);
    str_set_release(&r->written);
    for (size_t i = 0; i < r->nmodels; i++)
        model_release(&r->model[i]);
    free(r->model);
    for (int i = 0; i < 2; i++) {
        free(r->block[i].item);
        free(r->block[i].px);
    }
    free(r->good);
    free(r->probs);
    free(r->maps);
    free(r->pred);
}

/* Say what the table does not, and return the status. */
static int
sum_up(const struct run *r)
{
    if (r->inputs.cut) {
        log_warn("asked to stop: %zu rows more are in '%s'; the same command "
                 "goes on from there", r->done, r->out.path);
        return 128 + stop_signal();
    }
    if (r->inputs.masks > 0)
        log_warn("%zu masks were named, and are passed over (-v tells which)",
                 r->inputs.masks);
    return r->rejects.n > 0 ? EXIT_REJECTS : EXIT_DONE;
}

int
predict_run(const struct predict *p, struct err *e)
{
    struct run r = { .p = p, .inputs.stop = { -1, -1 } };
    struct progress bar;
    int rc = -1;

    if (p->resume != NULL)
        stop_install();
    if (open_models(&r, e) != 0 || open_inputs(&r, e) != 0)
        goto done;
    make_room(&r);
    if (open_infer(&r, e) != 0)
        goto done;
    make_mark(&r);
    if (p->cam != NULL &&
        heat_open(&r.heat, p->cam, &r.model[0].recipe, e) != 0)
        goto done;
    if (reject_open(&r.rejects, p->rejects, e) != 0 || open_out(&r, e) != 0)
        goto done;
    progress_open(&bar, "scans", 0,
                  r.inputs.total == SIZE_MAX ? 0 : r.inputs.total);
    rc = score_all(&r, &bar, e);
    progress_close(&bar);
    put_bad(&r, rc == 0 && !r.inputs.cut);
    if (rc == 0) {
        rc = sum_up(&r);
    } else if (p->resume != NULL &&
               r.done + r.old.nrows + r.bad.nrows > 0) {
        file_out_close(&r.out, e);      /* its rows are whole */
        reject_close(&r.rejects, e);
    }
    if (rc >= 0 && (file_out_close(&r.out, e) != 0 ||
                    reject_close(&r.rejects, e) != 0))
        rc = -1;
done:
    release(&r);
    return rc;
}
