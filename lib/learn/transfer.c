#include "learn/transfer.h"

#include "base/log.h"
#include "base/mem.h"
#include "data/pth.h"
#include "data/safet.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    struct transfer *t;
    const struct graph *g;
    const struct recipe *r;
    struct safet s;
    float *params, *buffers;
    bool *used;             /* [s.ntensors] */
    bool ours;              /* a model: its metadata are known */
    bool other_classes;     /* than ours, or in another order */
};

/* The last layer that has parameters. */
static int
head_op(const struct graph *g)
{
    int i = g->nops - 1;

    while (i > 0 && g->op[i].nparams == 0)
        i--;
    return i;
}

size_t
transfer_head(const struct graph *g)
{
    return g->op[head_op(g)].param;
}

/* ------------------------------------------------------------------- names */

struct rename {
    const char *ours, *theirs;
};

/* "conv.0.1.weight" by a table of heads: "conv.0.1" -> "bn1". */
static char *
renamed(const char *tail, const struct rename *table, size_t n,
        const char *before)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = strlen(table[i].ours);

        if (strncmp(tail, table[i].ours, k) == 0 && tail[k] == '.')
            return str_format("%s%s%s", before, table[i].theirs, tail + k);
    }
    return NULL;
}

/* timm's name of a tensor of torchvision's MobileNetV2, or NULL. */
static char *
timm_mobilenet(const char *name)
{
    static const int repeats[] = { 1, 2, 3, 4, 3, 3, 1 };
    static const struct rename ends[] = {
        { "features.0.0", "conv_stem" }, { "features.0.1", "bn1" },
        { "features.18.0", "conv_head" }, { "features.18.1", "bn2" },
        { "classifier.1", "classifier" }
    };
    static const struct rename first[] = {
        { "conv.0.0", "conv_dw" }, { "conv.0.1", "bn1" },
        { "conv.1", "conv_pw" }, { "conv.2", "bn2" }
    };
    static const struct rename block[] = {
        { "conv.0.0", "conv_pw" }, { "conv.0.1", "bn1" },
        { "conv.1.0", "conv_dw" }, { "conv.1.1", "bn2" },
        { "conv.2", "conv_pwl" }, { "conv.3", "bn3" }
    };
    int number, stage = 0, used = 0;
    char before[48];

    if (sscanf(name, "features.%d.%n", &number, &used) != 1 || used == 0 ||
        number == 0 || number == 18)
        return renamed(name, ends, ARRAY_LEN(ends), "");
    for (number--; stage < 7 && number >= repeats[stage]; stage++)
        number -= repeats[stage];
    snprintf(before, sizeof before, "blocks.%d.%d.", stage, number);
    return stage == 0 ? renamed(name + used, first, ARRAY_LEN(first), before)
                      : renamed(name + used, block, ARRAY_LEN(block), before);
}

static char *
timm_vgg(const char *name)
{
    static const struct rename table[] = {
        { "classifier.0", "pre_logits.fc1" },
        { "classifier.3", "pre_logits.fc2" }, { "classifier.6", "head.fc" }
    };

    return renamed(name, table, ARRAY_LEN(table), "");
}

static const struct safet_tensor *
find(struct job *j, const char *name)
{
    const struct safet_tensor *t = safet_find(&j->s, name);
    static char *(*const other[])(const char *) = {
        timm_mobilenet, timm_vgg
    };

    for (size_t i = 0; i < ARRAY_LEN(other) && t == NULL; i++) {
        char *alias = other[i](name);

        if (alias != NULL)
            t = safet_find(&j->s, alias);
        free(alias);
    }
    if (t != NULL)
        j->used[t - j->s.tensor] = true;
    return t;
}

/* ----------------------------------------------------------------- numbers */

