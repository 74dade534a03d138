#include "learn/describe.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/dataset.h"
#include "data/manifest.h"
#include "learn/model.h"
#include "learn/parts.h"
#include "learn/predictions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const file_kind_names[FILE_KINDS] = {
    [FILE_TABLE] = "table",
    [FILE_MANIFEST] = "manifest",
    [FILE_FOLDS] = "fold table",
    [FILE_PREDICTIONS] = "prediction table",
    [FILE_METRICS] = "metrics table",
    [FILE_LOG] = "training log",
    [FILE_TENSORS] = "safetensors file of others",
    [FILE_DATASET] = "dataset",
    [FILE_MODEL] = "model",
    [FILE_STATE] = "training state",
};

/* Fact that names the file of a parent. */
static const char *const parent_key[FILE_KINDS] = {
    [FILE_MANIFEST] = "manifest_file",
    [FILE_FOLDS] = "folds_file",
    [FILE_DATASET] = "dataset_file",
    [FILE_MODEL] = "model_file",
};

void
describe_parent(struct description *d, enum file_kind kind, const char *key,
                const char *digest)
{
    size_t n = digest != NULL ? strlen(digest) : 0;
    struct parent *p;

    facts_text(&d->facts, key, digest);
    if (n == 0 || n >= sizeof p->digest)
        return;
    d->parent = mem_grow(d->parent, d->nparents + 1, sizeof *d->parent);
    p = &d->parent[d->nparents++];
    p->kind = kind;
    memcpy(p->digest, digest, n + 1);
}

/* ------------------------------------------------------ safetensors files */

static void
tell_shape(struct facts *f, const char *key, const struct safet_tensor *t)
{
    struct str s = { 0 };

    str_add(&s, dtype_name(t->dtype));
    for (int i = 0; i < t->ndims; i++)
        str_addf(&s, "%s%lld", i > 0 ? " x " : " ", (long long)t->dims[i]);
    facts_text(f, key, s.text);
    str_release(&s);
}

static void
tell_tensors(struct facts *f, const struct safet *s)
{
    for (size_t i = 0; i < s->ntensors; i++) {
        char *key = str_format("tensor %s", s->tensor[i].name);

        tell_shape(f, key, &s->tensor[i]);
        free(key);
    }
}

static void
tell_maker(struct facts *f, const struct safet *s)
{
    facts_text(f, "command", safet_meta(s, "command"));
    facts_text(f, "version", safet_meta(s, "version"));
}

static void
tell_labels(struct facts *f, const struct dataset *d)
{
    struct tally t = { .count = mem_array(d->classes.n + 1, sizeof *t.count) };

    for (size_t i = 0; i < d->classes.n; i++)
        str_list_add(&t.name, d->classes.item[i]);
    for (size_t i = 0; i < d->n; i++)
        t.count[d->labels[i] >= 0 ? d->labels[i] : (int64_t)d->classes.n]++;
    if (t.count[d->classes.n] > 0)
        str_list_add(&t.name, "");
    facts_tally(f, "labels", &t, "(none)");
    tally_release(&t);
}

static int
verify_dataset(const struct dataset *d, struct err *e)
{
    uint8_t *row = mem_array((size_t)d->h * (size_t)d->w, (size_t)d->c);
    int rc = safet_verify(&d->file, e);

    for (size_t i = 0; i < d->n && rc == 0; i++)
        rc = dataset_row(d, i, row, e);
    free(row);
    return rc;
}

static int
tell_dataset(struct description *d, bool verify, struct err *e)
{
    struct dataset data;
    int rc = 0;

    if (dataset_open(&data, d->path, e) != 0)
        return -1;
    facts_number(&d->facts, "rows", (int64_t)data.n);
    tell_shape(&d->facts, "images", safet_find(&data.file, "images"));
    facts_list(&d->facts, "classes", &data.classes);
    tell_labels(&d->facts, &data);
    facts_text(&d->facts, "recipe", safet_meta(&data.file, "recipe"));
    memcpy(d->digest, data.digest, sizeof d->digest);
    facts_text(&d->facts, "digest", d->digest);
    describe_parent(d, FILE_MANIFEST, "manifest",
                    safet_meta(&data.file, "manifest_sha256"));
    tell_maker(&d->facts, &data.file);
    if (verify)
        rc = verify_dataset(&data, e);
    dataset_close(&data);
    return rc;
}

