#include "learn/model.h"

#include "base/mem.h"
#include "base/vectors.h"
#include "base/version.h"

#include <assert.h>
#include <inttypes.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The texts that settle, with the numbers, what a model predicts. */
struct texts {
    struct str graph, classes, recipe, temperature;
};

static void
texts_make(struct texts *t, const struct model *m)
{
    memset(t, 0, sizeof *t);
    graph_print(&m->graph, &t->graph);
    str_add_list(&t->classes, &m->classes, "\t");
    recipe_print(&m->recipe, &t->recipe);
    str_addf(&t->temperature, "%.17g", m->temperature);
}

static void
texts_release(struct texts *t)
{
    str_release(&t->graph);
    str_release(&t->classes);
    str_release(&t->recipe);
    str_release(&t->temperature);
}

static int
odd(const struct safet *s, const char *why, struct err *e)
{
    return err_set(e, EXIT_INVALID, "'%s' is not a valid model: %s", s->path,
                   why);
}

/* --------------------------------------------------------------- provenance */

/* A whole number of at least -1 from the metadata; absent: -1. */
static int
meta_int(const struct safet *s, const char *key, int64_t *value,
         struct err *e)
{
    const char *text = safet_meta(s, key);

    *value = -1;
    if (text != NULL && (!str_int(text, value) || *value < -1))
        return err_set(e, EXIT_INVALID, "'%s' is not a valid model: its '%s' is "
                       "'%s'", s->path, key, text);
    return 0;
}

/* A short text from the metadata; absent: "". */
static int
meta_text(const struct safet *s, const char *key, char *to, size_t room,
          struct err *e)
{
    const char *text = safet_meta(s, key);
    size_t n = text != NULL ? strlen(text) : 0;

    to[0] = '\0';
    if (n >= room)
        return err_set(e, EXIT_INVALID, "'%s' is not a valid model: its '%s' is "
                       "too long", s->path, key);
    if (n > 0)
        memcpy(to, text, n + 1);
    return 0;
}

static int
by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, DIGEST_BYTES);
}

static int
read_seen(struct provenance *p, const struct safet *s, struct err *e)
{
    const struct safet_tensor *t = safet_need(s, "seen", e);

    if (t == NULL || safet_verify_one(s, t, e) != 0)
        return -1;
    if (t->dtype != DT_U8 || t->ndims != 2 || t->dims[1] != DIGEST_BYTES)
        return odd(s, "'seen' has another type or shape than it must", e);
    p->nseen = (size_t)t->dims[0];
    p->seen = mem_array(p->nseen, DIGEST_BYTES);
    if (p->nseen > 0)
        memcpy(p->seen, safet_data(s, t), t->nbytes);
    for (size_t i = 1; i < p->nseen; i++)
        if (by_bytes(p->seen + (i - 1) * DIGEST_BYTES,
                     p->seen + i * DIGEST_BYTES) > 0)
            return odd(s, "'seen' is not sorted", e);
    return 0;
}

int
provenance_read(struct provenance *p, const struct safet *s, struct err *e)
{
    if (meta_text(s, "dataset", p->dataset, sizeof p->dataset, e) != 0 ||
        meta_text(s, "init", p->init, sizeof p->init, e) != 0 ||
        meta_text(s, "folds", p->folds, sizeof p->folds, e) != 0 ||
        meta_text(s, "select", p->select, sizeof p->select, e) != 0 ||
        meta_int(s, "fold", &p->fold, e) != 0)
        return -1;
    return read_seen(p, s, e);
}

void
provenance_sort(struct provenance *p)
{
    size_t n = p->nseen;

    if (n > 0)
        qsort(p->seen, n, DIGEST_BYTES, by_bytes);
    p->nseen = 0;
    for (uint8_t *at = p->seen; n-- > 0; at += DIGEST_BYTES)
        if (at == p->seen || by_bytes(at - DIGEST_BYTES, at) != 0)
            memmove(p->seen + p->nseen++ * DIGEST_BYTES, at, DIGEST_BYTES);
}

bool
provenance_has_seen(const struct provenance *p,
                    const uint8_t sha256[DIGEST_BYTES])
{
    return p->nseen > 0 && bsearch(sha256, p->seen, p->nseen, DIGEST_BYTES,
                                   by_bytes) != NULL;
}