static float
from_f16(uint16_t h)
{
    int exponent = h >> 10 & 31, sign = h >> 15 ? -1 : 1;
    double part = h & 1023;

    if (exponent == 31)
        return part > 0 ? NAN : (float)sign * INFINITY;
    return (float)(sign * (exponent > 0 ? ldexp(1024 + part, exponent - 25)
                                        : ldexp(part, -24)));
}

/* All numbers of a tensor as float32. */
static int
numbers(const struct safet *s, const struct safet_tensor *t, float *to,
        struct err *e)
{
    const unsigned char *from = safet_data(s, t);
    size_t size = dtype_nbytes(t->dtype), n = t->nbytes / size;

    for (size_t i = 0; i < n; i++, from += size) {
        uint32_t bits;
        uint16_t half;
        double wide;

        switch (t->dtype) {
        case DT_F32:
            memcpy(&to[i], from, 4);
            break;
        case DT_F64:
            memcpy(&wide, from, 8);
            to[i] = (float)wide;
            break;
        case DT_BF16:
            memcpy(&half, from, 2);
            bits = (uint32_t)half << 16;
            memcpy(&to[i], &bits, 4);
            break;
        case DT_F16:
            memcpy(&half, from, 2);
            to[i] = from_f16(half);
            break;
        default:
            return err_set(e, EXIT_INVALID, "'%s': '%s' is %s, no real "
                           "numbers", s->path, t->name,
                           dtype_name(t->dtype));
        }
        if (!isfinite(to[i]))
            return err_set(e, EXIT_INVALID, "'%s': '%s' holds what is not a "
                           "number", s->path, t->name);
    }
    return 0;
}

/* ------------------------------------------------------------------ shapes */

static int64_t
count(const struct safet_tensor *t)
{
    int64_t n = 1;

    for (int i = 0; i < t->ndims; i++)
        n *= t->dims[i];
    return n;
}

static bool
same_shape(const struct safet_tensor *t, const struct param *p)
{
    /* timm has VGG's fully connected layers as convolutions. */
    if (p->ndims == 2 && t->ndims == 4)
        return t->dims[0] == p->dims[0] && count(t) == (int64_t)p->n;
    if (t->ndims != p->ndims)
        return false;
    for (int i = 0; i < p->ndims; i++)
        if (t->dims[i] != p->dims[i])
            return false;
    return true;
}

static char *
shape(const int64_t *dims, int n)
{
    struct str s = { 0 };

    for (int i = 0; i < n; i++)
        str_addf(&s, "%s%lld", i > 0 ? "x" : "", (long long)dims[i]);
    return s.text != NULL ? s.text : mem_strdup("");
}

static int
misfit(const struct job *j, const struct safet_tensor *t,
       const struct param *p, struct err *e)
{
    char *theirs = shape(t->dims, t->ndims), *ours = shape(p->dims, p->ndims);

    err_set(e, EXIT_INVALID, "'%s' is not a %s: its '%s' is %s, not %s",
            j->s.path, j->g->name, t->name, theirs, ours);
    free(theirs);
    free(ours);
    return -1;
}

/* --------------------------------------------------- the first convolution */

/* mean and deviation of the file's pictures, by channel of three. */
static int
file_norm(const struct job *j, float mean[3], float std[3], struct err *e)
{
    static const float net_mean[3] = { 0.485f, 0.456f, 0.406f };
    static const float net_std[3] = { 0.229f, 0.224f, 0.225f };
    const char *text = j->ours ? safet_meta(&j->s, "recipe") : NULL;
    struct recipe r = *j->r;
    struct err why = { 0 };

    if (text != NULL) {
        if (recipe_parse(&r, text, &why) != 0)
            return err_set(e, EXIT_INVALID, "'%s': its recipe is damaged",
                           j->s.path);
    } else if (j->t->norm == NORM_HALF) {
        for (int c = 0; c < 3; c++)
            r.mean[c] = r.std[c] = 0.5f;
    } else if (j->t->norm == NORM_IMAGENET) {
        memcpy(r.mean, net_mean, sizeof net_mean);
        memcpy(r.std, net_std, sizeof net_std);
    }
    memcpy(mean, r.mean, sizeof r.mean);
    memcpy(std, r.std, sizeof r.std);
    return 0;
}