/* What the text in the metadata cannot say is left out. */
static void
tell_number(struct facts *f, const char *key, int64_t n)
{
    if (n >= 0)
        facts_number(f, key, n);
}

static void
tell_training(struct description *d, const struct model *m)
{
    const struct provenance *from = &m->from;
    struct facts *f = &d->facts;

    tell_number(f, "fold", from->fold);
    if (from->fold < 0)
        facts_text(f, "fold", "none: trained on everything");
    facts_text(f, "select", from->select);
    tell_number(f, "epoch", m->epoch);
    tell_number(f, "seed", m->seed);
    facts_number(f, "seen", (int64_t)from->nseen);
    if (from->init[0] != '\0')
        facts_text(f, "init", from->init);
    facts_text(f, "digest", m->digest);
    describe_parent(d, FILE_DATASET, "dataset", from->dataset);
    describe_parent(d, FILE_FOLDS, "folds", from->folds);
}

static int
tell_model(struct description *d, const struct safet *s, bool verify,
           struct err *e)
{
    struct facts *f = &d->facts;
    char digest[DIGEST_HEX];
    struct model m;
    int rc = 0;

    /* Opening a model checks every tensor. */
    if (model_open(&m, d->path, e) != 0)
        return -1;
    facts_text(f, "network", m.graph.name);
    facts_number(f, "parameters", (int64_t)m.graph.nparams);
    facts_number(f, "multiply_adds", (int64_t)graph_macs(&m.graph));
    facts_list(f, "classes", &m.classes);
    facts_text(f, "recipe", safet_meta(s, "recipe"));
    facts_real(f, "temperature", m.temperature);
    tell_training(d, &m);
    tell_maker(f, s);
    memcpy(d->digest, m.digest, sizeof d->digest);
    if (verify) {
        model_digest(&m, digest);
        rc = strcmp(digest, m.digest) == 0
             ? model_check_finite(&m, d->path, e)
             : err_set(e, EXIT_INVALID, "'%s': its content is not what its "
                       "digest says", d->path);
    }
    model_release(&m);
    return rc;
}

/* The line that ties a state to its run: words KEY=VALUE (train_state.c). */
static void
tell_run(struct description *d, const char *run)
{
    struct str_list words = { 0 };
    struct str rest = { 0 };

    str_list_split(&words, run, ' ');
    for (size_t i = 0; i < words.n; i++) {
        char *word = words.item[i], *value = strchr(word, '=');

        if (value == NULL)
            continue;
        if (strncmp(word, "data=", 5) == 0)
            describe_parent(d, FILE_DATASET, "dataset", value + 1);
        else if (strncmp(word, "folds=", 6) == 0)
            describe_parent(d, FILE_FOLDS, "folds", value + 1);
        else
            str_addf(&rest, "%s%s", rest.n > 0 ? " " : "", word);
    }
    facts_text(&d->facts, "run", rest.text);
    str_list_release(&words);
    str_release(&rest);
}

static int
tell_state(struct description *d, const struct safet *s, bool verify,
           struct err *e)
{
    const char *run = safet_need_meta(s, "run", e);
    const char *numbers = safet_need_meta(s, "numbers", e);
    const struct safet_tensor *params = safet_need(s, "params", e);
    long long epoch, batch, step;

    if (run == NULL || numbers == NULL || params == NULL)
        return -1;
    if (sscanf(numbers, "%lld %lld %lld", &epoch, &batch, &step) != 3)
        return err_set(e, EXIT_INVALID, "'%s' has no numbers of a run",
                       d->path);
    tell_shape(&d->facts, "parameters", params);
    facts_number(&d->facts, "epochs_done", epoch);
    facts_number(&d->facts, "next_batch", batch);
    facts_number(&d->facts, "steps", step);
    tell_run(d, run);
    tell_maker(&d->facts, s);
    return verify ? safet_verify(s, e) : 0;
}