/* ------------------------------------------------------------------ reading */

static int
open_origin(struct model *m, const struct safet *s, struct err *e)
{
    const char *command = safet_meta(s, "command");

    if (meta_text(s, "content", m->digest, sizeof m->digest, e) != 0 ||
        meta_int(s, "epoch", &m->epoch, e) != 0 ||
        meta_int(s, "seed", &m->seed, e) != 0)
        return -1;
    if (command != NULL)
        m->command = mem_strdup(command);
    return provenance_read(&m->from, s, e);
}

static int
open_graph(struct model *m, const struct safet *s, struct err *e)
{
    const char *text = safet_need_meta(s, "graph", e);
    const char *name = safet_need_meta(s, "name", e);
    const char *recipe = safet_need_meta(s, "recipe", e);
    const char *temperature = safet_need_meta(s, "temperature", e);
    const char *classes = safet_need_meta(s, "classes", e);
    struct err why = { 0 };

    if (text == NULL || name == NULL || recipe == NULL ||
        temperature == NULL || classes == NULL)
        return -1;
    if (graph_parse(&m->graph, name, text, &why) != 0 ||
        recipe_parse(&m->recipe, recipe, &why) != 0)
        return odd(s, why.text, e);
    if (!str_real(temperature, &m->temperature) || !(m->temperature > 0))
        return odd(s, "its temperature is not a number above 0", e);
    str_list_split(&m->classes, classes, '\t');
    if (!str_list_distinct(&m->classes))
        return odd(s, "a class has no name or that of another", e);
    if ((size_t)graph_classes(&m->graph) != m->classes.n)
        return odd(s, "it has not one output for each class", e);
    if (graph_input(&m->graph)->c != m->recipe.channels ||
        graph_input(&m->graph)->h > m->recipe.crop)
        return odd(s, "its recipe does not make what its network takes", e);
    return 0;
}

/* All tensors are looked at before memory for them is taken. */
static int
check_params(const struct graph *g, const struct safet *s, struct err *e)
{
    if (s->ntensors != (size_t)g->nentries + 1)
        return odd(s, "it has other tensors than its network", e);
    for (int i = 0; i < g->nentries; i++) {
        const struct param *p = &g->param[i];
        const struct safet_tensor *t = safet_need(s, p->name, e);

        if (t == NULL || safet_verify_one(s, t, e) != 0)
            return -1;
        if (t->dtype != DT_F32 || t->ndims != p->ndims ||
            memcmp(t->dims, p->dims, (size_t)p->ndims * sizeof *p->dims) != 0)
            return err_set(e, EXIT_INVALID, "'%s' is not a valid model: '%s' has "
                           "another type or shape than in its network",
                           s->path, p->name);
    }
    return 0;
}

static void
copy_params(struct model *m, const struct safet *s)
{
    const struct graph *g = &m->graph;

    m->params = mem_aligned(g->nparams, sizeof *m->params);
    m->buffers = mem_aligned(g->nbuffers, sizeof *m->buffers);
    for (int i = 0; i < g->nentries; i++) {
        const struct param *p = &g->param[i];
        const struct safet_tensor *t = safet_find(s, p->name);

        memcpy((p->buffer ? m->buffers : m->params) + p->offset,
               safet_data(s, t), t->nbytes);
    }
}

int
model_open(struct model *m, const char *path, struct err *e)
{
    struct safet s;
    int rc = -1;

    memset(m, 0, sizeof *m);
    if (safet_open(&s, path, e) != 0)
        return -1;
    if (safet_check_kind(&s, "model", e) == 0 &&
        open_graph(m, &s, e) == 0 && check_params(&m->graph, &s, e) == 0 &&
        open_origin(m, &s, e) == 0) {
        copy_params(m, &s);
        rc = 0;
    }
    safet_close(&s);
    if (rc != 0)
        model_release(m);
    return rc;
}

VECTORS
bool
model_all_finite(const float *x, size_t n)
{
    int others = 0;

    for (size_t i = 0; i < n; i++)
        others |= !(fabsf(x[i]) <= FLT_MAX);
    return others == 0;
}

int
model_check_finite(const struct model *m, const char *path, struct err *e)
{
    if (model_all_finite(m->params, m->graph.nparams) &&
        model_all_finite(m->buffers, m->graph.nbuffers))
        return 0;
    return err_set(e, EXIT_NUMBERS, "'%s' has weights that are not finite",
                   path);
}