/* Take what is constant in the output k of the first convolution. */
static bool
absorb(struct job *j, const struct op *conv, int k, double constant)
{
    const struct graph *g = j->g;

    for (int i = 0; i < g->nops; i++)
        if (g->op[i].kind == OP_BN && &g->op[g->op[i].in[0]] == conv) {
            j->buffers[g->op[i].buffer + (size_t)k] -= (float)constant;
            return true;
        }
    if (!conv->bias)
        return constant == 0;
    j->params[conv->param + conv->nweights + (size_t)k] += (float)constant;
    return true;
}

/*
 * Theirs reads (u - M) / S, ours x = (u - m) / s: their input is
 * x s / S + (m - M) / S.  w [K,their channels,R,S], after all else is there.
 */
static int
first_conv(struct job *j, const struct safet_tensor *have,
           const struct param *p, struct err *e)
{
    const struct op *o = &j->g->op[p->op];
    const struct recipe *r = j->r;
    size_t taps = (size_t)o->kernel * (size_t)o->kernel;
    int ours = (int)p->dims[1], theirs = (int)have->dims[1];    /* 1 or 3 */
    float *w = mem_array((size_t)count(have), sizeof *w);
    float mean[3] = { 0, 0, 0 }, std[3] = { 1, 1, 1 };
    float *to = j->params + p->offset;
    bool exact = true;

    if (file_norm(j, mean, std, e) != 0 ||
        numbers(&j->s, have, w, e) != 0) {
        free(w);
        return -1;
    }
    assert(theirs <= 3);
    memset(to, 0, p->n * sizeof *to);
    for (int k = 0; k < o->out; k++) {
        double constant = 0;

        for (int c = 0; c < theirs; c++) {
            int at = ours == 1 ? 0 : c;
            double scale = (double)r->std[at] / (double)std[c];
            double shift = ((double)r->mean[at] - (double)mean[c]) /
                           (double)std[c];

            for (size_t i = 0; i < taps; i++) {
                float v = w[((size_t)k * (size_t)theirs + (size_t)c) * taps +
                            i];

                to[((size_t)k * (size_t)ours + (size_t)at) * taps + i] +=
                    (float)(scale * (double)v);
                constant += shift * (double)v;
            }
        }
        exact = absorb(j, o, k, constant) && exact;
    }
    free(w);
    if (ours != theirs || !exact || mean[0] != r->mean[0] ||
        std[0] != r->std[0]) {
        char *line = str_format(
            "%s: %d input channels to %d, mean %g to %g, deviation %g to %g%s",
            p->name, theirs, ours, (double)mean[0], (double)r->mean[0],
            (double)std[0], (double)r->std[0],
            exact ? "" : "; the constant part is lost");

        str_list_add(&j->t->adapted, line);
        free(line);
    } else {
        j->t->taken++;
    }
    return 0;
}

/* --------------------------------------------------------------------- all */

static int
missing(const struct job *j, const struct param *p, struct err *e)
{
    return err_set(e, EXIT_INVALID, "'%s' is not a %s: it has no '%s'",
                   j->s.path, j->g->name, p->name);
}

static void
new_head(struct job *j, const struct param *p,
         const struct safet_tensor *have)
{
    char *ours = shape(p->dims, p->ndims);
    char *theirs = have != NULL ? shape(have->dims, have->ndims)
                                : mem_strdup("none");
    char *line = str_format("%s: made anew, %s in place of %s%s", p->name,
                            ours, theirs,
                            j->other_classes ? " for other classes" : "");

    str_list_add(&j->t->adapted, line);
    free(line);
    free(ours);
    free(theirs);
}