static void
tell_foreign(struct description *d, const struct safet *s)
{
    double bytes = 0, values = 0;

    for (size_t i = 0; i < s->ntensors; i++) {
        bytes += (double)s->tensor[i].nbytes;
        values += (double)(s->tensor[i].nbytes /
                           dtype_nbytes(s->tensor[i].dtype));
    }
    facts_number(&d->facts, "tensors", (int64_t)s->ntensors);
    facts_number(&d->facts, "values", (int64_t)values);
    facts_number(&d->facts, "bytes", (int64_t)bytes);
    for (size_t i = 0; i < s->nmeta; i++) {
        char *key = str_format("meta %s", s->key[i]);

        facts_text(&d->facts, key, s->value[i]);
        free(key);
    }
}

static enum file_kind
kind_of(const struct safet *s)
{
    const char *kind = safet_meta(s, "kind");

    const char *format = safet_meta(s, "format");
    int64_t number;

    /* Ours has a number; one of another kind, or none, is damaged or newer. */
    if (format == NULL || !str_int(format, &number) || kind == NULL)
        return FILE_TENSORS;
    return strcmp(kind, "dataset") == 0 ? FILE_DATASET
         : strcmp(kind, "model") == 0 ? FILE_MODEL
         : strcmp(kind, "state") == 0 ? FILE_STATE : FILE_TENSORS;
}

static int
describe_safet(struct description *d, const struct describe_conf *c,
               struct err *e)
{
    const char *verified = "every byte";
    struct safet s;
    int rc = 0;

    if (safet_open(&s, d->path, e) != 0)
        return -1;
    d->kind = kind_of(&s);
    facts_text(&d->facts, "kind", file_kind_names[d->kind]);
    if (d->kind == FILE_DATASET) {
        rc = tell_dataset(d, c->verify, e);
    } else if (d->kind == FILE_MODEL) {
        rc = tell_model(d, &s, c->verify, e);
    } else if (d->kind == FILE_STATE) {
        rc = safet_check_kind(&s, "state", e);
        rc = rc == 0 ? tell_state(d, &s, c->verify, e) : rc;
    } else {
        tell_foreign(d, &s);
        verified = "header and length; it has no checksums";
    }
    if (rc == 0 && c->tensors)
        tell_tensors(&d->facts, &s);
    if (rc == 0 && c->verify)
        facts_text(&d->facts, "verified", verified);
    safet_close(&s);
    return rc;
}

/* ---------------------------------------------------------------- any file */

/*
 * 1 for safetensors, 0 for text.  The header's length is below 2^56, and a
 * table has no NUL byte.
 */