void
model_release(struct model *m)
{
    graph_release(&m->graph);
    str_list_release(&m->classes);
    free(m->params);
    free(m->buffers);
    free(m->from.seen);
    free(m->command);
    memset(m, 0, sizeof *m);
}

/* ------------------------------------------------------------------ writing */

static void
digest_of(const struct model *m, const struct texts *t, char hex[DIGEST_HEX])
{
    const struct str *const text[] = {
        &t->graph, &t->classes, &t->recipe, &t->temperature
    };
    struct digest d;

    digest_init(&d);
    for (size_t i = 0; i < ARRAY_LEN(text); i++)
        digest_add(&d, text[i]->text, text[i]->n + 1);
    digest_add(&d, m->params, m->graph.nparams * sizeof *m->params);
    digest_add(&d, m->buffers, m->graph.nbuffers * sizeof *m->buffers);
    digest_end(&d, hex);
}

void
model_digest(const struct model *m, char hex[DIGEST_HEX])
{
    struct texts t;

    texts_make(&t, m);
    digest_of(m, &t, hex);
    texts_release(&t);
}

static void
set_text(struct safet_out *o, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0')
        safet_set(o, key, value);
}

static void
set_int(struct safet_out *o, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, value);
    if (value >= 0)
        safet_set(o, key, text);
}

static void
set_metadata(const struct model *m, const struct texts *t,
             struct safet_out *o)
{
    safet_set(o, "format", BUSI_FORMAT);
    safet_set(o, "kind", "model");
    safet_set(o, "name", m->graph.name);
    safet_set(o, "classes", t->classes.text);
    safet_set(o, "recipe", t->recipe.text);
    safet_set(o, "temperature", t->temperature.text);
    safet_set(o, "content", m->digest);
    set_text(o, "dataset", m->from.dataset);
    set_text(o, "folds", m->from.folds);
    set_text(o, "init", m->from.init);
    set_int(o, "fold", m->from.fold);
    set_text(o, "select", m->from.select);
    set_int(o, "epoch", m->epoch);
    set_int(o, "seed", m->seed);
    set_text(o, "command", m->command);
    safet_set(o, "version", BUSI_VERSION);
    safet_set(o, "graph", t->graph.text);
}

/* Enough for the header: a character takes at most 6 in JSON. */
static size_t
header_room(const struct model *m, const struct texts *t)
{
    size_t n = 4096;

    n += 6 * (t->graph.n + t->classes.n + t->recipe.n);
    if (m->command != NULL)
        n += 6 * strlen(m->command);
    for (int i = 0; i < m->graph.nentries; i++)
        n += 12 * strlen(m->graph.param[i].name) + 160;
    return n;
}

int
model_save(struct model *m, const char *path, struct err *e)
{
    int64_t seen[2] = { 0, DIGEST_BYTES };
    struct safet_out o;
    struct texts t;
    int rc = -1;

    assert(m->temperature > 0);
    provenance_sort(&m->from);
    seen[0] = (int64_t)m->from.nseen;
    texts_make(&t, m);
    digest_of(m, &t, m->digest);
    if (safet_create(&o, path, header_room(m, &t), e) == 0) {
        for (int i = 0; i < m->graph.nentries; i++) {
            const struct param *p = &m->graph.param[i];

            safet_put(&o, p->name, DT_F32, p->ndims, p->dims,
                      (p->buffer ? m->buffers : m->params) + p->offset);
        }
        safet_put(&o, "seen", DT_U8, 2, seen, m->from.seen);
        set_metadata(m, &t, &o);
        rc = safet_commit(&o, e);
    }
    texts_release(&t);
    return rc;
}

/* ---------------------------------------------------------------- questions */

int
model_agree(const struct model *a, const char *path_a,
            const struct model *b, const char *path_b, struct err *e)
{
    const char *what = NULL;

    if (!str_list_same(&a->classes, &b->classes))
        what = "other classes, or the same in another order";
    else if (!recipe_same(&a->recipe, &b->recipe))
        what = "another recipe";
    if (what == NULL)
        return 0;
    return err_set(e, EXIT_INVALID, "'%s' and '%s' cannot vote together: they "
                   "have %s", path_a, path_b, what);
}