static int
take(struct job *j, const struct param *p, struct err *e)
{
    const struct safet_tensor *have = find(j, p->name);
    bool fits = have != NULL && same_shape(have, p);

    if ((!fits || j->other_classes) && p->op == head_op(j->g)) {
        new_head(j, p, have);
        return 0;
    }
    if (have == NULL)
        return missing(j, p, e);
    if (!fits)
        return misfit(j, have, p, e);
    j->t->taken++;
    return numbers(&j->s, have,
                   (p->buffer ? j->buffers : j->params) + p->offset, e);
}

/* Is it the weight of a convolution that reads the pictures? */
static bool
reads_pictures(const struct graph *g, const struct param *p)
{
    const struct op *o = &g->op[p->op];

    return o->kind == OP_CONV && p->ndims == 4 && o->groups == 1 &&
           g->op[o->in[0]].kind == OP_INPUT;
}

static int
take_first(struct job *j, const struct param *p, struct err *e)
{
    const struct safet_tensor *have = find(j, p->name);

    if (have == NULL)
        return missing(j, p, e);
    if (have->ndims != 4 || have->dims[0] != p->dims[0] ||
        have->dims[2] != p->dims[2] || have->dims[3] != p->dims[3] ||
        (have->dims[1] != p->dims[1] &&
         (p->dims[1] != 1 || have->dims[1] != 3)))
        return misfit(j, have, p, e);
    return first_conv(j, have, p, e);
}

/* The first convolution last: it moves what lies behind it. */
static int
take_all(struct job *j, struct err *e)
{
    for (int first = 0; first < 2; first++)
        for (int i = 0; i < j->g->nentries; i++) {
            const struct param *p = &j->g->param[i];

            if (reads_pictures(j->g, p) == (first == 1) &&
                (first ? take_first(j, p, e) : take(j, p, e)) != 0)
                return -1;
        }
    for (size_t i = 0; i < j->s.ntensors; i++)
        if (!j->used[i] &&
            !(j->ours && strcmp(j->s.tensor[i].name, "seen") == 0))
            str_list_add(&j->t->left, j->s.tensor[i].name);
    return 0;
}

static bool
same_classes(const char *text, const struct str_list *classes)
{
    struct str_list theirs = { 0 };
    bool same;

    str_list_split(&theirs, text, '\t');
    same = str_list_same(&theirs, classes);
    str_list_release(&theirs);
    return same;
}

int
transfer_load(struct transfer *t, const struct graph *g,
              const struct recipe *r, float *params, float *buffers,
              struct err *e)
{
    struct job j = { .t = t, .g = g, .r = r, .params = params,
                     .buffers = buffers };
    const char *kind, *theirs;
    int rc = -1;

    if ((pth_look(t->path) ? pth_open(&j.s, t->path, e)
                           : safet_open(&j.s, t->path, e)) != 0)
        return -1;
    j.used = mem_array(j.s.ntensors, sizeof *j.used);
    if (safet_meta(&j.s, "crc32") == NULL || safet_verify(&j.s, e) == 0) {
        digest_bytes(j.s.map.data, j.s.map.nbytes, t->digest);
        kind = safet_meta(&j.s, "kind");
        j.ours = kind != NULL && strcmp(kind, "model") == 0;
        theirs = j.ours ? safet_meta(&j.s, "classes") : NULL;
        j.other_classes = theirs != NULL && t->classes != NULL &&
                          !same_classes(theirs, t->classes);
        if (!j.ours || provenance_read(&t->from, &j.s, e) == 0)
            rc = take_all(&j, e);
        if (rc == 0 && strcmp(t->from.select, "test") == 0)
            log_warn("the epoch of '%s' was chosen on its test fold: results "
                     "on that fold flatter what starts from it", t->path);
    }
    free(j.used);
    safet_close(&j.s);
    return rc;
}

void
transfer_release(struct transfer *t)
{
    str_list_release(&t->adapted);
    str_list_release(&t->left);
    free(t->from.seen);
}