static int
is_safet(const char *path, struct err *e)
{
    struct file_map m;
    struct stat st;
    int yes;

    if (strcmp(path, "-") == 0 ||
        (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return 0;
    if (file_map(&m, path, e) != 0)
        return -1;
    yes = str_ends(path, ".safetensors") ||
          (m.nbytes > 8 && m.data[7] == 0 && m.data[8] == '{');
    file_unmap(&m);
    return yes;
}

int
describe_open(struct description *d, const char *path,
              const struct describe_conf *c, struct err *e)
{
    int rc;

    memset(d, 0, sizeof *d);
    d->path = mem_strdup(path);
    facts_text(&d->facts, "file", path);
    rc = is_safet(path, e);
    if (rc > 0)
        rc = describe_safet(d, c, e);
    else if (rc == 0)
        rc = describe_table(d, c, e);
    if (rc != 0)
        describe_release(d);
    return rc;
}

void
describe_release(struct description *d)
{
    free(d->path);
    free(d->parent);
    facts_release(&d->facts);
    memset(d, 0, sizeof *d);
}

/* -------------------------------------------------------- several together */

static bool
is_parent(const struct parent *p, const struct description *a)
{
    if (p->kind == FILE_MODEL && a->kind == FILE_MODEL &&
        strlen(p->digest) == PREDICTIONS_MARK - 1)
        return predictions_marked_by(p->digest, a->digest);
    return strncmp(a->digest, p->digest, strlen(p->digest)) == 0;
}

/* Did some of the models among the files vote together? */
static bool
voted(const struct parent *p, const struct description *all, size_t n)
{
    struct str_list models = { 0 };
    bool *made = mem_array(n, sizeof *made), any;

    for (size_t i = 0; i < n; i++)
        if (all[i].kind == FILE_MODEL)
            str_list_add(&models, all[i].digest);
    any = predictions_made_by(p->digest, &models, made);
    str_list_release(&models);
    free(made);
    return any;
}

/* Find a parent among the files; another of its kind instead is an error. */
static int
relate_parent(struct description *d, const struct parent *p,
              const struct description *all, size_t n, struct err *e)
{
    const struct description *other = NULL;
    size_t nothers = 0;

    for (size_t i = 0; i < n; i++) {
        if (is_parent(p, &all[i])) {
            facts_text(&d->facts, parent_key[p->kind], all[i].path);
            return 0;
        }
        if (all[i].kind == p->kind) {
            other = &all[i];
            nothers++;
        }
    }
    /* A dataset is made from any manifest with its scans, also a later one. */
    if (other == NULL || p->kind == FILE_MANIFEST)
        return 0;
    if (p->kind == FILE_MODEL && nothers > 1) {
        if (!voted(p, all, n))
            log_warn("'%s' was made by none of these models, nor by some that "
                     "are named behind each other", d->path);
        return 0;
    }
    return err_set(e, EXIT_INVALID, "'%s' and '%s' do not belong together: "
                   "the first was made from another %s", d->path, other->path,
                   file_kind_names[p->kind]);
}

/*
 * What `path` says of a scan, its label or fold, must be what the fold table
 * says; an empty cell contradicts nothing.
 */
static int
same_cell(const char *path, const char *id, const char *column,
          const char *text, const struct labels *folds, struct err *e)
{
    long at = table_find(&folds->table, column);
    long row = labels_find(folds, id);
    const char *known = at >= 0 && row >= 0 ? folds->table.row[row][at] : "";

    if (row < 0)
        return err_set(e, EXIT_INVALID, "'%s' and '%s' do not belong "
                       "together: the second lacks '%s'", path,
                       folds->table.path, id);
    if (*text == '\0' || *known == '\0' || strcmp(text, known) == 0)
        return 0;
    return err_set(e, EXIT_INVALID, "'%s' and '%s' do not belong together: "
                   "'%s' has %s '%s' in the one and '%s' in the other", path,
                   folds->table.path, id, column, text, known);
}

static int
relate_dataset(const char *path, const char *folds, struct err *e)
{
    struct dataset d;
    struct parts p;
    int rc;

    if (dataset_open(&d, path, e) != 0)
        return -1;
    rc = parts_open(&p, &d, folds, -1, e);
    if (rc == 0)
        parts_release(&p);
    dataset_close(&d);
    return rc;
}

static int
relate_predictions(const char *path, const char *folds, struct err *e)
{
    static const char *const column[] = { "label", "fold" };
    struct table t = { 0 };
    struct labels l;
    int rc = labels_read(&l, folds, e);

    if (rc == 0)
        rc = manifest_read(&t, path, e);
    for (size_t i = 0; rc == 0 && i < t.nrows; i++)
        for (size_t k = 0; rc == 0 && k < ARRAY_LEN(column); k++) {
            long at = table_find(&t, column[k]);

            rc = same_cell(path, t.row[i][table_find(&t, "id")], column[k],
                           at >= 0 ? t.row[i][at] : "", &l, e);
        }
    table_release(&t);
    labels_release(&l);
    return rc;
}

/* Nothing but datasets and predictions is dealt into folds. */
static int
relate_folds(const struct description *d, const struct description *folds,
             struct err *e)
{
    if (d->kind != FILE_DATASET && d->kind != FILE_PREDICTIONS)
        return 0;
    if (strcmp(d->path, "-") == 0 || strcmp(folds->path, "-") == 0)
        return err_set(e, EXIT_USAGE, "folds are held against datasets and "
                       "predictions that are named, not read from the "
                       "standard input");
    return d->kind == FILE_DATASET
           ? relate_dataset(d->path, folds->path, e)
           : relate_predictions(d->path, folds->path, e);
}

int
describe_relate(struct description *d, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < d[i].nparents; k++)
            if (relate_parent(&d[i], &d[i].parent[k], d, n, e) != 0)
                return -1;
        for (size_t k = 0; k < n; k++)
            if (d[k].kind == FILE_FOLDS && relate_folds(&d[i], &d[k], e) != 0)
                return -1;
    }
    return 0;
}
